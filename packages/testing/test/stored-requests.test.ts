// Requests that their sender stored, since no owner was to be had: what becomes of those that the next owner refuses.

import {
  ClusterClosedError,
  defineEntity,
  ProtectedRpcError,
  rpc,
  UnknownRpcError,
  type EntityImplementation,
  type Registration,
} from "@holdfast/core";
import { createTestCluster, type TestCluster, type TestClusterOptions } from "@holdfast/testing";
import { describe, expect, it } from "vitest";
import * as z from "zod";
import { Door, inDoubt, notWritten, tampering } from "./tampering.ts";

const Shop = defineEntity({
  name: "Shop",
  mailboxCapacity: 1,
  rpcs: {
    buy: rpc<string, string>({ persisted: true }),
    audit: rpc<string, string>({ persisted: true, visibility: "protected" }),
    watch: rpc<number, number>({ persisted: true, stream: true }),
  },
});

/** Buys at a shop from wherever it is. */
const Clerk = defineEntity({
  name: "Clerk",
  concurrency: 0,
  rpcs: { buy: rpc<{ at: string; what: string }, string>() },
});

/** The shop, whose handlers note what they do. */
function shop(handled: string[], gate: Promise<void> = Promise.resolve()): EntityImplementation {
  return Shop.implement({
    async buy(what, { entityId }) {
      await gate;
      handled.push(`${entityId} ${what}`);
      return `bought ${what}`;
    },
    audit(what) {
      handled.push(`audit ${what}`);
      return "audited";
    },
    async *watch(to) {
      await gate;
      for (let n = 0; n < to; n += 1) yield n;
    },
  });
}

/** An entity of runner `index`. */
function nameOn(cluster: TestCluster, index: number): string {
  const parts = cluster.runners[index]?.member.parts;
  for (let n = 0; ; n += 1) {
    const shardId = parts?.router.shardOf("default", `${n}`);
    if (shardId !== undefined && parts?.host.serves(shardId) === true) return `${n}`;
  }
}

/** How a call stands. */
function watched(call: Promise<unknown>): { outcome: unknown } {
  const watch: { outcome: unknown } = { outcome: "under way" };
  call.then(
    (value) => (watch.outcome = value),
    (error: unknown) => (watch.outcome = error),
  );
  return watch;
}

/** The shop of a later version. */
function grown(handled: string[], gate: Promise<void> = Promise.resolve()): EntityImplementation {
  const Grown = defineEntity({
    name: "Shop",
    rpcs: {
      buy: rpc<string, string>({ persisted: true, visibility: "protected" }),
      sell: rpc<number, string>({ persisted: true }),
    },
  });
  return Grown.implement({
    buy(what, { entityId }) {
      handled.push(`${entityId} ${what}`);
      return `bought ${what}`;
    },
    async sell(number, { entityId }) {
      await gate;
      handled.push(`${entityId} sold ${number}`);
      return `sold ${number}`;
    },
  });
}

/** Code that a runner has as it is when it starts. */
function changing(code: () => EntityImplementation): EntityImplementation {
  return {
    kind: "entity",
    get contract() {
      return code().contract;
    },
    bind: (makeContext) => code().bind(makeContext),
  };
}

/** A cluster whose one runner is down, so that what is sent is stored. */
async function withoutOwner(registration: Registration, options: TestClusterOptions = {}) {
  const perRunner = () => ({ register: [registration] });
  const cluster = await createTestCluster({ runners: 1, perRunner, ...options });
  await cluster.crash(0);
  await cluster.advance("40s");
  return cluster;
}

