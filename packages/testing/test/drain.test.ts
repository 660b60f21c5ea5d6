// What callers see, and how long shards have no owner, when runners leave in order.

import {
  ClusterClosedError,
  defineEntity,
  defineWorkflow,
  EntityNotAssignedError,
  rpc,
  type HandlerContext,
} from "@holdfast/core";
import { createTestCluster, type TestCluster } from "@holdfast/testing";
import { beforeEach, describe, expect, it } from "vitest";
import { Door, notWritten, tampering } from "./tampering.ts";

const Echo = defineEntity({
  name: "Echo",
  rpcs: {
    say: rpc<string, string>(),
    keep: rpc<string, string>({ persisted: true }),
    count: rpc<number, number>({ stream: true }),
    countKept: rpc<number, number>({ stream: true, persisted: true }),
  },
});

const Pair = defineEntity({
  name: "Pair",
  concurrency: 2,
  rpcs: { keep: rpc<string, void>({ persisted: true }) },
});
const Nap = defineWorkflow<string, void>({ name: "Nap", key: (id) => id, hashKey: false });

async function* count(upTo: number): AsyncGenerator<number> {
  for (let n = 0; n < upTo; n += 1) yield n;
}

const echo = Echo.implement({
  say: (text: string) => text,
  keep: (text: string) => text,
  count,
  countKept: count,
});

/** Latencies like those of a real network, which keeps messages in order, of a lease store and of a database. */
const LATENCIES = {
  delay: ["2ms", "2ms"],
  storageDelay: ["1ms", "5ms"],
  leaseDelay: ["1ms", "5ms"],
} as const;

const owned = (cluster: TestCluster): readonly number[] =>
  cluster.runners.map(({ shardsOwned }) => shardsOwned);

/** Notes for how long each shard had no owner. */
class Gaps {
  readonly ms: number[] = [];
  readonly #freeSince = new Map<string, number>();

  constructor(cluster: TestCluster) {
    cluster.events.on("shardLost", ({ shardId }) => this.#freeSince.set(shardId, cluster.now()));
    cluster.events.on("shardAcquired", ({ shardId }) => {
      const since = this.#freeSince.get(shardId);
      if (since !== undefined) this.ms.push(cluster.now() - since);
      this.#freeSince.delete(shardId);
    });
  }

  get longest(): number {
    return Math.max(0, ...this.ms);
  }

  get unowned(): number {
    return this.#freeSince.size;
  }
}

/** Calls one after the other, volatile, persisted and streamed, as several callers do; notes what failed and how long each took. */
class Callers {
  readonly failures: unknown[] = [];
  readonly tookMs: number[] = [];
  #isOver = false;
  readonly #done: Promise<unknown>;

  constructor(cluster: TestCluster, callers: number = 12) {
    this.#done = Promise.all(Array.from({ length: callers }, (_, number) => this.#call(cluster, number)));
  }

  get answered(): number {
    return this.tookMs.length;
  }

  get longest(): number {
    return Math.max(0, ...this.tookMs);
  }

  async stop(cluster: TestCluster): Promise<void> {
    this.#isOver = true;
    await cluster.advance("30s");
    await this.#done;
  }

