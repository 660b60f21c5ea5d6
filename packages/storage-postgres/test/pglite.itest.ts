import { spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { ConfigError, type Envelope, type OpenStorage } from "@holdfast/core/adapter";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { freshPGlite, freshPGliteFolder } from "../../../test/services/fresh-pglite.ts";
import { pglite, type PGliteOptions } from "../src/index.ts";
import type { PostgresTransaction } from "../src/postgres-transaction.ts";
import { newSchema, services } from "./backends.ts";

describe("PGlite in a folder", () => {
  let folder: string;
  let children: ChildProcess[];

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "holdfast-pglite-"));
    await freshPGliteFolder(join(folder, "data"));
    children = [];
  });
  afterEach(async () => {
    for (const child of children) child.kill("SIGKILL");
    await rm(folder, { recursive: true, force: true });
  });

  /** Starts a process that writes, and resolves once it has the folder open. */
  async function writer(
    firstId: number,
  ): Promise<{ readonly child: ChildProcess; readonly lines: AsyncIterator<string> }> {
    const script = join(import.meta.dirname, "pglite-writer.ts");
    const child = spawn(
      process.execPath,
      ["--conditions=@holdfast/source", script, join(folder, "data"), String(firstId)],
      {
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    children.push(child);
    if (child.stdout === null) throw new Error("The process has no output.");
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    expect((await lines.next()).value).toBe("ready");
    return { child, lines };
  }

  it("has everything that was durable after each of several kills, and opens again at once", async () => {
    const told: string[] = [];
    for (const [round, length] of [35, 220, 90].entries()) {
      const { child, lines } = await writer(round * 100_000);
      const ended = new Promise((resolve) => child.once("exit", resolve));
      for (let count = 0; count < length; count += 1) told.push(String((await lines.next()).value));
      child.kill("SIGKILL");
      await ended;
    }
    const storage = await pglite({ dataDir: join(folder, "data") }).open(services());
    try {
      const states = await storage.messages.lookUp(told);
      expect(states.map(({ state }) => state)).toEqual(told.map(() => "answered"));
      const transaction = storage.messages.beginTransaction?.() as PostgresTransaction;
      const { rows } = await transaction.query<{ id: string }>("SELECT id FROM effects", []);
      await transaction.rollback();
      const effects = new Set(rows.map(({ id }) => id));
      expect(told.filter((id) => id.endsWith("0") && !effects.has(id))).toEqual([]);
    } finally {
      await storage.close();
    }
  });

  it("is refused while another process has it open, and not after that was killed", async () => {
    const { child } = await writer(0);
    const dataDir = join(folder, "data");
    await expect(pglite({ dataDir }).open(services())).rejects.toBeInstanceOf(ConfigError);
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
    await (await pglite({ dataDir }).open(services())).close();
  });

  it("is not held up by the file of a process that is gone, nor by one that was torn", async () => {
    const dataDir = join(folder, "data");
    for (const left of ["999999999 1", `${process.pid} 1`, "", "no process"]) {
      await writeFile(`${dataDir}.lock`, left);
      await (await pglite({ dataDir }).open(services())).close();
    }
  });

  it("keeps its data when the last session closes, and nobody's lease", async () => {
    const adapter = pglite({ dataDir: join(folder, "data") });
    const first = await adapter.open(services());
    const second = await adapter.open(services());
    const record = {
      runnerId: "r1",
      address: "memory://r1",
      role: "runner",
      weight: 1,
      shardGroups: [],
      entityTypes: [],
    } as const;
    await first.runners?.register({ ...record, shardsPerGroup: 1, protocolVersion: 1 }, 3_600_000);
    await first.messages.saveRequest(request("kept"), 0, null);
    await first.close();
    expect(await second.runners?.listRunners()).toHaveLength(1);
    await second.close();
    const again = await adapter.open(services());
    expect(await again.messages.lookUp(["kept"])).toHaveLength(1);
    expect(await again.runners?.listRunners()).toEqual([]);
    await again.close();
  });
});

describe("PGlite's one session", () => {
  it("is not waited for for ever by a statement, nor held for ever by a transaction that does nothing", async () => {
    const instance = await freshPGlite();
    const open = (options: PGliteOptions): Promise<OpenStorage> =>
      pglite({ instance, schema: newSchema(), ...options }).open(services());
    try {
      const impatient = await open({ statementDeadline: 50 });
      const transaction = begin(impatient);
      await transaction.query("CREATE TABLE held (id int)", []);
      // What a handler does that calls another entity inside of its transaction: nobody can go on.
      const waiting = impatient.messages.saveRequest(request("waits"), 0, null);
      await expect(waiting).rejects.toMatchObject({ code: "PERSISTENCE", outcome: "not-written" });
      await expect(waiting).rejects.toThrow(/must not wait for another entity/);
      await transaction.rollback();
      expect(await impatient.messages.lookUp(["waits"])).toEqual([]);
      await impatient.close();

      const patient = await open({ idleTransactionTimeout: 50 });
      const idle = begin(patient);
      await idle.query("CREATE TABLE held (id int)", []);
      expect(await patient.messages.saveRequest(request("waits"), 0, null)).toMatchObject({
        outcome: "accepted",
      });
      await expect(idle.query("SELECT 1", [])).rejects.toThrow(/did nothing for 50 ms/);
      await idle.rollback();
      await patient.close();
    } finally {
      await instance.close();
    }
  });
});

function begin({ messages }: OpenStorage): PostgresTransaction {
  return messages.beginTransaction?.() as PostgresTransaction;
}

function request(requestId: string): Envelope {
  return {
    requestId,
    address: { entityType: "Counter", entityId: "a", shardId: "default:1" },
    tag: "add",
    payload: "{}",
    headers: {},
    persisted: true,
    expects: "reply",
    deduplicationKey: null,
    deliverAt: null,
    uninterruptible: false,
    fromInside: false,
    sender: "test",
    readPendingFirst: false,
  };
}
