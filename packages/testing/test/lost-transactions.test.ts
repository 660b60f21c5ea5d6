// Handlers, activities and crons whose transaction could not begin, or lost its session, below the error that they end with.

import {
  defineCron,
  defineEntity,
  defineWorkflow,
  FencedError,
  rpc,
  TransactionUnavailableError,
} from "@holdfast/core";
import { transactionScopeOf, type Fence } from "@holdfast/core/adapter";
import { createTestCluster, type TestCluster, type TestClusterOptions } from "@holdfast/testing";
import { describe, expect, it } from "vitest";
import { Door, inDoubt, notWritten, tampering } from "./tampering.ts";

const Desk = defineEntity({
  name: "Desk",
  concurrency: 0,
  rpcs: { write: rpc<void, string>({ persisted: true }) },
});

const lost = notWritten("a transaction");
/** One that could not begin. */
const neverBegun = { kind: "test", lostWith: lost, couldNotBegin: true, rollback: async () => undefined };

/** Begins one whose session lives. */
const beginTransaction = () => ({ kind: "test", lostWith: null, rollback: async () => undefined });

/** A desk that writes in a transaction, and how often it has begun to. */
function countingDesk() {
  let begun = 0;
  const desk = Desk.implement({
    write(_input, ctx) {
      transactionScopeOf(ctx, "test").open("test");
      begun += 1;
      return `written in attempt ${ctx.attempt}`;
    },
  });
  return { desk, begun: () => begun };
}

describe("a handler that ends with a wrapped error", () => {
  it.each([
    ["is attempted again where its transaction was lost with the cause", "its own", 2],
    ["has failed where the cause is another's", "another's", 1],
    ["has failed where its error says that it is final", "its own", 1],
  ])("%s", async (what, whose, attempts) => {
    const cause = whose === "its own" ? lost : notWritten("what another asked for");
    const isFinal = what.includes("final");
    let begun = 0;
    const desk = Desk.implement({
      write(_input, ctx) {
        transactionScopeOf(ctx, "test").open("test");
        begun += 1;
        if (begun === 1)
          throw Object.assign(new Error("a query failed", { cause }), isFinal ? { retryable: false } : {});
        return "written";
      },
    });
    await using cluster = await createTestCluster({
      register: [desk],
      tamper: tampering(({ messages }) => ({
        messages: {
          beginTransaction: () => ({ kind: "test", lostWith: lost, rollback: async () => undefined }),
          saveReply: (reply, fence) => messages.saveReply(reply, fence, null),
        },
      })),
    });
    const written = cluster
      .entity(Desk, "a")
      .write()
      .catch((error: unknown) => (error as Error).message);
    await cluster.advance("10s");
    expect(await written).toBe(attempts === 2 ? "written" : "a query failed");
    expect(begun).toBe(attempts);
  });
});

describe("a handler whose transaction could not begin", () => {
  /** So many attempts may fail after the first. Of all that are made the first `times` find no connection. */
  async function begun(times: number, storageMessageMaxRetries: number) {
    const attempts: number[] = [];
    const begunAt = new Set<number>();
    const desk = Desk.implement({
      write(_input, ctx) {
        transactionScopeOf(ctx, "test").open("test");
        attempts.push(ctx.attempt);
        begunAt.add(cluster.now());
        if (attempts.length <= times) throw lost;
        return "written";
      },
    });
    await using cluster = await createTestCluster({
      register: [desk],
      storageMessageMaxRetries,
      tamper: tampering(({ messages }) => ({
        messages: {
          beginTransaction: () => neverBegun,
          saveReply: (reply, fence) => messages.saveReply(reply, fence, null),
        },
      })),
    });
    const written = cluster
      .entity(Desk, "a")
      .write()
      .catch((error: unknown) => (error as Error).name);
    await cluster.advance("1 hour");
    return { came: await written, attempts, pauses: begunAt.size - 1 };
  }

  it.each([0, 1])("is attempted again, which counts for nothing, where %i more may fail", async (retries) => {
    expect(await begun(5, retries)).toEqual({ came: "written", attempts: [1, 2, 3, 4, 5, 6], pauses: 5 });
  });

  it("is a dead letter at last all the same", async () => {
    const { came, attempts } = await begun(Number.POSITIVE_INFINITY, 1);
    expect(came).toBe("DeadLetteredError");
    expect(attempts).toHaveLength(100 + 2);
  });
});

