import { FencedError, PersistenceError } from "@holdfast/core/adapter";
import { afterAll, afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { CuttingProxy, type Cut } from "../../../test/services/cutting-proxy.ts";
import { postgres } from "../src/index.ts";
import { serverBackend, services } from "./backends.ts";
import { bouncerBefore } from "./bouncer.ts";
import { begin, claim, ENTRY, NO_INBOX, ownedBy, request, startOf, succeeded } from "./work.ts";

const url = inject("postgresUrl");
const bouncer = await bouncerBefore(url);
afterAll(() => bouncer?.stop());

const DRIVERS = ["pg", "postgres.js"] as const;
const CUTS: readonly (Omit<Cut, "needle"> & { readonly when: string })[] = [
  { when: "before COMMIT left", reaches: "none" },
  { when: "in the middle of COMMIT", reaches: "half" },
  { when: "after COMMIT left, before its answer", reaches: "all" },
  { when: "before COMMIT left, and the server is not told", reaches: "none", isTold: false },
  { when: "in the middle of COMMIT, and the server is not told", reaches: "half", isTold: false },
];

/** Each case on a connection of its own through a proxy; `direct` goes past it. */
function lostCommits(connectionString: string, options: Parameters<typeof postgres>[0]): void {
  let backend: ReturnType<typeof serverBackend>;
  beforeEach(() => {
    backend = serverBackend(url ?? "");
  });
  afterEach(() => backend.dispose());

  const effect = (): string => `INSERT INTO ${backend.schema}_effects VALUES ('effect')`;

  it.each(CUTS)(
    "$when: a reply and its writes are there together or not at all, and it says which",
    async (cut) => {
      await using proxy = await CuttingProxy.start(connectionString);
      const session = await postgres({
        ...options,
        connectionString: proxy.url,
        schema: backend.schema,
      }).open(services());
      try {
        const { messages } = session;
        const fence = await claim(messages);
        const envelope = request();
        await messages.saveRequest(envelope, 1, fence);
        await backend.transactions?.has("made");
        const transaction = begin(messages);
        await transaction.query(effect(), []);
        proxy.cutAt({ needle: "COMMIT", ...cut });
        const saved = await messages
          .saveReply(succeeded(envelope.requestId), fence, transaction)
          .catch((error: unknown) => error);
        await proxy.deliverLate();
        const [state] = await messages.lookUp([envelope.requestId]);
        expect(await backend.transactions?.has("effect")).toBe(state?.state === "answered");
        if (state?.state === "answered") expect(saved).toEqual(state.reply);
        else expect(saved).toMatchObject({ code: "PERSISTENCE", outcome: "not-written" });
        // It works again by itself.
        if (state?.state !== "answered") {
          const again = begin(messages);
          await again.query(effect(), []);
          await messages.saveReply(succeeded(envelope.requestId), fence, again);
        }
        expect(await backend.sql(`SELECT * FROM ${backend.schema}_effects`)).toHaveLength(1);
      } finally {
        await session.close();
      }
    },
  );

  it("writes nothing more where BEGIN was refused, and does not commit", async () => {
    await using proxy = await CuttingProxy.start(connectionString);
    const session = await postgres({ ...options, connectionString: proxy.url, schema: backend.schema }).open(
      services(),
    );
    try {
      const { messages } = session;
      const fence = await claim(messages);
      const envelope = request();
      await messages.saveRequest(envelope, 1, fence);
      await backend.transactions?.has("made");
      proxy.misspell("BEGIN");
      const transaction = begin(messages);
      const lost: unknown = expect.objectContaining({ code: "PERSISTENCE", outcome: "not-written" });
      // This one may have left together with BEGIN.
      await expect(transaction.query("SELECT 1", [])).rejects.toEqual(lost);
      await expect(transaction.query(effect(), [])).rejects.toEqual(lost);
      const saving = messages.saveReply(succeeded(envelope.requestId), fence, transaction);
      await expect(saving).rejects.toEqual(lost);
      expect(await backend.transactions?.has("effect")).toBe(false);
      expect(await messages.lookUp([envelope.requestId])).toMatchObject([{ state: "pending" }]);
      // It works again by itself.
      const again = begin(messages);
      await again.query(effect(), []);
      await messages.saveReply(succeeded(envelope.requestId), fence, again);
      expect(await backend.sql(`SELECT * FROM ${backend.schema}_effects`)).toHaveLength(1);
    } finally {
      await session.close();
    }
  });

  it.each(CUTS)("$when: a journal entry and its writes are there together or not at all", async (cut) => {
    await using proxy = await CuttingProxy.start(connectionString);
    const session = await postgres({ ...options, connectionString: proxy.url, schema: backend.schema }).open(
      services(),
    );
    try {
      const { messages, workflows } = session;
      const fence = await claim(messages);
      const start = startOf("1");
      await messages.saveRequest(start, 1, fence);
      const execution = ownedBy(start);
      await backend.transactions?.has("made");
      const transaction = begin(messages);
      await transaction.query(effect(), []);
      proxy.cutAt({ needle: "COMMIT", ...cut });
      const failure = await workflows
        .appendJournal(execution, [ENTRY], fence, transaction)
        .then(() => null)
        .catch((error: unknown) => error);
      await proxy.deliverLate();
      const { entries } = await workflows.readExecution(execution, NO_INBOX);
      expect(await backend.transactions?.has("effect")).toBe(entries.length === 1);
      if (entries.length === 1) expect(failure).toBeNull();
      else expect(failure).toMatchObject({ code: "PERSISTENCE", outcome: "not-written" });
    } finally {
      await session.close();
    }
  });

  it("is not taken for its own if another runner claimed the shard in between", async () => {
    await using proxy = await CuttingProxy.start(connectionString);
    const shared = { ...options, schema: backend.schema };
    const session = await postgres({ ...shared, connectionString: proxy.url }).open(services());
    const other = await postgres({ ...shared, connectionString }).open(services());
    try {
      const fence = await claim(session.messages);
      const start = startOf("1");
      await session.messages.saveRequest(start, 1, fence);
      const execution = ownedBy(start);
      const transaction = begin(session.messages);
      await transaction.query("SELECT 1", []);
      proxy.cutAt({ needle: "COMMIT", reaches: "none" });
      const next = claim(other.messages);
      const failure = await session.workflows
        .appendJournal(execution, [ENTRY], fence, transaction)
        .then(() => null)
        .catch((error: unknown) => error);
      await other.workflows.appendJournal(execution, [ENTRY], await next, null);
      // Fenced before its COMMIT, or found to be so when it looked, or the claim came after.
      expect(
        failure instanceof FencedError ||
          (failure instanceof PersistenceError && failure.outcome === "not-written"),
      ).toBe(true);
    } finally {
      await session.close();
      await other.close();
    }
  });
}

describe.skipIf(url === null).each(DRIVERS)("a connection lost at COMMIT, through %s", (driver) => {
  lostCommits(url ?? "", { driver, poolSize: 6 });
});

describe.skipIf(bouncer === null).each(DRIVERS)("the same through PgBouncer and %s", (driver) => {
  lostCommits(bouncer?.url ?? "", { driver, poolSize: 6, pooler: "transaction" });
});
