import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { adapterServices } from "@holdfast/testing";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { audit } from "../src/demo/audit.ts";
import { sqlite } from "../src/index.ts";
import { start, type Child } from "./child.ts";

const MAIN = fileURLToPath(new URL("../src/demo/main.ts", import.meta.url));
const WRITER = fileURLToPath(new URL("writer.ts", import.meta.url));
const BOOKINGS = 200;

let folder: string;
let path: string;
let children: Child[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "holdfast-sqlite-"));
  path = join(folder, "data", "holdfast.db");
  children = [];
});
afterEach(async () => {
  for (const child of children) child.process.kill("SIGKILL");
  await Promise.all(children.map(({ ended }) => ended));
  await rm(folder, { recursive: true, force: true });
});

function startChild(...given: Parameters<typeof start>): Child {
  const child = start(...given);
  children.push(child);
  return child;
}

async function kill(child: Child): Promise<void> {
  child.process.kill("SIGKILL");
  await child.ended;
}

describe("an entity and a workflow on SQLite", () => {
  it("lose nothing and do nothing twice although their process is killed again and again", async () => {
    const rowsOf = (table: "payments" | "tickets"): number => {
      const database = new DatabaseSync(path, { readOnly: true });
      try {
        return (database.prepare(`SELECT count(*) AS rows FROM ${table}`).get() as { rows: number }).rows;
      } finally {
        database.close();
      }
    };
    // How many bookings had begun and were not over, at each kill.
    const cutShort: number[] = [];
    // After so many bookings of each process: early, while most are only paid for, and late.
    for (const booked of [1, 20, 5, 60]) {
      const run = startChild(MAIN, [], { BOOKINGS_FILE: path });
      expect(await run.until((output) => output.includes(`booked ${booked}/`)), run.output()).toBe(true);
      await kill(run);
      cutShort.push(rowsOf("payments") - rowsOf("tickets"));
    }
    expect(Math.max(...cutShort)).toBeGreaterThan(10);
    const last = startChild(MAIN, [], { BOOKINGS_FILE: path });
    expect(await last.ended, last.output()).toBe(0);
    expect(last.output()).toContain("lost 0, doubled 0");
    const database = new DatabaseSync(path, { readOnly: true });
    try {
      expect(audit(database, BOOKINGS)).toEqual({ lost: 0, doubled: 0 });
      expect(rowsOf("tickets")).toBe(BOOKINGS);
    } finally {
      database.close();
    }
  });
});

describe("several processes on one file", () => {
  beforeEach(async () => {
    await (await sqlite({ path }).open(adapterServices())).close();
    const database = new DatabaseSync(path);
    database.exec("CREATE TABLE effects (key TEXT NOT NULL)");
    database.close();
  });

  it("write side by side, each under its own shard, and have everything that was told, also of one that was killed", async () => {
    const writers = ["default:1", "default:2", "default:3"].map((shardId, index) => ({
      shardId,
      name: `writer${index}`,
      child: startChild(WRITER, [path, shardId, `writer${index}`]),
    }));
    for (const { child } of writers)
      expect(await child.until((output) => roundsIn(output).length >= 25), child.output()).toBe(true);
    await kill((writers[0] as { child: Child }).child);
    const { messages, workflows, close } = await sqlite({ path }).open(adapterServices());
    try {
      await messages.claimShards(["default:1", "default:2", "default:3"]);
      for (const { child } of writers.slice(1)) {
        expect(await child.ended, child.output()).toBe(0);
        expect(child.output()).toContain("fenced");
      }
      const sequences = writers.flatMap(({ child }) => roundsIn(child.output()).map(({ as }) => as));
      expect(new Set(sequences).size).toBe(sequences.length);
      for (const { name, child } of writers) {
        const told = roundsIn(child.output());
        const states = await messages.lookUp(told.map(({ round }) => `${name}-${round}`));
        expect(states.map(({ state }) => state)).toEqual(told.map(() => "answered"));
        const { entries } = await workflows.readExecution(
          { entityType: "workflow:Writer", executionId: name },
          { execution: "execute", inbox: [] },
        );
        expect(entries.length).toBeGreaterThanOrEqual(told.length);
      }
      // An effect is there if and only if its reply is.
      const database = new DatabaseSync(path, { readOnly: true });
      const keys = (database.prepare("SELECT key FROM effects").all() as { key: string }[]).map(
        ({ key }) => key,
      );
      database.close();
      expect(new Set(keys).size).toBe(keys.length);
      const answered = (await messages.lookUp(keys)).filter(({ state }) => state === "answered");
      expect(answered).toHaveLength(keys.length);
    } finally {
      await close();
    }
  });

  it("have no write of the old owner once a claim of another process resolved (INV-1)", async () => {
    const { messages, workflows, close } = await sqlite({ path }).open(adapterServices());
    try {
      for (let turn = 0; turn < 5; turn += 1) {
        const name = `turn${turn}`;
        const child = startChild(WRITER, [path, "default:1", name]);
        expect(await child.until((output) => roundsIn(output).length > 3 * turn), child.output()).toBe(true);
        await messages.claimShards(["default:1"]);
        const journal = (): ReturnType<typeof workflows.readExecution> =>
          workflows.readExecution(
            { entityType: "workflow:Writer", executionId: name },
            { execution: "execute", inbox: [] },
          );
        const atClaim = await journal();
        expect(await child.ended, child.output()).toBe(0);
        expect(child.output()).toContain("fenced");
        expect(await journal()).toEqual(atClaim);
      }
    } finally {
      await close();
    }
  });
});

/** What a writer told: its rounds, and the sequences of their requests. */
function roundsIn(output: string): readonly { readonly round: number; readonly as: number }[] {
  return [...output.matchAll(/wrote (\d+) as (\d+)$/gmu)].map(([, round, as]) => ({
    round: Number(round),
    as: Number(as),
  }));
}