it("an activity whose transaction could not begin is attempted again, which counts for nothing", async () => {
  const attempts: number[] = [];
  const begunAt = new Set<number>();
  const Write = defineWorkflow<void, string>({ name: "Write", key: () => "w" });
  const write = Write.implement({
    execute: (ctx) =>
      ctx.run("write", (activity) => {
        transactionScopeOf(activity, "test").open("test");
        attempts.push(activity.attempt);
        begunAt.add(cluster.now());
        if (attempts.length <= 5) throw lost;
        return "written";
      }),
  });
  await using cluster = await createTestCluster({
    register: [write],
    storageMessageMaxRetries: 1,
    tamper: tampering(({ messages, workflows }) => ({
      messages: {
        beginTransaction: () => neverBegun,
        saveReply: (reply, fence) => messages.saveReply(reply, fence, null),
      },
      workflows: {
        appendJournal: (execution, entries, fence) =>
          workflows.appendJournal(execution, entries, fence, null),
      },
    })),
  });
  const handle = await cluster.workflow(Write).start();
  await cluster.advance("1 minute");
  expect([await handle.poll(), attempts]).toEqual(["written", [1, 2, 3, 4, 5, 6]]);
  expect(begunAt.size, "with pauses between them").toBe(6);
});

it("an activity that had no transaction, and fails with an error of storage, has failed like any other", async () => {
  const attempts: number[] = [];
  const Write = defineWorkflow<void, string>({ name: "Write", key: () => "w" });
  const write = Write.implement({
    execute: (ctx) =>
      ctx.run("write", { retries: 1 }, ({ attempt }) => {
        attempts.push(attempt);
        if (attempts.length === 1) throw notWritten("what it asked for elsewhere");
        return "written";
      }),
  });
  await using cluster = await createTestCluster({ register: [write] });
  const handle = await cluster.workflow(Write).start();
  await cluster.advance("1 minute");
  expect([await handle.poll(), attempts]).toEqual(["written", [1, 2]]);
});

describe("a cron's run that ends with an error", () => {
  it.each([
    ["is repeated for the same instant where its transaction was lost with it", "its own", [1, 2]],
    ["was the only one of its instant where the error is another's", "another's", [1]],
  ])("%s", async (_what, whose, attempts) => {
    const runs: [instant: string, attempt: number][] = [];
    const hourly = defineCron({
      name: "hourly",
      schedule: "0 * * * *",
      run(scheduledTime, ctx) {
        transactionScopeOf(ctx, "test").open("test");
        runs.push([scheduledTime.toISOString(), ctx.attempt]);
        if (runs.length === 1) throw whose === "its own" ? lost : notWritten("what another asked for");
      },
    });
    await using cluster = await createTestCluster({
      register: [hourly],
      tamper: tampering(({ messages }) => ({
        messages: {
          beginTransaction: () => ({ kind: "test", lostWith: lost, rollback: async () => undefined }),
          saveReply: (reply, fence) => messages.saveReply(reply, fence, null),
        },
      })),
    });
    await cluster.advance("90 minutes");
    expect(runs).toEqual(attempts.map((attempt) => ["2030-01-01T01:00:00.000Z", attempt]));
  });
});

describe("a handler whose transaction is refused when it commits", () => {
  it.each([
    ["is attempted again where the refusal says that it may pass then", true, ["written", 2]],
    ["has failed otherwise, once", false, ["TransactionUnavailableError", 1]],
  ])("%s", async (_what, retryable, expected) => {
    let begun = 0;
    let saved = 0;
    const desk = Desk.implement({
      write(_input, ctx) {
        transactionScopeOf(ctx, "test").open("test");
        begun += 1;
        return "written";
      },
    });
    await using cluster = await createTestCluster({
      register: [desk],
      tamper: tampering(({ messages }) => ({
        messages: {
          beginTransaction,
          async saveReply(reply, fence) {
            saved += 1;
            const cause = Object.assign(new Error("could not serialize"), retryable ? { retryable } : {});
            if (saved === 1)
              throw new TransactionUnavailableError({ wanted: "test", why: "it was refused" }, { cause });
            return messages.saveReply(reply, fence, null);
          },
        },
      })),
    });
    const written = cluster
      .entity(Desk, "a")
      .write()
      .catch((error: unknown) => (error as Error).name);
    await cluster.advance("10s");
    expect([await written, begun]).toEqual(expected);
  });

  it("is a dead letter that says why, once it was refused too often", async () => {
    const desk = Desk.implement({
      write(_input, ctx) {
        transactionScopeOf(ctx, "test").open("test");
        return "written";
      },
    });
    await using cluster = await createTestCluster({
      register: [desk],
      storageMessageMaxRetries: 1,
      tamper: tampering(() => ({
        messages: {
          beginTransaction,
          async saveReply() {
            const cause = Object.assign(new Error("could not serialize"), { retryable: true });
            throw new TransactionUnavailableError({ wanted: "test", why: "it was refused" }, { cause });
          },
        },
      })),
    });
    const written = cluster.entity(Desk, "a").write();
    await expect(written).rejects.toThrow("it was refused");
    const [letter] = await cluster.deadLetters.list();
    expect(letter?.error.message).toContain("it was refused");
  });
});