describe("a request that was stored by its sender, who does not have the definition", () => {
  it("is refused like any other where the rpc is protected", async () => {
    const handled: string[] = [];
    await using cluster = await withoutOwner(shop(handled));
    const call = watched(cluster.entityClient("Shop").sendPersisted("a", "audit", "x"));
    await cluster.advance("5s");
    await cluster.restart(0);
    await cluster.advance("30s");
    expect(call.outcome).toBeInstanceOf(ProtectedRpcError);
    expect(handled).toEqual([]);
  });

  it.each(["sell", "constructor", "toString"])(
    "waits for code that has its rpc, and nothing of its entity waits behind it: %s",
    async (tag) => {
      const handled: string[] = [];
      await using cluster = await withoutOwner(shop(handled));
      const call = watched(cluster.entityClient("Shop").sendPersisted("a", tag, "x"));
      await cluster.advance("5s");
      await cluster.restart(0);
      await cluster.advance("5s");
      const inAMinute = new Date(cluster.now() + 60_000);
      await cluster.entity(Shop, "a").buy.notify("later", { deliverAt: inAMinute });
      await cluster.advance("2 minutes");
      expect(handled).toEqual(["a later"]);
      expect(call.outcome).toBe("under way");
    },
  );

  it("holds up nothing of its entity where there are many such, and all run in order once there is code", async () => {
    const handled: string[] = [];
    let code: EntityImplementation = shop(handled);
    await using cluster = await withoutOwner(
      changing(() => code),
      { shardsPerGroup: 1 },
    );
    const client = cluster.entityClient("Shop");
    for (let number = 0; number < 100; number += 1) void client.notifyPersisted("a", "sell", number);
    await cluster.advance("5s");
    const inAMinute = new Date(cluster.now() + 60_000);
    await cluster.entity(Shop, "a").buy.notify("scheduled", { deliverAt: inAMinute });
    await cluster.restart(0);
    await cluster.advance("2 minutes");
    expect(handled).toEqual(["a scheduled"]);
    await expect(cluster.entity(Shop, "a").buy("now")).resolves.toBe("bought now");
    code = grown(handled);
    await cluster.crash(0);
    await cluster.restart(0);
    await cluster.advance("1 minute");
    const sold = Array.from({ length: 100 }, (_, number) => `a sold ${number}`);
    expect(handled).toEqual(["a scheduled", "a now", ...sold]);
  });

  it("holds up nothing of any entity where many of a shard have one such each", async () => {
    const handled: string[] = [];
    await using cluster = await withoutOwner(shop(handled), { shardsPerGroup: 1 });
    const ids = Array.from({ length: 60 }, (_, number) => `${number}`);
    const inAMinute = new Date(cluster.now() + 60_000);
    for (const id of ids) {
      void cluster.entityClient("Shop").notifyPersisted(id, "sell", 1);
      void cluster.entity(Shop, id).buy.notify("scheduled", { deliverAt: inAMinute });
    }
    await cluster.advance("5s");
    await cluster.restart(0);
    await cluster.advance("2 minutes");
    expect(handled.toSorted()).toEqual(ids.map((id) => `${id} scheduled`).toSorted());
  });

  it("holds up what is behind it for seconds where they are too many to be named to storage, and is overtaken by none of that", async () => {
    const handled: string[] = [];
    let code: EntityImplementation = shop(handled);
    await using cluster = await withoutOwner(
      changing(() => code),
      { shardsPerGroup: 1, storagePollInterval: "5s" },
    );
    const client = cluster.entityClient("Shop");
    const count = 12_500;
    for (let number = 0; number < count; number += 1) void client.notifyPersisted("a", "sell", number);
    await cluster.advance("10s");
    for (const id of ["a", "b"]) void client.notifyPersisted(id, "buy", "stored");
    await cluster.advance("10s");
    const inAMinute = new Date(cluster.now() + 60_000);
    for (const id of ["a", "b"])
      await cluster.entity(Shop, id).buy.notify("scheduled", { deliverAt: inAMinute });
    await cluster.restart(0);
    await cluster.advance("2s");
    expect(handled).toEqual(["b stored"]);
    const called = watched(cluster.entity(Shop, "a").buy("called"));
    await cluster.advance("30s");
    expect(handled).toEqual(["b stored", "a stored", "a called"]);
    expect(called.outcome).toBe("bought called");
    await cluster.advance("30s");
    const rest = handled.slice(3);
    expect(rest.toSorted()).toEqual(["a scheduled", "b scheduled"]);
    code = grown(handled);
    await cluster.crash(0);
    await cluster.restart(0);
    await cluster.advance("1 minute");
    expect(handled.slice(5)).toEqual(Array.from({ length: count }, (_, number) => `a sold ${number}`));
  });
});

