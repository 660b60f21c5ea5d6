// What an entity does as it leaves memory, and what others may do meanwhile.

import { getEventListeners } from "node:events";
import { defineEntity, defineWorkflow, rpc } from "@holdfast/core";
import { createTestCluster, type TestCluster } from "@holdfast/testing";
import { describe, expect, it } from "vitest";

const Cart = defineEntity({
  name: "Cart",
  maxIdleTime: "10s",
  rpcs: { add: rpc<number, number>({ persisted: true }), total: rpc<void, number>() },
});

interface Outside {
  /** What carts wrote as they left memory. */
  readonly table: Map<string, number>;
  readonly log: string[];
  /** The entities that warnings name. */
  readonly warnedOf: unknown[];
  cluster: TestCluster | null;
}

/** Keeps its total in memory, and takes `flushMs` to write it as it leaves. */
function cartOf(outside: Outside, flushMs: number) {
  const { table, log } = outside;
  return Cart.implement((entity) => {
    const { entityId } = entity.address;
    let total = table.get(entityId) ?? 0;
    entity.onEvict(async () => {
      log.push("flush");
      if (entity.signal.aborted) return;
      await outside.cluster?.sleep(flushMs);
      if (entity.signal.aborted) return;
      table.set(entityId, total);
    });
    return { add: (amount) => (total += amount), total: () => total };
  });
}

async function started(flushMs: number, runners: number) {
  const outside: Outside = { table: new Map(), log: [], warnedOf: [], cluster: null };
  const register = [cartOf(outside, flushMs)];
  const skip = (): void => undefined;
  const warn = (_line: string, fields?: Record<string, unknown>): void =>
    void outside.warnedOf.push(fields?.["entity"]);
  const logger = { debug: skip, info: skip, warn, error: skip };
  const cluster = await createTestCluster({ runners, register, shardsPerGroup: 1, logger });
  outside.cluster = cluster;
  await cluster.entity(Cart, "c").add(100);
  const owner = cluster.runners.findIndex(({ shardsOwned }) => shardsOwned > 0);
  return { ...outside, cluster, owner, [Symbol.asyncDispose]: () => cluster.shutdown() };
}

/** Lets time pass until the entity has begun to leave. */
async function untilItLeaves({
  cluster,
  log,
}: {
  cluster: TestCluster;
  log: readonly string[];
}): Promise<void> {
  for (let passedMs = 0; passedMs < 60_000 && log.length === 0; passedMs += 100) await cluster.advance(100);
  expect(log).toEqual(["flush"]);
}

describe("an entity that nobody asks for anything", () => {
  it.each([1_000, 10_000, 60_000, 300_000])(
    "leaves memory %i ms after its last request",
    async (maxIdleTime) => {
      let left = 0;
      const Idle = defineEntity({ name: "Idle", maxIdleTime, rpcs: { ask: rpc<void, void>() } });
      const idle = Idle.implement((entity) => {
        entity.onEvict(() => void (left += 1));
        return { ask: () => undefined };
      });
      await using cluster = await createTestCluster({ register: [idle] });
      const { ask } = cluster.entity(Idle, "a");
      await ask();
      await cluster.advance(maxIdleTime * 0.7);
      await ask();
      await cluster.advance(maxIdleTime - 1);
      expect(left).toBe(0);
      await cluster.advance(100);
      expect(left).toBe(1);
    },
  );
});

describe("an entity that leaves memory", () => {
  it.each([false, true])(
    "is waited for by the drain of its shard, also if it had begun before: %s",
    async (isIdle) => {
      await using test = await started(2_000, 2);
      const { cluster, owner } = test;
      if (isIdle) await untilItLeaves(test);
      const leaving = cluster.runners[owner]?.shutdown();
      await cluster.advance(200);
      const total = cluster.entity(Cart, "c").total();
      await cluster.advance("5s");
      await leaving;
      expect(await total).toBe(100);
    },
  );

  it("is gone after a minute whatever its callbacks do, and fresh handlers take what comes", async () => {
    await using test = await started(3_600_000, 1);
    await untilItLeaves(test);
    const { cluster } = test;
    const total = cluster.entity(Cart, "c").total();
    await cluster.advance("2 minutes");
    expect(await total).toBe(0);
    expect(test.warnedOf).toContain("Cart/c");
  });

  it("keeps what fresh handlers have when callbacks of those before them end at last", async () => {
    await using test = await started(65_000, 1);
    await untilItLeaves(test);
    const { cluster, table } = test;
    const cart = cluster.entity(Cart, "c");
    const added = cart.add(1);
    await cluster.advance("62s");
    expect(await added).toBe(1);
    await cart.add(1);
    await cluster.advance("5s");
    expect([await cart.total(), table.size]).toEqual([2, 0]);
  });

  it.each(["it is idle", "its shard moves"])(
    "has an aborted signal once its callbacks had their time, and writes nothing over its successor, where %s",
    async (why) => {
      await using test = await started(120_000, 2);
      const { cluster, owner, table, log } = test;
      if (why === "it is idle") await untilItLeaves(test);
      else void cluster.runners[owner]?.shutdown();
      await cluster.advance("3 minutes");
      expect(log).toEqual(["flush"]);
      expect(table).toEqual(new Map());
    },
  );

  it("has an aborted signal before its callbacks run where its shard is lost, and writes nothing over its successor", async () => {
    await using test = await started(0, 2);
    const { cluster, owner, table, log } = test;
    cluster.faults({ leaseErrorBeforeEffect: 1 }, [owner]);
    // Never idle for long enough to leave by itself.
    while (log.length === 0) {
      const asked = cluster.entity(Cart, "c").total();
      await cluster.advance("2s");
      await asked;
    }
    expect(table).toEqual(new Map());
  });
});

