// Persisted requests that run before they are stored, so that one write stores them with their replies.

import { defineEntity, rpc, type EntityImplementation, type HandlerContext } from "@holdfast/core";
import { transactionScopeOf } from "@holdfast/core/adapter";
import { createTestCluster, type TestCluster } from "@holdfast/testing";
import { describe, expect, it } from "vitest";
import * as z from "zod";
import { Door, notWritten, tampering } from "./tampering.ts";

const Till = defineEntity({
  name: "Till",
  rpcs: {
    ring: rpc<number, number>({ persisted: true }),
    refuse: rpc<number, void>({ persisted: true }),
    count: rpc<number, number>({ persisted: true }),
  },
});

interface Shop {
  readonly cluster: TestCluster;
  /** What was handled, in order. */
  readonly rung: number[];
  [Symbol.asyncDispose](): Promise<void>;
}

/** A till whose rings are known to be brief. */
async function shop(runners = 1): Promise<Shop> {
  const rung: number[] = [];
  const till: EntityImplementation = Till.implement({
    async ring(amount) {
      rung.push(amount);
      return amount;
    },
    async refuse(amount) {
      rung.push(amount);
      throw new Error("no change");
    },
    async count(amount) {
      await cluster.sleep(1);
      rung.push(amount);
      return amount;
    },
  });
  const cluster = await createTestCluster({
    runners,
    seed: 1,
    shardRebalanceDebounce: "200ms",
    register: [till],
  });
  for (let id = 0; id < 8; id += 1) {
    await cluster.entity(Till, `${id}`).ring(0);
    await expect(cluster.entity(Till, `${id}`).refuse(0)).rejects.toThrow("no change");
    await cluster.entity(Till, `${id}`).count(0);
  }
  rung.length = 0;
  // What is sent so soon after a shard came may have been sent before, by another clock.
  await cluster.advance("2s");
  return { cluster, rung, [Symbol.asyncDispose]: () => cluster.shutdown() };
}

/** How a call stands. */
function watched(call: Promise<unknown>): { state: unknown } {
  const seen: { state: unknown } = { state: "waits" };
  void call.then(
    (value) => (seen.state = value),
    (error: unknown) => (seen.state = error),
  );
  return seen;
}

/** One whose handlers await nothing. */
function briefTill(ring: (amount: number, ctx: HandlerContext) => number): EntityImplementation {
  return Till.implement({ ring, refuse: () => undefined, count: (amount) => amount });
}