describe("a request that was stored by its sender", () => {
  it("is not told that nobody serves its type: it runs once somebody does, and has its reply", async () => {
    const handled: string[] = [];
    await using cluster = await createTestCluster({
      runners: 2,
      perRunner: (index) => (index === 0 ? { register: [shop(handled)] } : {}),
    });
    const ids = ["a", "b", "c", "d", "e", "f"];
    const calls = ids.map((id) => watched(cluster.entityClient("Shop").sendPersisted(id, "buy", "milk")));
    // The shards of some are at the runner that does not serve it.
    await cluster.advance("10s");
    await cluster.crash(0);
    await cluster.advance("1 minute");
    for (const { outcome } of calls) expect(["under way", "bought milk"]).toContain(outcome);
    expect(calls.some(({ outcome }) => outcome === "under way")).toBe(true);
    await cluster.restart(0);
    await cluster.crash(1);
    await cluster.advance("1 minute");
    expect(calls.map(({ outcome }) => outcome)).toEqual(ids.map(() => "bought milk"));
    expect(handled.toSorted()).toEqual(ids.map((id) => `${id} milk`));
  });

  it("is not told that there is no room: it waits for it, and is handled once", async () => {
    const handled: string[] = [];
    let open = (): void => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    const clerkCode = Clerk.implement({ buy: ({ at, what }, ctx) => ctx.entity(Shop, at).buy(what) });
    await using cluster = await createTestCluster({
      runners: 2,
      register: [shop(handled, gate), clerkCode],
    });
    const id = nameOn(cluster, 0);
    const others = ["1", "2"].map((what) => watched(cluster.entity(Shop, id).buy(what)));
    await cluster.advance("1s");
    cluster.partition([0], [1]);
    await cluster.advance("10s");
    const clerk = cluster.entity(Clerk, nameOn(cluster, 1));
    const calls = ["3", "4"].map((what) => watched(clerk.buy({ at: id, what })));
    await cluster.advance("10s");
    cluster.heal();
    await cluster.advance("30s");
    expect(calls.map(({ outcome }) => outcome)).toEqual(["under way", "under way"]);
    open();
    await cluster.advance("30s");
    const outcomes = [...others, ...calls].map(({ outcome }) => outcome);
    expect(outcomes).toEqual(["1", "2", "3", "4"].map((what) => `bought ${what}`));
    expect(handled).toEqual(["1", "2", "3", "4"].map((what) => `${id} ${what}`));
  });
});

describe("a request that was lost before anybody accepted it", () => {
  it("is refused for good where its owner does not have its rpc", async () => {
    await using cluster = await createTestCluster({ runners: 1, register: [shop([])] });
    cluster.faults({ drop: 1 });
    const call = watched(cluster.entityClient("Shop").sendPersisted("a", "sell", 1));
    await cluster.advance("1s");
    cluster.faults({});
    await cluster.advance("30s");
    expect(call.outcome).toBeInstanceOf(UnknownRpcError);
  });
});