describe("a shard whose entities still leave memory when it comes back to its runner", () => {
  it("stays there once they have left", async () => {
    const flushed = Promise.withResolvers<void>();
    const cart = Cart.implement((entity) => {
      entity.onEvict(() => flushed.promise);
      return { add: (amount) => amount, total: () => 7 };
    });
    await using cluster = await createTestCluster({
      runners: 2,
      register: [cart],
      entityTerminationTimeout: "10 minutes",
    });
    await cluster.crash(1);
    await cluster.advance("1 minute");
    const carts = Array.from({ length: 12 }, (_, n) => cluster.entity(Cart, `${n}`));
    await Promise.all(carts.map(({ add }) => add(1)));
    // It is dead before it has all of its shards.
    const restarted = cluster.restart(1).catch(() => undefined);
    await cluster.advance("5s");
    expect(cluster.runners[0]?.status().shards.owned).toBeLessThan(300);
    await cluster.crash(1);
    await cluster.advance("1 minute");
    cluster.faults({ leaseErrorBeforeEffect: 1 }, [0]);
    await cluster.advance("40s");
    cluster.faults({});
    await cluster.advance("30s");
    expect(cluster.runners[0]?.status().shards.owned).toBe(300);
    flushed.resolve();
    await cluster.advance("1s");
    const totals = Promise.all(carts.map(({ total }) => total()));
    await cluster.advance("30s");
    await expect(totals).resolves.toEqual(carts.map(() => 7));
    await restarted;
  });
});

describe("an execution that leaves memory while its call waits to be made again", () => {
  it("is not kept by the signal that it gave the call", async () => {
    const Away = defineEntity({ name: "Away", shardGroup: "nobody", rpcs: { ask: rpc<void, void>() } });
    const Asking = defineWorkflow<void, void>({ name: "Asking" });
    const { signal } = new AbortController();
    const asking = Asking.implement({ execute: (ctx) => ctx.entity(Away, "a").ask(undefined, { signal }) });
    await using cluster = await createTestCluster({ register: [asking] });
    await cluster.workflow(Asking).start();
    await cluster.advance("5 minutes");
    expect(cluster.metrics.snapshot()["suspended"]).toBeGreaterThan(5);
    expect(getEventListeners(signal, "abort").length).toBeLessThanOrEqual(1);
  });
});

describe("a runner that shuts down with many entities in memory", () => {
  it("lets others have their turn between those of some shards and those of the next", async () => {
    const entities = 600;
    const evictedInTurn: number[] = [0];
    const signals: (() => AbortSignal)[] = [];
    const kept = Cart.implement((entity) => {
      signals.push(() => entity.signal);
      entity.onEvict(() => void (evictedInTurn[evictedInTurn.length - 1]! += 1));
      return { add: (amount) => amount, total: () => 0 };
    });
    const cluster = await createTestCluster({ runners: 1, register: [kept], shardsPerGroup: 300 });
    await Promise.all(
      Array.from({ length: entities }, (_, each) => cluster.entity(Cart, `c${each}`).total()),
    );
    let isOver = false;
    const count = (): void => {
      evictedInTurn.push(0);
      if (!isOver) setImmediate(count);
    };
    count();
    await cluster.shutdown();
    isOver = true;
    const evicted = evictedInTurn.reduce((sum, each) => sum + each, 0);
    expect(evicted).toBe(entities);
    expect(Math.max(...evictedInTurn)).toBeLessThan(entities / 2);
    // Asked for only now.
    const { aborted, reason } = signals.at(-1)?.() ?? {};
    expect([aborted, reason]).toMatchObject([true, { code: "INTERRUPTED" }]);
  });
});