  async #call(cluster: TestCluster, number: number): Promise<void> {
    for (let call = 0; !this.#isOver; call += 1) {
      const entity = cluster.entity(Echo, `e${(number * 13 + call) % 100}`);
      const text = `${number}/${call}`;
      const began = cluster.now();
      try {
        const reply = await [
          () => entity.say(text),
          () => entity.keep(text),
          () => collect(entity.count(5)),
          () => collect(entity.countKept(5)),
        ][call % 4]?.();
        const expected = call % 4 < 2 ? text : "0,1,2,3,4";
        if (String(reply) !== expected) throw new Error(`${String(reply)} is not ${expected}`);
        this.tookMs.push(cluster.now() - began);
      } catch (error) {
        this.failures.push(error);
      }
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
  }
}

async function collect(stream: AsyncIterable<number>): Promise<readonly number[]> {
  const all: number[] = [];
  for await (const n of stream) all.push(n);
  return all;
}

/** Starts to stop a runner, and says when that is done. */
function leave(cluster: TestCluster, index: number): { tookMs: number | null } {
  const leaving: { tookMs: number | null } = { tookMs: null };
  const began = cluster.now();
  void cluster.runners[index]?.shutdown().then(() => (leaving.tookMs = cluster.now() - began));
  return leaving;
}

describe("a runner that leaves in order, under load", () => {
  it.each([1, 2, 3, 4])(
    "fails no call, and leaves no shard without an owner for long, with seed %i",
    async (seed) => {
      await using cluster = await createTestCluster({ runners: 3, register: [echo], seed });
      cluster.faults(LATENCIES);
      const gaps = new Gaps(cluster);
      const callers = new Callers(cluster);
      await cluster.advance("2s");
      const leaving = leave(cluster, 1);
      await cluster.advance("5s");
      await callers.stop(cluster);
      expect(callers.failures).toEqual([]);
      expect(callers.answered).toBeGreaterThan(200);
      expect(owned(cluster)).toEqual([150, 0, 150]);
      expect(gaps.ms.length).toBeGreaterThanOrEqual(100);
      expect(gaps.longest).toBeLessThan(300);
      expect(callers.longest, "the debounce is 3s").toBeLessThan(1_000);
      expect(leaving.tookMs).toBeLessThan(3_000);
    },
  );

  it("fails no call when two leave at once", async () => {
    await using cluster = await createTestCluster({ runners: 3, register: [echo], seed: 5 });
    cluster.faults(LATENCIES);
    const gaps = new Gaps(cluster);
    const callers = new Callers(cluster);
    await cluster.advance("2s");
    const leaving = [leave(cluster, 0), leave(cluster, 2)];
    await cluster.advance("5s");
    await callers.stop(cluster);
    expect(callers.failures).toEqual([]);
    expect(owned(cluster)).toEqual([0, 300, 0]);
    expect([gaps.unowned, leaving.every(({ tookMs }) => tookMs !== null)]).toEqual([0, true]);
    expect(gaps.longest).toBeLessThan(1_000);
  });

  it("fails no call when all are restarted, one after the other", async () => {
    await using cluster = await createTestCluster({ runners: 3, register: [echo], seed: 6 });
    cluster.faults(LATENCIES);
    const gaps = new Gaps(cluster);
    const callers = new Callers(cluster, 4);
    for (const index of [0, 1, 2]) {
      leave(cluster, index);
      await cluster.advance("5s");
      await cluster.restart(index);
      await cluster.advance("5s");
    }
    await callers.stop(cluster);
    expect(callers.failures).toEqual([]);
    expect(owned(cluster)).toEqual([100, 100, 100]);
    expect(gaps.longest).toBeLessThan(1_000);
  });
});

describe("a runner that leaves in order", () => {
  const Slow = defineEntity({
    name: "Slow",
    concurrency: 0,
    rpcs: { work: rpc<string, string>(), ask: rpc<string, string>({ persisted: true }) },
  });

  it("hands idle shards over at once, and serves a busy one until its handler ends", async () => {
    const releases = new Map<string, () => void>();
    const slow = Slow.implement({
      work: async (id: string) => {
        await new Promise<void>((resolve) => releases.set(id, resolve));
        return id;
      },
      ask: (id: string) => id,
    });
    await using cluster = await createTestCluster({ runners: 2, register: [slow, echo] });
    const ids = Array.from({ length: 40 }, (_, n) => `s${n}`);
    const working = ids.map((id) => cluster.entity(Slow, id).work(id));
    await cluster.advance("100ms");
    expect(releases.size).toBe(40);
    const leaving = leave(cluster, 0);
    await cluster.advance("1s");
    const left = owned(cluster);
    expect(left[1]).toBeGreaterThan(250);
    expect(leaving.tookMs).toBeNull();
    await expect(cluster.entity(Echo, "idle").say("hello")).resolves.toBe("hello");
    for (const release of releases.values()) release();
    await cluster.advance("2s");
    await expect(Promise.all(working)).resolves.toEqual(ids);
    expect(leaving.tookMs).not.toBeNull();
    expect(owned(cluster)).toEqual([0, 300]);
  });

  it("leaves the others ready, although they lack shards until its handlers end", async () => {
    let release: () => void = () => undefined;
    const released = new Promise<void>((resolve) => (release = resolve));
    const slow = Slow.implement({ work: (id: string) => released.then(() => id), ask: (id: string) => id });
    await using cluster = await createTestCluster({ runners: 3, register: [slow] });
    const ids = Array.from({ length: 40 }, (_, n) => `s${n}`);
    const working = ids.map((id) => cluster.entity(Slow, id).work(id));
    await cluster.advance("100ms");
    leave(cluster, 0);
    await cluster.advance("10s");
    for (const index of [1, 2]) {
      expect(owned(cluster)[index]).toBeLessThan(150);
      expect(cluster.health(index)).toMatchObject({ ready: true, checks: { shards: { ok: true } } });
    }
    release();
    await cluster.advance("2s");
    await expect(Promise.all(working)).resolves.toEqual(ids);
    expect(owned(cluster)).toEqual([0, 150, 150]);
  });

  it("answers the calls of its own process before it goes", async () => {
    let release: () => void = () => undefined;
    const slow = Slow.implement({
      work: async (id: string) => {
        await new Promise<void>((resolve) => (release = resolve));
        return id;
      },
      ask: (id: string) => id,
    });
    await using cluster = await createTestCluster({
      runners: 2,
      register: [slow],
      perRunner: (index) => ({ runnerWeight: index }),
    });
    const member = cluster.runners[0]?.member;
    const call = member?.parts.caller.call(
      {
        contract: { name: "Slow", shardGroup: "default", rpcs: {} },
        entityId: "s",
        tag: "work",
        fromInside: false,
      },
      "answer",
    );
    await cluster.advance("100ms");
    const leaving = leave(cluster, 0);
    await cluster.advance("2s");
    expect(leaving.tookMs).toBeNull();
    release();
    await expect(call).resolves.toBe("answer");
    await cluster.advance("1s");
    expect(leaving.tookMs).not.toBeNull();
  });

  it("waits for its own calls no longer than for its handlers", async () => {
    const slow = Slow.implement({
      work: () => new Promise<string>(() => undefined),
      ask: (id: string) => id,
    });
    await using cluster = await createTestCluster({
      runners: 2,
      register: [slow],
      entityTerminationTimeout: "4s",
      perRunner: (index) => ({ runnerWeight: index }),
    });
    const call = cluster.runners[0]?.member.parts.caller.call(
      {
        contract: { name: "Slow", shardGroup: "default", rpcs: {} },
        entityId: "s",
        tag: "work",
        fromInside: false,
      },
      "answer",
    );
    const outcome = call?.catch((error: unknown) => error);
    await cluster.advance("100ms");
    const leaving = leave(cluster, 0);
    await cluster.advance("10s");
    expect(leaving.tookMs).toBeGreaterThanOrEqual(4_000);
    expect(leaving.tookMs).toBeLessThan(6_000);
    await expect(outcome).resolves.toBeInstanceOf(ClusterClosedError);
  });

  it("tells callers, when it was the last one, that they may call again", async () => {
    await using cluster = await createTestCluster({ runners: 1, register: [echo] });
    leave(cluster, 0);
    await cluster.advance("1s");
    const call = cluster.entity(Echo, "a").say("hello");
    const outcome = call.catch((error: unknown) => error);
    await cluster.advance("30s");
    const error = await outcome;
    expect(error).toBeInstanceOf(EntityNotAssignedError);
    expect(error).toMatchObject({ retryable: true });
    const kept = cluster.entity(Echo, "a").keep("kept");
    await cluster.advance("5s");
    await cluster.restart(0);
    await cluster.advance("5s");
    await expect(kept).resolves.toBe("kept");
  });

  it.each([
    ["storage", { storageErrorBeforeCommit: 1 }],
    ["a storage that gives no answer", { storageDelay: ["1h", "1h"] }],
    ["the lease store", { leaseErrorBeforeEffect: 1 }],
    ["a lease store that gives no answer", { leaseDelay: ["1h", "1h"] }],
  ] as const)("ends in bounded time without %s", async (_what, faults) => {
    const Stuck = defineEntity({ name: "Stuck", rpcs: { work: rpc<void, void>({ persisted: true }) } });
    const stuck = Stuck.implement({ work: () => new Promise<void>(() => undefined) });
    await using cluster = await createTestCluster({
      runners: 2,
      register: [stuck, echo],
      entityTerminationTimeout: "5s",
    });
    for (const id of ["a", "b", "c", "d"]) void cluster.entity(Stuck, id).work.notify();
    await cluster.advance("1s");
    cluster.faults(faults, [0]);
    const leaving = leave(cluster, 0);
    await cluster.advance("40s");
    // Handlers: 5s; what comes on top is bounded, too.
    expect(leaving.tookMs).toBeLessThan(30_000);
    await cluster.advance("40s");
    expect(owned(cluster)).toEqual([0, 300]);
  });

  it("lets its handlers find their shard's epoch and finish their writes until the end", async () => {
    const tokens: unknown[] = [];
    let release: () => void = () => undefined;
    const slow = Slow.implement({
      work: async (id: string) => id,
      ask: async (id: string, ctx: HandlerContext) => {
        await new Promise<void>((resolve) => (release = resolve));
        tokens.push(ctx.fencingToken);
        return id;
      },
    });
    await using cluster = await createTestCluster({ runners: 2, register: [slow] });
    const call = cluster.entity(Slow, "s").ask("kept");
    await cluster.advance("100ms");
    const index = cluster.runners.findIndex(
      (runner) => (runner.metrics.snapshot()["activeEntities"] ?? 0) > 0,
    );
    leave(cluster, index);
    await cluster.advance("10s");
    release();
    await cluster.advance("1s");
    await expect(call).resolves.toBe("kept");
    expect(tokens).toEqual([1]);
  });

  it("breaks no persisted stream, however long it takes, and lets a volatile one end in its time", async () => {
    const Tape = defineEntity({
      name: "Tape",
      concurrency: 0,
      rpcs: {
        play: rpc<number, number>({ stream: true }),
        playKept: rpc<number, number>({ stream: true, persisted: true }),
      },
    });
    let pause: () => Promise<void> = () => Promise.resolve();
    async function* play(upTo: number): AsyncGenerator<number> {
      for (let n = 0; n < upTo; n += 1) {
        await pause();
        yield n;
      }
    }
    await using cluster = await createTestCluster({
      runners: 2,
      register: [Tape.implement({ play, playKept: play })],
      entityTerminationTimeout: "5s",
    });
    const ticks = new EventTarget();
    pause = () => new Promise((resolve) => ticks.addEventListener("tick", () => resolve(), { once: true }));
    const streams = [
      collect(cluster.entity(Tape, "t").play(30)),
      collect(cluster.entity(Tape, "t").playKept(200)),
    ];
    const tick = async (times: number): Promise<void> => {
      for (let n = 0; n < times; n += 1) {
        ticks.dispatchEvent(new Event("tick"));
        await cluster.advance("100ms");
      }
    };
    await cluster.advance("100ms");
    await tick(5);
    const index = cluster.runners.findIndex(
      (runner) => (runner.metrics.snapshot()["activeEntities"] ?? 0) > 0,
    );
    const leaving = leave(cluster, index);
    await tick(300);
    expect(leaving.tookMs).toBeLessThan(8_000);
    const [whole, kept] = await Promise.all(streams);
    expect(whole).toEqual(Array.from({ length: 30 }, (_, n) => n));
    expect(kept).toEqual(Array.from({ length: 200 }, (_, n) => n));
  });
});

it.each(["handed over", "lost"])(
  "who waits for what sleeps is answered by the next owner of a shard that is %s",
  async (what) => {
    const nap = Nap.implement({ execute: (ctx) => ctx.sleep("2 minutes") });
    await using cluster = await createTestCluster({ runners: 2, register: [nap] });
    if (what === "handed over") {
      await cluster.crash(1);
      await cluster.advance("1 minute");
    }
    let awake = 0;
    for (let n = 0; n < 12; n += 1)
      void cluster
        .workflow(Nap)
        .execute(`n${n}`)
        .then(() => (awake += 1), String);
    await cluster.advance("10s");
    if (what === "handed over") await cluster.restart(1);
    else cluster.faults({ leaseErrorBeforeEffect: 1 }, [0]);
    await cluster.advance("3 minutes");
    expect(awake).toBe(12);
  },
);

it("a request whose shard leaves between two of its attempts has made those that failed, and no other one", async () => {
  const attempts: number[] = [];
  const Busy = defineEntity({ name: "Busy", rpcs: { keep: rpc<string, string>({ persisted: true }) } });
  const busy = Busy.implement({
    keep(text, { attempt }) {
      attempts.push(attempt);
      if (attempts.length < 5) throw Object.assign(new Error("busy"), { retryable: true });
      return text;
    },
  });
  await using cluster = await createTestCluster({
    runners: 2,
    register: [busy],
    entityTerminationTimeout: "100ms",
  });
  const kept = cluster.entity(Busy, "b").keep("kept");
  while (attempts.length < 4) await cluster.advance("10ms");
  void cluster.runners.find((runner) => runner.metrics.snapshot()["activeEntities"] === 1)?.shutdown();
  await cluster.advance("1 minute");
  expect(await kept).toBe("kept");
  expect(attempts).toEqual([1, 2, 3, 4, 5]);
});

it("a request whose shard leaves while its first attempt is recorded has made none", async () => {
  const attempts: number[] = [];
  const recording = new Door();
  const late = Echo.implement({
    say: (text) => text,
    keep(text, { attempt }) {
      attempts.push(attempt);
      return text;
    },
    count,
    countKept: count,
  });
  await using cluster = await createTestCluster({
    runners: 2,
    register: [late],
    storageMessageMaxRetries: 0,
    tamper: tampering(({ messages }) => ({
      messages: {
        async recordAttempt(...args) {
          await messages.recordAttempt(...args);
          await recording.passed();
        },
      },
    })),
  });
  recording.close();
  const deliverAt = new Date(cluster.now() + 1_000);
  const kept = cluster.entity(Echo, "e").keep("kept", { deliverAt });
  await cluster.advance("2s");
  const at = cluster.runners.findIndex((runner) => runner.metrics.snapshot()["activeEntities"] === 1);
  const leaving = cluster.runners[at]?.shutdown();
  // entityTerminationTimeout is 15s.
  await cluster.advance("16s");
  expect(attempts).toEqual([]);
  recording.open();
  await cluster.advance("5s");
  await leaving;
  await expect(kept).resolves.toBe("kept");
  expect(attempts).toEqual([1]);
  expect(await cluster.deadLetters.list()).toEqual([]);
});

describe("a request that is being accepted when its shard is drained", () => {
  let seen: string[];
  beforeEach(() => {
    seen = [];
  });

  /** What each `saveRequest` came to is seen there, and waits at the door. */
  const atTheDoor = (door: Door) =>
    tampering(({ messages }) => ({
      messages: {
        async saveRequest(...args) {
          const saved = await messages.saveRequest(...args);
          seen.push(saved.outcome);
          await door.passed();
          return saved;
        },
      },
    }));

  it("has made no attempt, and is handled where its shard goes", async () => {
    const door = new Door();
    await using cluster = await createTestCluster({
      runners: 2,
      register: [echo],
      storageMessageMaxRetries: 0,
      tamper: atTheDoor(door),
    });
    door.close();
    const calls = Array.from({ length: 12 }, (_, n) =>
      cluster.entity(Echo, `e${n}`).keep("kept", { idempotencyKey: "k" }),
    );
    const replies = Promise.all(calls);
    await cluster.advance("50ms");
    const leaving = cluster.runners[0]?.member.shutdown();
    await cluster.advance("1s");
    expect(seen).toContain("accepted");
    door.open();
    await cluster.advance("20s");
    await leaving;
    await expect(replies).resolves.toEqual(calls.map(() => "kept"));
    expect(await cluster.deadLetters.list()).toEqual([]);
  });

  it("is handled once, where its shard goes, although it waited for a read that ends before the next claim", async () => {
    const [reading, claiming, working] = [new Door(), new Door(), new Door()];
    const ran: string[] = [];
    const work = Echo.implement({
      say: (text) => text,
      async keep(text) {
        ran.push(text);
        await working.passed();
        return text;
      },
      count,
      countKept: count,
    });
    await using cluster = await createTestCluster({
      runners: 2,
      register: [work],
      tamper: tampering(({ messages }) => ({
        messages: {
          async readPending(...args) {
            await reading.passed();
            return messages.readPending(...args);
          },
          async claimShards(...args) {
            await claiming.passed();
            return messages.claimShards(...args);
          },
        },
      })),
    });
    await cluster.crash(1);
    await cluster.advance("1 minute");
    const each = Array.from({ length: 12 }, (_, n) => cluster.entity(Echo, `e${n}`));
    // What their sender stores itself has it tell the owner to read first.
    cluster.faults({ drop: 1 });
    const stored = each.map(({ keep }) => keep.notify("stored"));
    await cluster.advance("1 minute");
    await Promise.all(stored);
    cluster.faults({});
    // It can be reached again.
    await cluster.advance("10s");
    reading.close();
    claiming.close();
    working.close();
    ran.length = 0;
    const sent = each.map(({ keep }, n) => keep(`${n}`));
    await cluster.advance("50ms");
    const restarted = cluster.restart(1);
    await cluster.advance("5s");
    expect(owned(cluster)[0]).toBeLessThan(300);
    reading.open();
    await cluster.advance("1s");
    claiming.open();
    await cluster.advance("10s");
    working.open();
    await cluster.advance("10s");
    expect(await Promise.all(sent)).toEqual(each.map((_, n) => `${n}`));
    expect(ran.toSorted((a, b) => Number(a) - Number(b))).toEqual(each.map((_, n) => `${n}`));
    await restarted;
  });

  it("has made none either where the runner crashes while another handler goes on", async () => {
    const door = new Door();
    const end = Promise.withResolvers<void>();
    const ran: string[] = [];
    const pair = Pair.implement({
      async keep(text) {
        ran.push(text);
        if (text === "long") await end.promise;
      },
    });
    await using cluster = await createTestCluster({
      runners: 2,
      register: [pair],
      storageMessageMaxRetries: 0,
      tamper: atTheDoor(door),
    });
    const keep = (text: string): readonly Promise<void>[] =>
      Array.from({ length: 8 }, (_, n) => cluster.entity(Pair, `e${n}`).keep(text, { idempotencyKey: text }));
    // Where they were begun, they are dead letters once their runner is dead.
    const long = Promise.allSettled(keep("long"));
    await cluster.advance("1s");
    door.close();
    seen = [];
    const next = Promise.all(keep("next"));
    await cluster.advance("50ms");
    expect(seen).toContain("accepted");
    void cluster.runners[0]?.member.shutdown();
    await cluster.advance("1s");
    door.open();
    await cluster.advance("1s");
    await cluster.crash(0);
    await cluster.advance("1 minute");
    await next;
    expect(ran.filter((text) => text === "next")).toHaveLength(8);
    end.resolve();
    await long;
  });

  it("is the one that slept already, which sleeps on and is as often begun as it was", async () => {
    const door = new Door();
    let begun = 0;
    const nap = Nap.implement({
      async execute(ctx) {
        begun += 1;
        await ctx.sleep("10 minutes");
      },
    });
    await using cluster = await createTestCluster({
      runners: 3,
      register: [nap],
      tamper: atTheDoor(door),
    });
    const naps = Array.from({ length: 12 }, (_, n) => cluster.workflow(Nap).execute(`n${n}`));
    const slept = Promise.all(naps);
    await cluster.advance("5 minutes");
    expect(begun).toBe(12);
    door.close();
    // Who waits at the first asks the next one again, which is drained while it finds out that it has it.
    const leaving = [cluster.runners[0]?.member.shutdown()];
    await cluster.advance("1s");
    leaving.push(cluster.runners[1]?.member.shutdown());
    await cluster.advance("500ms");
    expect(seen.slice(12)).toContain("duplicate");
    door.open();
    await cluster.advance("30s");
    await Promise.all(leaving);
    expect(begun).toBe(12);
    await cluster.advance("10 minutes");
    await slept;
    expect(begun).toBe(24);
  });
});

it("an execution whose runner died makes no attempt more with each move of its shard", async () => {
  const answered = Promise.withResolvers<void>();
  const Clerk = defineEntity({ name: "Clerk", rpcs: { ask: rpc<void, void>({ persisted: true }) } });
  const clerk = Clerk.implement({ ask: () => answered.promise });
  const begun: string[] = [];
  const errand = Nap.implement({
    async execute(ctx, id) {
      begun.push(id);
      await ctx.entity(Clerk, id).ask();
    },
  });
  await using cluster = await createTestCluster({
    runners: 2,
    register: [clerk, errand],
    storageMessageMaxRetries: 1,
    entityTerminationTimeout: "1s",
  });
  const errands = Promise.all(Array.from({ length: 8 }, (_, n) => cluster.workflow(Nap).execute(`n${n}`)));
  await cluster.advance("1s");
  await cluster.crash(0);
  await cluster.advance("1 minute");
  await cluster.restart(0);
  await cluster.advance("10s");
  for (const index of [1, 0, 1, 0, 1]) {
    leave(cluster, index);
    await cluster.advance("10s");
    await cluster.restart(index);
    await cluster.advance("10s");
  }
  expect(begun.length).toBeGreaterThanOrEqual(8 * 5);
  expect(await cluster.deadLetters.list()).toEqual([]);
  answered.resolve();
  await cluster.advance("10s");
  await errands;
});

describe("an execution that waits for another attempt", () => {
  it("holds up no shard that leaves, and goes on with the next owner, also where storage refuses the attempt", async () => {
    let isFull = false;
    let begun = 0;
    const nap = Nap.implement({
      async execute(ctx) {
        begun += 1;
        await ctx.run("step", () => undefined);
      },
    });
    await using cluster = await createTestCluster({
      runners: 2,
      register: [nap],
      tamper: tampering(({ messages, workflows }) => ({
        messages: {
          async recordAttempt(requestId, attempts, fence) {
            if (isFull && attempts > 1) throw notWritten("recordAttempt");
            await messages.recordAttempt(requestId, attempts, fence);
          },
        },
        workflows: {
          async appendJournal(...args) {
            if (isFull) throw notWritten("appendJournal");
            await workflows.appendJournal(...args);
          },
        },
      })),
    });
    isFull = true;
    const naps = Array.from({ length: 8 }, (_, n) => cluster.workflow(Nap).execute(`n${n}`));
    const done = Promise.all(naps);
    await cluster.advance("1 minute");
    expect(begun).toBe(8);
    let hasLeft = false;
    void cluster.runners[0]?.member.shutdown().then(() => (hasLeft = true));
    // entityTerminationTimeout is 15s.
    await cluster.advance("5s");
    expect(hasLeft).toBe(true);
    isFull = false;
    await cluster.advance("15s");
    await done;
    expect(begun).toBe(16);
  });
});