describe("a handler whose connection is lost when it commits", () => {
  it.each([
    ["is not begun again where storage has its reply (INV-3)", true, 1],
    ["is begun again where it has not, and only then (INV-3)", false, 2],
  ])("%s", async (_what, hasCommitted, expected) => {
    const { desk, begun } = countingDesk();
    const over = new Set<unknown>();
    /** What committed. */
    const effects: number[] = [];
    await using cluster = await createTestCluster({
      register: [desk],
      tamper: tampering(({ messages }) => ({
        messages: {
          beginTransaction,
          async saveReply(reply, fence, transaction) {
            if (transaction === null || over.has(transaction))
              throw new TransactionUnavailableError({ wanted: "test", why: "it is over" });
            over.add(transaction);
            const isLost = over.size === 1;
            if (isLost && !hasCommitted) throw inDoubt("saveReply");
            const saved = await messages.saveReply(reply, fence, null);
            effects.push(begun());
            if (isLost) throw inDoubt("saveReply");
            return saved;
          },
        },
      })),
    });
    const written = cluster.entity(Desk, "a").write();
    await cluster.advance("10s");
    expect(await written).toBe(`written in attempt ${expected}`);
    expect(begun()).toBe(expected);
    expect(effects).toEqual([expected]);
  });

  it.each(["its commit is under way, and holds the request", "storage cannot be asked for it at first"])(
    "is not begun again where %s (INV-3)",
    async (what) => {
      const { desk, begun } = countingDesk();
      let refusals = 2;
      let isLost = false;
      let commit: (() => Promise<unknown>) | null = null;
      const refuse = (operation: string): void => {
        if (isLost && refusals > 0) {
          refusals -= 1;
          throw notWritten(operation);
        }
      };
      await using cluster = await createTestCluster({
        register: [desk],
        tamper: tampering(({ messages }) => ({
          messages: {
            beginTransaction,
            async saveReply(reply, fence) {
              if (isLost) return messages.saveReply(reply, fence, null);
              commit = () => messages.saveReply(reply, fence, null);
              if (!what.startsWith("its commit")) await commit();
              isLost = true;
              throw inDoubt("saveReply");
            },
            async recordAttempt(requestId, attempts, fence) {
              if (what.startsWith("its commit")) {
                refuse("recordAttempt");
                if (isLost) await commit?.();
              }
              await messages.recordAttempt(requestId, attempts, fence);
            },
            async lookUp(requestIds) {
              if (!what.startsWith("its commit")) refuse("lookUp");
              return messages.lookUp(requestIds);
            },
          },
        })),
      });
      const written = cluster.entity(Desk, "a").write();
      await cluster.advance("20s");
      expect(await written).toBe("written in attempt 1");
      expect(begun()).toBe(1);
    },
  );

  it("is not begun again where its reply was seen late, and forgotten by then (INV-3)", async () => {
    const { desk, begun } = countingDesk();
    let isForgotten = false;
    let commit: (() => Promise<unknown>) | null = null;
    await using cluster = await createTestCluster({
      register: [desk],
      tamper: tampering(({ messages }) => ({
        messages: {
          beginTransaction,
          async saveReply(reply, fence) {
            if (commit !== null) return messages.saveReply(reply, fence, null);
            commit = () => messages.saveReply(reply, fence, null);
            throw inDoubt("saveReply");
          },
          async recordAttempt(requestId, attempts, fence) {
            if (commit !== null) {
              await commit();
              isForgotten = true;
            }
            await messages.recordAttempt(requestId, attempts, fence);
          },
          lookUp: async (requestIds) => (isForgotten ? [] : messages.lookUp(requestIds)),
        },
      })),
    });
    const heard = cluster
      .entity(Desk, "a")
      .write(undefined, { timeout: "1 day" })
      .then(String, (error: Error) => error.message);
    await cluster.advance("20s");
    expect(isForgotten).toBe(true);
    expect(begun()).toBe(1);
    expect(await Promise.race([heard, cluster.advance("1 hour").then(() => "nothing")])).toContain(
      "is forgotten",
    );
  });
});