describe("a request that was accepted by an owner that is gone", () => {
  it("is not told that the next one does not have its rpc, although the shard was handed over in order", async () => {
    const handled: string[] = [];
    let open = (): void => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    await using cluster = await createTestCluster({
      runners: 2,
      entityTerminationTimeout: "1s",
      perRunner: (index) => ({ register: [index === 0 ? grown(handled, gate) : shop(handled)] }),
    });
    const id = nameOn(cluster, 0);
    const calls = [1, 2].map((number) =>
      watched(cluster.entityClient("Shop").sendPersisted(id, "sell", number)),
    );
    await cluster.advance("1s");
    void cluster.runners[0]?.shutdown();
    await cluster.advance("1 minute");
    expect(calls.map(({ outcome }) => outcome)).toEqual(["under way", "under way"]);
    open();
    await cluster.restart(0);
    await cluster.crash(1);
    await cluster.advance("1 minute");
    expect(calls.map(({ outcome }) => outcome)).toEqual(["sold 1", "sold 2"]);
    expect(handled.slice(-2)).toEqual([`${id} sold 1`, `${id} sold 2`]);
  });

  it("is streamed by the next one as soon as that has room for it", async () => {
    let open = (): void => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    await using cluster = await createTestCluster({ runners: 2, register: [shop([], gate)] });
    const shopThere = cluster.entity(Shop, nameOn(cluster, 0));
    const inAMinute = new Date(cluster.now() + 60_000);
    for (const what of ["1", "2", "3"]) await shopThere.buy.notify(what, { deliverAt: inAMinute });
    const got: number[] = [];
    const reading = watched(
      (async () => {
        for await (const n of shopThere.watch(200)) got.push(n);
      })(),
    );
    await cluster.advance("2 minutes");
    await cluster.crash(0);
    await cluster.advance("1 minute");
    expect(reading.outcome).toBe("under way");
    open();
    await cluster.advance("1 minute");
    expect(reading.outcome).toBeUndefined();
    expect(got).toEqual(Array.from({ length: 200 }, (_, n) => n));
  });

  it("is handled although its rpc is protected by now", async () => {
    const handled: string[] = [];
    let code: EntityImplementation = shop(handled);
    await using cluster = await createTestCluster({
      runners: 1,
      perRunner: () => ({ register: [changing(() => code)] }),
    });
    const client = cluster.entityClient("Shop");
    await client.notifyAt("a", "buy", "later", new Date(cluster.now() + 60_000));
    code = grown(handled);
    await cluster.crash(0);
    await cluster.restart(0);
    await cluster.advance("2 minutes");
    expect(handled).toEqual(["a later"]);
  });

  it("is handled although its rpc is protected by now, also where its sender stored it and an owner began it", async () => {
    const handled: string[] = [];
    let code: EntityImplementation = shop(handled, new Promise(() => undefined));
    await using cluster = await withoutOwner(changing(() => code));
    const call = watched(cluster.entityClient("Shop").sendPersisted("a", "buy", "begun"));
    await cluster.advance("5s");
    await cluster.restart(0);
    await cluster.advance("5s");
    await cluster.crash(0);
    code = grown(handled);
    await cluster.advance("40s");
    await cluster.restart(0);
    await cluster.advance("10s");
    expect([handled, call.outcome]).toEqual([["a begun"], "bought begun"]);
  });

  it("keeps no process from its end where its code is gone", async () => {
    await using cluster = await withoutOwner(shop([]), { entityTerminationTimeout: "1 hour" });
    const call = watched(cluster.entityClient("Shop").sendPersisted("a", "sell", 1));
    await cluster.advance("5s");
    await cluster.restart(0);
    await cluster.advance("1 minute");
    const began = cluster.now();
    await cluster.shutdown();
    expect(cluster.now() - began).toBeLessThan(60_000);
    expect(call.outcome).toBeInstanceOf(ClusterClosedError);
  });

  it("is not told that the next one has no room: it waits for it, and is handled once", async () => {
    const handled: string[][] = [[], []];
    let open = (): void => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    await using cluster = await createTestCluster({
      runners: 2,
      perRunner: (index) => ({ register: [shop(handled[index] ?? [], gate)] }),
    });
    const id = nameOn(cluster, 0);
    const shopThere = cluster.entity(Shop, id);
    const inAMinute = new Date(cluster.now() + 60_000);
    const later = ["later 1", "later 2", "later 3"];
    for (const what of later) await shopThere.buy.notify(what, { deliverAt: inAMinute });
    const calls = ["1", "2"].map((what) => watched(shopThere.buy(what)));
    await cluster.advance("2 minutes");
    await cluster.crash(0);
    await cluster.advance("1 minute");
    expect(calls.map(({ outcome }) => outcome)).toEqual(["under way", "under way"]);
    open();
    await cluster.advance("1 minute");
    expect(calls.map(({ outcome }) => outcome)).toEqual(["bought 1", "bought 2"]);
    expect(handled[1]?.toSorted()).toEqual(["1", "2", ...later].map((what) => `${id} ${what}`));
  });
});