describe("a persisted request of an rpc whose handlers are brief", () => {
  it("runs before it is stored, and is answered when it is, after one write", async () => {
    await using test = await shop();
    const { cluster, rung } = test;
    cluster.faults({ storageDelay: ["1s", "1s"] });
    const ringing = watched(cluster.entity(Till, "0").ring(1));
    const refusing = watched(cluster.entity(Till, "1").refuse(2));
    await cluster.advance("900ms");
    expect(rung).toEqual([1, 2]);
    expect([ringing.state, refusing.state]).toEqual(["waits", "waits"]);
    // There and back once: a second write would take as long again.
    await cluster.advance("1200ms");
    expect(ringing.state).toBe(1);
    expect(refusing.state).toMatchObject({ message: "no change" });
  });

  it("does not where it has a key, is only to be accepted, or its handlers wait for something", async () => {
    await using test = await shop();
    const { cluster, rung } = test;
    cluster.faults({ storageDelay: ["1s", "1s"] });
    const calls = [
      cluster.entity(Till, "0").ring(1, { idempotencyKey: "a" }),
      cluster.entity(Till, "1").ring.notify(2),
      cluster.entity(Till, "2").count(3),
    ];
    await cluster.advance("900ms");
    expect(rung).toEqual([]);
    await cluster.advance("10s");
    await Promise.all(calls);
    expect(new Set(rung)).toEqual(new Set([1, 2, 3]));
    expect(rung.length).toBe(3);
  });

  it.each([
    ["is stored at the second try", 1, ["1 committed"]],
    ["cannot be stored, and runs again", 100, ["1 rolled back", "2 committed"]],
  ])(
    "has its reply recorded in the transaction that it opens for once, where it %s",
    async (_what, refusals, expected) => {
      const ended: string[] = [];
      let [refused, opened, transacts, isStored] = [Number.POSITIVE_INFINITY, 0, false, false];
      let beganWhenStored: boolean | null = null;
      const till = briefTill((amount, ctx) => {
        if (transacts) transactionScopeOf(ctx, "test").open("test");
        return amount;
      });
      await using cluster = await createTestCluster({
        register: [till],
        tamper: tampering(({ messages }) => ({
          messages: {
            beginTransaction(after) {
              opened += 1;
              const number = opened;
              void Promise.resolve(after).then(() => (beganWhenStored ??= isStored));
              return { kind: "test", number, rollback: async () => void ended.push(`${number} rolled back`) };
            },
            async saveRequest(envelope, attempts, fence, ready) {
              // Its sender's own, who is no owner, is not refused.
              if (fence !== null && refused < refusals) {
                refused += 1;
                throw notWritten("saveRequest");
              }
              const saved = await messages.saveRequest(envelope, attempts, fence, ready);
              isStored = transacts;
              return saved;
            },
            saveReply(reply, fence, transaction) {
              if (transaction !== null)
                ended.push(`${(transaction as { number?: number }).number} committed`);
              return messages.saveReply(reply, fence, null);
            },
          },
        })),
      });
      await cluster.entity(Till, "0").ring(0);
      await cluster.advance("2s");
      [refused, transacts] = [0, true];
      const ringing = watched(cluster.entity(Till, "0").ring(1));
      await cluster.advance("1 minute");
      refused = refusals;
      await cluster.advance("1 minute");
      expect(ringing.state).toBe(1);
      expect(ended).toEqual(expected);
      expect(beganWhenStored, "it may hold the only connection").toBe(refusals === 1);
    },
  );

  it("keeps its place: what comes behind it runs after it", async () => {
    await using test = await shop();
    const { cluster, rung } = test;
    cluster.faults({ storageDelay: ["0ms", "300ms"] });
    const till = cluster.entity(Till, "0");
    const calls = [1, 2, 3, 4].map((amount) => (amount === 3 ? till.count(amount) : till.ring(amount)));
    await cluster.advance("1 minute");
    expect(await Promise.all(calls)).toEqual([1, 2, 3, 4]);
    expect(rung).toEqual([1, 2, 3, 4]);
  });

  it.each(["storageErrorBeforeCommit", "storageErrorAfterCommit"] as const)(
    "runs once, and is answered, where storage fails for a while (%s)",
    async (fault) => {
      await using test = await shop();
      const { cluster, rung } = test;
      cluster.faults({ [fault]: 1 });
      const answer = watched(cluster.entity(Till, "0").ring(1));
      await cluster.advance("3s");
      expect([rung, answer.state]).toEqual([[1], "waits"]);
      cluster.faults({});
      await cluster.advance("10s");
      expect([rung, answer.state]).toEqual([[1], 1]);
    },
  );

  it.each(["storageErrorBeforeCommit", "storageErrorAfterCommit"] as const)(
    "is answered in the end where storage fails for minutes (%s)",
    async (fault) => {
      await using test = await shop();
      const { cluster, rung } = test;
      cluster.faults({ [fault]: 1 });
      const answer = watched(cluster.entity(Till, "0").ring(1));
      await cluster.advance("2 minutes");
      cluster.faults({});
      await cluster.advance("1 minute");
      expect(answer.state).toBe(1);
      // Its sender was told after ten seconds, and had it stored before it ran again.
      expect(rung).toEqual([1, 1]);
    },
  );

  it("runs once although its message comes twice, the first time before that was known of its rpc", async () => {
    await using test = await shop();
    const { cluster, rung } = test;
    cluster.faults({ duplicate: 1, delay: ["0ms", "200ms"] });
    const calls: Promise<number>[] = [];
    for (let amount = 1; amount <= 60; amount += 1) {
      const till = cluster.entity(Till, `${amount % 8}`);
      // Each that waits has the next one stored first.
      calls.push(amount % 3 === 0 ? till.count(amount) : till.ring(amount));
      await cluster.advance("20ms");
    }
    await cluster.advance("10s");
    await Promise.all(calls);
    expect(rung.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 60 }, (_, index) => index + 1));
  });

  it("runs once although copies come after very many others", { timeout: 120_000 }, async () => {
    await using test = await shop();
    const { cluster, rung } = test;
    cluster.faults({ duplicate: 1, delay: ["0ms", "2s"] });
    const calls: Promise<number>[] = [];
    for (let amount = 1; amount <= 25_000; amount += 1) {
      calls.push(cluster.entity(Till, `${amount % 500}`).ring(amount));
      if (amount % 1_000 === 0) await cluster.advance("20ms");
    }
    await cluster.advance("30s");
    await Promise.all(calls);
    expect(rung.length).toBe(25_000);
  });

  it("runs once although its first sending comes long after its second", async () => {
    await using test = await shop();
    const { cluster, rung } = test;
    cluster.faults({ delay: ["8s", "8s"] });
    const call = cluster.entity(Till, "0").ring(1);
    await cluster.advance("1ms");
    cluster.faults({});
    await cluster.advance("5s");
    expect(await call).toBe(1);
    await cluster.advance("10s");
    expect(rung).toEqual([1]);
  });

  it("runs once although it comes long after its sender stored it itself", async () => {
    await using test = await shop();
    const { cluster, rung } = test;
    cluster.faults({ delay: ["30s", "30s"] });
    const call = cluster.entity(Till, "0").ring(1);
    await cluster.advance("1ms");
    cluster.faults({ drop: 1 });
    await cluster.advance("12s");
    cluster.faults({});
    await cluster.advance("5s");
    expect(await call).toBe(1);
    await cluster.advance("30s");
    expect(rung).toEqual([1]);
  });

  it("runs once although its sender stored it meanwhile, and its reply is not recorded at the first try", async () => {
    const storing = new Door();
    const rung: number[] = [];
    let refusals = 0;
    let storedBySender = 0;
    const till = briefTill((amount) => {
      rung.push(amount);
      return amount;
    });
    await using cluster = await createTestCluster({
      register: [till],
      tamper: tampering(({ messages }) => ({
        messages: {
          async saveRequest(envelope, attempts, fence, ready) {
            if (fence === null) storedBySender += 1;
            else await storing.passed();
            return messages.saveRequest(envelope, attempts, fence, ready);
          },
          async saveReply(...args) {
            refusals -= 1;
            if (refusals >= 0) throw notWritten("saveReply");
            return messages.saveReply(...args);
          },
        },
      })),
    });
    await cluster.entity(Till, "0").ring(0);
    await cluster.advance("2s");
    storing.close();
    const ringing = watched(cluster.entity(Till, "0").ring(1));
    await cluster.advance("1ms");
    cluster.faults({ drop: 1 });
    await cluster.advance("12s");
    cluster.faults({});
    expect([rung, storedBySender]).toEqual([[0, 1], 1]);
    refusals = 1;
    storing.open();
    await cluster.advance("1 minute");
    expect(refusals).toBeLessThanOrEqual(0);
    expect([rung, ringing.state]).toEqual([[0, 1], 1]);
  });

  it("runs once although its input is parsed for so long that its sender stores it itself", async () => {
    const parsing = new Door();
    const input = z.number().refine(() => parsing.passed().then(() => true));
    const Parser = defineEntity({ name: "Parser", rpcs: { add: rpc({ input, persisted: true }) } });
    const Plain = defineEntity({ name: "Parser", rpcs: { add: rpc<number, void>({ persisted: true }) } });
    const added: number[] = [];
    const parser = Parser.implement({ add: (amount) => void added.push(amount) });
    await using cluster = await createTestCluster({ register: [parser] });
    const { add } = cluster.entity(Plain, "p");
    await add(1);
    await cluster.advance("2s");
    parsing.close();
    const call = add(2);
    await cluster.advance("1ms");
    parsing.letPass();
    cluster.faults({ drop: 1 });
    await cluster.advance("12s");
    cluster.faults({});
    await cluster.advance("5s");
    await call;
    parsing.open();
    await cluster.advance("5s");
    expect(added).toEqual([1, 2]);
  });

  it("runs once although its sender's own runner has its shard when the first answer is lost", async () => {
    const rung: number[] = [];
    const till = briefTill((amount) => {
      rung.push(amount);
      return amount;
    });
    const Clerk = defineEntity({ name: "Clerk", rpcs: { sell: rpc<number, number>() } });
    const sold: number[] = [];
    const clerk = Clerk.implement({
      sell(amount, ctx) {
        sold.push(amount);
        return ctx.entity(Till, `${amount}`).ring(amount);
      },
    });
    const idle = Clerk.implement({ sell: () => 0 });
    await using cluster = await createTestCluster({
      runners: 2,
      perRunner: (index) => ({ register: [till, index === 0 ? idle : clerk] }),
    });
    const amounts = Array.from({ length: 12 }, (_, index) => index);
    const sellAll = () => Promise.all(amounts.map((n) => cluster.entity(Clerk, `c${n}`).sell(n)));
    await sellAll();
    await Promise.all(amounts.map((n) => cluster.entity(Till, `${n}`).ring(n)));
    await cluster.advance("2s");
    sold.length = rung.length = 0;
    cluster.cut([0], [1]);
    const selling = sellAll();
    await cluster.advance("50ms");
    const leaving = cluster.runners[0]?.shutdown();
    await cluster.advance("10s");
    await leaving;
    await selling;
    expect(sold.length).toBeGreaterThan(0);
    expect(rung.toSorted((one, other) => one - other)).toEqual(sold.toSorted((one, other) => one - other));
  });

  it("runs once although it comes late to an owner that had lost its shard meanwhile", async () => {
    for (let id = 0; id < 6; id += 1) {
      await using test = await shop(2);
      const { cluster, rung } = test;
      void cluster.runners[1]?.shutdown();
      await cluster.advance("5s");
      cluster.faults({ delay: ["20s", "20s"] });
      const call = cluster.entity(Till, `${id}`).ring(1);
      await cluster.advance("1ms");
      cluster.faults({});
      // Half of all shards move, and come back: the second runner has handled what was sent again to it.
      cluster.revive(1);
      await cluster.advance("6s");
      expect(await call).toBe(1);
      void cluster.runners[1]?.shutdown();
      await cluster.advance("20s");
      expect(rung).toEqual([1]);
    }
  });

  it("does not run at all where storage cannot take the id of its entity", async () => {
    await using test = await shop();
    const { cluster, rung } = test;
    cluster.faults({ storageDelay: ["1s", "1s"] });
    void cluster
      .entity(Till, "a\0b")
      .ring(1)
      .catch(() => undefined);
    await cluster.advance("900ms");
    expect(rung).toEqual([]);
  });

  it("is answered by the next owner where its own crashes before it was stored", async () => {
    await using test = await shop(2);
    const { cluster, rung } = test;
    cluster.faults({ storageDelay: ["300ms", "300ms"] });
    const calls = Array.from({ length: 8 }, (_, id) => cluster.entity(Till, `${id}`).ring(id));
    await cluster.advance("100ms");
    const ranAhead = rung.length;
    cluster.runners[0]?.crash();
    cluster.faults({});
    await cluster.advance("1 minute");
    expect(await Promise.all(calls)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(ranAhead).toBe(8);
    expect(new Set(rung).size).toBe(8);
  });

  it("is answered where its shard is handed over while it is stored", async () => {
    await using test = await shop(2);
    const { cluster, rung } = test;
    cluster.faults({ storageDelay: ["300ms", "300ms"] });
    const calls = Array.from({ length: 8 }, (_, id) => cluster.entity(Till, `${id}`).ring(id));
    await cluster.advance("100ms");
    void cluster.runners[0]?.shutdown();
    await cluster.advance("1 minute");
    expect(await Promise.all(calls)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(rung.length).toBe(8);
  });

  it.each([500, 1_050, 1_200, 1_350])(
    "has made no failed attempt where it is cut short by a hand-over, stored in %i ms",
    async (storageMs) => {
      const begun: number[] = [];
      let lastsMs = 0;
      const cluster = await createTestCluster({
        runners: 2,
        seed: 1,
        shardRebalanceDebounce: "200ms",
        storageMessageMaxRetries: 0,
        entityTerminationTimeout: "1s",
        register: [
          Till.implement({
            async ring(amount) {
              begun.push(amount);
              if (lastsMs > 0) await cluster.sleep(lastsMs);
              return amount;
            },
            refuse: () => undefined,
            count: (amount) => amount,
          }),
        ],
      });
      for (let id = 0; id < 8; id += 1) await cluster.entity(Till, `${id}`).ring(0);
      await cluster.advance("2s");
      lastsMs = 20_000;
      cluster.faults({ storageDelay: [storageMs, storageMs] });
      const calls = Array.from({ length: 8 }, (_, id) => cluster.entity(Till, `${id}`).ring(id));
      await cluster.advance("10ms");
      expect(begun.length).toBe(16);
      lastsMs = 0;
      void cluster.runners[0]?.shutdown();
      await cluster.advance("10s");
      cluster.faults({});
      await cluster.advance("1 minute");
      expect(await Promise.all(calls)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
      await cluster.shutdown();
    },
  );
});