describe("the transaction of a handler", () => {
  /** A desk whose transactions say how they ended: by what was saved in them, or rolled back. */
  async function openedBy(
    write: (attempt: number, cluster: TestCluster) => Promise<string>,
    { isRefused, ...config }: TestClusterOptions & { isRefused?: (fence: Fence) => boolean } = {},
  ) {
    const ended: string[] = [];
    let opened = 0;
    const desk = Desk.implement({
      write(_input, ctx) {
        transactionScopeOf(ctx, "test").open("test");
        return write(ctx.attempt, cluster);
      },
    });
    const cluster: TestCluster = await createTestCluster({
      register: [desk],
      tamper: tampering(({ messages }) => ({
        messages: {
          beginTransaction() {
            opened += 1;
            const number = opened;
            let isOver = false;
            return {
              kind: "test",
              commit() {
                if (isOver) throw new TransactionUnavailableError({ wanted: "test", why: "it is over" });
                isOver = true;
                ended.push(`${number} committed`);
              },
              async rollback() {
                if (!isOver) ended.push(`${number} rolled back`);
                isOver = true;
              },
            };
          },
          async saveReply(reply, fence, transaction) {
            if (isRefused?.(fence) === true) {
              await transaction?.rollback();
              throw new FencedError({ ...fence, current: null });
            }
            if (transaction !== null) (transaction as unknown as { commit(): void }).commit();
            return messages.saveReply(reply, fence, null);
          },
        },
      })),
      ...config,
    });
    return { cluster, ended, [Symbol.asyncDispose]: () => cluster.shutdown() };
  }

  it("is rolled back where that fails, whose error is its reply all the same", async () => {
    await using test = await openedBy(() => Promise.reject(new Error("refused")));
    await expect(test.cluster.entity(Desk, "a").write()).rejects.toThrow("refused");
    expect(test.ended).toEqual(["1 rolled back"]);
  });

  it("is rolled back where that asks for another attempt, which has one of its own", async () => {
    await using test = await openedBy(async (attempt) => {
      if (attempt === 1) throw Object.assign(new Error("busy"), { retryable: true });
      return "written";
    });
    expect(await test.cluster.entity(Desk, "a").write()).toBe("written");
    expect(test.ended).toEqual(["1 rolled back", "2 committed"]);
  });

  it("is rolled back where its shard leaves, and not committed by a handler that goes on", async () => {
    const going = new Door();
    going.close();
    await using test = await openedBy(() => going.passed().then(() => "written"), {
      runners: 2,
      entityTerminationTimeout: "1s",
    });
    const { cluster, ended } = test;
    const written = cluster.entity(Desk, "a").write();
    await cluster.advance("1s");
    const owner = cluster.runners.findIndex((runner) => runner.metrics.snapshot()["activeEntities"] === 1);
    void cluster.runners[owner]?.shutdown();
    await cluster.advance("10s");
    expect(ended).toEqual(["1 rolled back"]);
    going.open();
    await cluster.advance("10s");
    expect(await written).toBe("written");
    expect(ended).toEqual(["1 rolled back", "2 committed"]);
  });

  it("is not begun any more by one that was left behind", async () => {
    const going = new Door();
    going.close();
    let begun = 0;
    const desk = Desk.implement({
      async write(_input, ctx) {
        await going.passed();
        transactionScopeOf(ctx, "test").open("test");
        return "written";
      },
    });
    await using cluster = await createTestCluster({
      runners: 2,
      entityTerminationTimeout: "1s",
      register: [desk],
      tamper: tampering(({ messages }) => ({
        messages: {
          beginTransaction() {
            begun += 1;
            return beginTransaction();
          },
          saveReply: (reply, fence) => messages.saveReply(reply, fence, null),
        },
      })),
    });
    const written = cluster.entity(Desk, "a").write();
    await cluster.advance("1s");
    void cluster.runners.find((runner) => runner.metrics.snapshot()["activeEntities"] === 1)?.shutdown();
    await cluster.advance("10s");
    going.open();
    await cluster.advance("10s");
    expect(await written).toBe("written");
    expect(begun).toBe(1);
  });

  it("is rolled back where its shard leaves at the very moment at which it is done", async () => {
    const going = new Door();
    going.close();
    const calls = Array.from({ length: 40 }, (_, call) => call);
    let begun = 0;
    let refused: number | null = null;
    await using test = await openedBy(
      async () => {
        const microtasks = begun;
        begun += 1;
        // The last one is done at once: that its reply is refused is what the shard leaves for.
        if (microtasks < calls.length - 1) await going.passed();
        for (let count = 0; count < microtasks; count += 1) await Promise.resolve();
        return "written";
      },
      {
        isRefused({ epoch }) {
          refused ??= epoch;
          going.open();
          return epoch <= refused;
        },
      },
    );
    const { cluster, ended } = test;
    const written = calls.map(() => cluster.entity(Desk, "a").write());
    await cluster.advance("1 minute");
    expect(await Promise.all(written)).toEqual(calls.map(() => "written"));
    expect(begun).toBe(80);
    expect(ended.filter((end) => end.endsWith("rolled back"))).toHaveLength(40);
    expect(ended.filter((end) => end.endsWith("committed"))).toHaveLength(40);
  });
});