describe("a backlog that takes many reads", () => {
  it("is worked off by a runner that lost its lease between two of them, and has its shards back", async () => {
    const job = rpc<void, void>({ persisted: true });
    const Job = defineEntity({ name: "Job", rpcs: { job } });
    const ended = new Set<string>();
    await using cluster = await createTestCluster({
      shardsPerGroup: 4,
      runnerLockTtl: "2s",
      register: [Job.implement({ job: (_input, { entityId }) => void ended.add(entityId) })],
    });
    const deliverAt = new Date(cluster.now() + 60_000);
    const ids = Array.from({ length: 2_000 }, (_, index) => `${index}`);
    await Promise.all(ids.map((id) => cluster.entity(Job, id).job.notify(undefined, { deliverAt })));
    cluster.faults({ storageDelay: ["100ms", "100ms"] });
    while (ended.size === 0) await cluster.advance("20ms");
    await cluster.pause(0);
    await cluster.advance("4s");
    await cluster.resume(0);
    await cluster.advance("30s");
    expect(ended.size).toBe(ids.length);
  });
});

describe("a stored request whose input is still being parsed when its shard leaves", () => {
  it("is handled once the shard is back (INV-2)", async () => {
    const parser = new Door();
    let parsing = 0;
    const input = z.string().refine(async () => {
      parsing += 1;
      await parser.passed();
      return true;
    });
    const handled: string[] = [];
    const Slow = defineEntity({ name: "Slow", rpcs: { keep: rpc({ input, persisted: true }) } });
    const slow = Slow.implement({ keep: (text) => void handled.push(text) });
    await using cluster = await createTestCluster({ runners: 1, register: [slow] });
    await cluster.entity(Slow, "a").keep.notify("kept", { deliverAt: new Date(cluster.now() + 1_000) });
    parser.close();
    parsing = 0;
    await cluster.advance("2s");
    expect(parsing).toBeGreaterThan(0);
    cluster.faults({ leaseErrorBeforeEffect: 1 });
    await cluster.advance("30s"); // runnerLockTtl is 30s
    expect(cluster.runners[0]?.shardsOwned).toBe(0);
    cluster.faults({});
    parser.letPass();
    await cluster.advance("30s");
    expect(cluster.runners[0]?.shardsOwned).toBe(300);
    parser.open();
    await cluster.advance("30s");
    expect(handled).toEqual(["kept"]);
  });
});

describe("a stored request that a read brings which began before its shard left, and came back", () => {
  it("is not handled once more where another runner has meanwhile", async () => {
    const reading = new Door();
    const handled: string[] = [];
    await using cluster = await createTestCluster({
      runners: 2,
      register: [shop(handled)],
      tamper: tampering(({ messages }) => ({
        messages: {
          async readPending(...args) {
            const page = await messages.readPending(...args);
            if (page.requests.length > 0) await reading.passed();
            return page;
          },
        },
      })),
    });
    await cluster.crash(1);
    await cluster.advance("1 minute");
    reading.close();
    await cluster.entity(Shop, "s").buy.notify("bread", { deliverAt: new Date(cluster.now() + 1_000) });
    await cluster.advance("2s");
    reading.letPass();
    cluster.faults({ leaseErrorBeforeEffect: 1 }, [0]);
    const restarted = cluster.restart(1);
    await cluster.advance("1 minute");
    await restarted;
    expect(handled).toEqual(["s bread"]);
    cluster.faults({});
    await cluster.crash(1);
    await cluster.advance("1 minute");
    expect(cluster.runners[0]?.shardsOwned).toBe(300);
    reading.open();
    await cluster.advance("1 minute");
    expect(handled).toEqual(["s bread"]);
  });
});

describe("a stored request whose input is still being parsed when its entity leaves memory", () => {
  it("is handled by the life of it that is there by then, and by no second one beside that (INV-5)", async () => {
    const parser = new Door();
    const input = z.string().refine(() => parser.passed().then(() => true));
    const Slow = defineEntity({
      name: "Slow",
      maxIdleTime: "1s",
      rpcs: { keep: rpc({ input, persisted: true }), look: rpc<void, void>() },
    });
    let lives = 0;
    const handled: string[] = [];
    const slow = Slow.implement(() => {
      lives += 1;
      const life = lives;
      return { keep: (text) => void handled.push(`${text} by ${life}`), look: () => undefined };
    });
    await using cluster = await createTestCluster({ runners: 1, register: [slow] });
    const entity = cluster.entity(Slow, "a");
    await entity.keep.notify("kept", { deliverAt: new Date(cluster.now() + 1_000) });
    parser.close();
    await cluster.advance("10s");
    await entity.look();
    parser.open();
    await cluster.advance("100ms");
    await entity.look();
    expect([handled, lives]).toEqual([["kept by 1"], 1]);
  });
});

describe("a request that cannot be stored", () => {
  /** A cluster of one runner, and its storage, which may be away, and may write the next request without saying so. */
  async function refusing(handled: string[], gate?: Promise<void>) {
    const storage = { isAway: false, losesAnswer: false };
    const cluster = await createTestCluster({
      runners: 1,
      perRunner: () => ({ register: [shop(handled, gate)] }),
      tamper: tampering(({ messages }) => ({
        messages: {
          async saveRequest(...args) {
            const { isAway, losesAnswer } = storage;
            storage.losesAnswer = false;
            if (isAway && !losesAnswer) throw notWritten("saveRequest");
            const saved = await messages.saveRequest(...args);
            if (losesAnswer) throw inDoubt("saveRequest");
            return saved;
          },
        },
      })),
    });
    return { cluster, storage, [Symbol.asyncDispose]: () => cluster.shutdown() };
  }

  it("is not said to be unwritten where its owner had accepted it before it died", async () => {
    const handled: string[] = [];
    let open = (): void => undefined;
    await using test = await refusing(handled, new Promise<void>((resolve) => (open = resolve)));
    const call = watched(test.cluster.entity(Shop, "a").buy("x"));
    await test.cluster.advance("1s");
    test.storage.isAway = true;
    await test.cluster.crash(0);
    await test.cluster.advance("10s");
    expect(call.outcome).toMatchObject({ code: "PERSISTENCE", outcome: "unknown" });
    test.storage.isAway = false;
    open();
    await test.cluster.restart(0);
    await test.cluster.advance("1 minute");
    expect(handled).toContain("a x");
  });

  it.each(["owner", "sender"])(
    "nor where the first try of its %s was written, of which nobody heard",
    async (by) => {
      const handled: string[] = [];
      await using test = await refusing(handled);
      if (by === "sender") {
        await test.cluster.crash(0);
        await test.cluster.advance("40s");
      }
      Object.assign(test.storage, { isAway: true, losesAnswer: true });
      const call = watched(test.cluster.entity(Shop, "a").buy("x"));
      await test.cluster.advance("10s");
      expect(call.outcome).toMatchObject({ code: "PERSISTENCE", outcome: "unknown" });
      test.storage.isAway = false;
      if (by === "sender") await test.cluster.restart(0);
      await test.cluster.advance("1 minute");
      expect(handled).toEqual(["a x"]);
    },
  );

  it("nor where its handler had begun before that", async () => {
    const handled: string[] = [];
    await using test = await refusing(handled);
    await test.cluster.advance("5s");
    // After some calls it is known to be brief.
    for (const what of ["1", "2", "3", "4", "5"]) await test.cluster.entity(Shop, what).buy(what);
    test.storage.isAway = true;
    const call = watched(test.cluster.entity(Shop, "a").buy("x"));
    await test.cluster.advance("1 minute");
    expect(handled).toContain("a x");
    expect(call.outcome).toMatchObject({ code: "PERSISTENCE", outcome: "unknown" });
  });

  it("is said to be unwritten where neither its owner nor its sender could write it", async () => {
    const handled: string[] = [];
    await using test = await refusing(handled);
    test.storage.isAway = true;
    const call = watched(test.cluster.entity(Shop, "a").buy("x"));
    await test.cluster.advance("10s");
    expect(call.outcome).toMatchObject({ code: "PERSISTENCE", outcome: "not-written" });
    test.storage.isAway = false;
    await test.cluster.advance("1 minute");
    expect(handled).toEqual([]);
  });
});
