import {
  ClusterClosedError,
  createCluster,
  createMemoryBackend,
  defineEntity,
  defineSingleton,
  rpc,
  UnknownEntityError,
  type Cluster,
  type HandlerContext,
} from "@holdfast/core";
import { PersistenceError, type MessageStorage, type StorageAdapter } from "@holdfast/core/adapter";
import { createTestCluster, type TestCluster } from "@holdfast/testing";
import { describe, expect, it } from "vitest";
import * as z from "zod";
import { tampering } from "./tampering.ts";

const Echo = defineEntity({
  name: "Echo",
  rpcs: { say: rpc<string, string>(), keep: rpc<string, string>({ persisted: true }) },
});
const echo = Echo.implement({ say: (text: string) => text, keep: (text: string) => text });

const owned = (cluster: TestCluster): readonly number[] =>
  cluster.runners.map(({ shardsOwned }) => shardsOwned);

function activeRunner(cluster: TestCluster): number {
  return cluster.runners.findIndex(
    (runner) => runner.isAlive && (runner.metrics.snapshot()["activeEntities"] ?? 0) > 0,
  );
}

/** Calls without a pause, volatile and persisted, until it is told to stop. */
class Callers {
  readonly failures: unknown[] = [];
  answered = 0;
  #isOver = false;
  readonly #done: Promise<unknown>;

  constructor(cluster: TestCluster) {
    this.#done = Promise.all(Array.from({ length: 8 }, (_, number) => this.#call(cluster, number)));
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#done;
  }

  async #call(cluster: TestCluster, number: number): Promise<void> {
    for (let call = 0; !this.#isOver; call += 1) {
      const text = `${number}/${call}`;
      const entity = cluster.entity(Echo, `e${(number * 7 + call) % 50}`);
      try {
        const reply = await (call % 2 === 0 ? entity.say(text) : entity.keep(text));
        if (reply === text) this.answered += 1;
        else this.failures.push(reply);
      } catch (error) {
        this.failures.push(error);
      }
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
  }
}

describe("a start that fails", () => {
  it("leaves no lease behind, for which others would leave it shards", async () => {
    const backend = createMemoryBackend();
    const { storage } = backend;
    const broken: StorageAdapter = {
      ...storage,
      async open(services) {
        const opened = await storage.open(services);
        const fails = { watchPending: () => Promise.reject(new Error("no connection is left")) };
        return tampering(() => ({ messages: fails }))(opened);
      },
    };
    const join = (adapter: StorageAdapter): Promise<Cluster> =>
      createCluster({
        storage: adapter,
        transport: backend.transport(),
        shardRebalanceDebounce: 0,
        register: [echo],
      });
    await expect((await join(broken)).start()).rejects.toThrow("no connection is left");
    await using other = await join(storage);
    await other.start();
    expect(other.status().runners).toHaveLength(1);
  });
});

describe("a runner that joins", () => {
  it.each([1, 2, 3])("takes its shards without a failed call, with seed %i", async (seed) => {
    await using cluster = await createTestCluster({ runners: 3, register: [echo], seed });
    await cluster.crash(2);
    await cluster.advance("1 minute");
    expect(owned(cluster)).toEqual([150, 150, 0]);
    const callers = new Callers(cluster);
    await cluster.advance("1s");
    await cluster.restart(2);
    await cluster.advance("10s");
    await callers.stop();
    expect(owned(cluster)).toEqual([100, 100, 100]);
    expect(callers.failures).toEqual([]);
    expect(callers.answered).toBeGreaterThan(100);
  });
});

describe("a runner that took leases and could not claim", () => {
  it("frees them once they are another's", async () => {
    const trouble = { claims: false };
    await using cluster = await createTestCluster({
      runners: 2,
      register: [echo],
      tamper: (storage) => ({ ...storage, messages: withFailingClaims(storage.messages, trouble) }),
    });
    await cluster.crash(1);
    trouble.claims = true;
    await cluster.advance("40s"); // runnerLockTtl is 30s: runner 0 holds every lease, and claims half of the shards in vain
    expect(owned(cluster)).toEqual([150, 0]);
    const restarting = cluster.restart(1);
    while (!cluster.status().runners.some(({ address }) => address === "runner-1"))
      await cluster.advance("50ms");
    trouble.claims = false;
    await restarting;
    expect(owned(cluster)).toEqual([150, 150]);
  });
});

/** While `claims` is set, no shard can be claimed. */
function withFailingClaims(messages: MessageStorage, trouble: { readonly claims: boolean }): MessageStorage {
  const claimShards: MessageStorage["claimShards"] = async (shardIds) => {
    if (!trouble.claims) return messages.claimShards(shardIds);
    throw new PersistenceError({
      operation: "claimShards",
      outcome: "not-written",
      detail: "the disk is full",
    });
  };
  return new Proxy(messages, {
    get(object, property) {
      if (property === "claimShards") return claimShards;
      const value: unknown = Reflect.get(object, property, object);
      return typeof value === "function" ? (value.bind(object) as unknown) : value;
    },
  });
}

describe("a runner that leaves in order", () => {
  it("lets its handlers end and answers their callers", async () => {
    const order: string[] = [];
    const releases: (() => void)[] = [];
    const Slow = defineEntity({
      name: "Slow",
      rpcs: { work: rpc<string, string>(), keep: rpc<string, string>({ persisted: true }) },
    });
    const work = async (text: string): Promise<string> => {
      order.push(`${text} begins`);
      await new Promise<void>((resolve) => releases.push(resolve));
      order.push(`${text} ends`);
      return text;
    };
    await using cluster = await createTestCluster({
      runners: 2,
      register: [Slow.implement({ work, keep: work })],
    });
    const running = cluster.entity(Slow, "s").work("running");
    const waiting = [cluster.entity(Slow, "s").work("waiting"), cluster.entity(Slow, "s").keep("kept")];
    await cluster.advance("100ms");
    const index = activeRunner(cluster);
    const leaving = cluster.runners[index]?.shutdown();
    await cluster.advance("1s");
    expect(order).toEqual(["running begins"]);
    releases.shift()?.();
    await expect(running).resolves.toBe("running");
    for (let turn = 0; turn < 20; turn += 1) {
      await cluster.advance("500ms");
      releases.shift()?.();
    }
    await leaving;
    await expect(Promise.all(waiting)).resolves.toEqual(["waiting", "kept"]);
    expect(order.toSorted()).toEqual([
      "kept begins",
      "kept ends",
      "running begins",
      "running ends",
      "waiting begins",
      "waiting ends",
    ]);
    expect(cluster.runners[index]?.isAlive).toBe(false);
  });

  it("keeps calls waiting at its successor while it drains, for as long as their callers wait", async () => {
    const ran: string[] = [];
    let release: () => void = () => undefined;
    const Slow = defineEntity({ name: "Slow", concurrency: 0, rpcs: { work: rpc<string, string>() } });
    const slow = Slow.implement({
      async work(text: string) {
        ran.push(text);
        if (text === "long") await new Promise<void>((resolve) => (release = resolve));
        return text;
      },
    });
    await using cluster = await createTestCluster({ runners: 2, register: [slow] });
    const long = cluster.entity(Slow, "s").work("long");
    await cluster.advance("100ms");
    const leaving = cluster.runners[activeRunner(cluster)]?.shutdown();
    await cluster.advance("100ms");
    const patient = cluster.entity(Slow, "s").work("patient");
    const hasty = cluster.entity(Slow, "s").work("hasty", { timeout: "3s" });
    const outcome = hasty.catch((error: Error) => error.name);
    await cluster.advance("8s");
    await expect(outcome).resolves.toBe("TimeoutError");
    expect(ran).toEqual(["long"]);
    release();
    await cluster.advance("2s");
    await leaving;
    await expect(Promise.all([long, patient])).resolves.toEqual(["long", "patient"]);
    expect(ran, "whose caller left does not run").toEqual(["long", "patient"]);
  });

  it("leaves a handler behind that does not end, and what was persisted runs again elsewhere", async () => {
    let begun = 0;
    const aborted: string[] = [];
    const Stuck = defineEntity({ name: "Stuck", rpcs: { work: rpc<void, number>({ persisted: true }) } });
    const stuck = Stuck.implement({
      async work(_input: void, ctx: HandlerContext) {
        begun += 1;
        if (begun > 1) return ctx.attempt;
        ctx.signal.addEventListener("abort", () => aborted.push("aborted"));
        return new Promise<number>(() => undefined);
      },
    });
    await using cluster = await createTestCluster({
      runners: 2,
      register: [stuck],
      entityTerminationTimeout: "5s",
    });
    const call = cluster.entity(Stuck, "s").work();
    await cluster.advance("100ms");
    const before = cluster.now();
    let took = 0;
    const leaving = cluster.runners[activeRunner(cluster)]
      ?.shutdown()
      .then(() => (took = cluster.now() - before));
    await cluster.advance("4s");
    expect([aborted, took]).toEqual([[], 0]);
    await cluster.advance("10s");
    await leaving;
    expect(took).toBeGreaterThanOrEqual(5_000);
    expect(took).toBeLessThan(8_000);
    expect(aborted).toEqual(["aborted"]);
    await expect(call, "it may have been done before").resolves.toBe(2);
    expect(begun).toBe(2);
  });

  it.each([0, 1])(
    "leaves a request of which it cut a handler short as many attempts that may fail: %i, and the last",
    async (storageMessageMaxRetries) => {
      let begun = 0;
      const Stuck = defineEntity({ name: "Stuck", rpcs: { work: rpc<void, number>({ persisted: true }) } });
      const stuck = Stuck.implement({
        async work() {
          begun += 1;
          if (begun === 1) return new Promise<number>(() => undefined);
          if (begun <= 1 + storageMessageMaxRetries)
            throw Object.assign(new Error("busy"), { retryable: true });
          return begun;
        },
      });
      await using cluster = await createTestCluster({
        runners: 2,
        register: [stuck],
        entityTerminationTimeout: "5s",
        storageMessageMaxRetries,
      });
      const call = cluster.entity(Stuck, "s").work();
      await cluster.advance("100ms");
      const leaving = cluster.runners[activeRunner(cluster)]?.shutdown();
      await cluster.advance("20s");
      await leaving;
      await expect(call).resolves.toBe(2 + storageMessageMaxRetries);
    },
  );

  it("tells its entities to leave memory first", async () => {
    const left: string[] = [];
    const Room = defineEntity({ name: "Room", rpcs: { enter: rpc<void, void>() } });
    const room = Room.implement((entity) => {
      entity.onEvict(async () => void left.push(entity.entityId));
      return { enter: () => undefined };
    });
    const cluster = await createTestCluster({ runners: 2, register: [room] });
    for (const id of ["a", "b", "c"]) await cluster.entity(Room, id).enter();
    await cluster.shutdown();
    expect(left.toSorted()).toEqual(["a", "b", "c"]);
  });
});

describe("a cluster that closes while the input of calls is parsed", () => {
  it("tells their callers", async () => {
    const parsing = Promise.withResolvers<boolean>();
    const input = z.string().refine(() => parsing.promise);
    const Desk = defineEntity({
      name: "Desk",
      rpcs: {
        ask: rpc({ input, output: z.string() }),
        keep: rpc({ input, output: z.string(), persisted: true }),
        list: rpc({ input, output: z.string(), stream: true }),
      },
    });
    const desk = Desk.implement({
      ask: (text) => text,
      keep: (text) => text,
      async *list(text) {
        yield text;
      },
    });
    const cluster = await createTestCluster({ register: [desk] });
    const { ask, keep, list } = cluster.entity(Desk, "a");
    const calls = Promise.allSettled([
      ask("x"),
      keep("x"),
      ask.notify("x"),
      keep.notify("x"),
      list("x").next(),
    ]);
    await cluster.shutdown();
    parsing.resolve(true);
    for (const call of await calls)
      expect(call).toMatchObject({ status: "rejected", reason: expect.any(ClusterClosedError) as unknown });
  });
});

describe("runners that are not alike", () => {
  it("own shards by their weights", async () => {
    await using cluster = await createTestCluster({
      runners: 3,
      register: [echo],
      perRunner: (index) => ({ runnerWeight: [1, 2, 3][index] ?? 1 }),
    });
    expect(owned(cluster)).toEqual([50, 100, 150]);
  });

  it("of weight 0 own none", async () => {
    await using cluster = await createTestCluster({
      runners: 2,
      register: [echo],
      perRunner: (index) => ({ runnerWeight: index }),
    });
    expect(owned(cluster)).toEqual([0, 300]);
    await expect(cluster.entity(Echo, "a").keep("kept")).resolves.toBe("kept");
  });

  it("are asked for their options as each process starts: one that is restarted may have other code", async () => {
    const Version = defineEntity({ name: "Version", rpcs: { get: rpc<void, string>() } });
    let version = "old";
    const lives: number[] = [];
    await using cluster = await createTestCluster({
      perRunner: (_index, runner) => {
        lives.push(runner.lives);
        const deployed = version;
        return { register: [Version.implement({ get: () => Promise.resolve(deployed) })] };
      },
    });
    const entity = cluster.entity(Version, "a");
    expect(await entity.get()).toBe("old");
    version = "new";
    expect(await entity.get()).toBe("old");
    await cluster.crash(0);
    await cluster.restart(0);
    expect(await entity.get()).toBe("new");
    expect(lives).toEqual([0, 1]);
  });

  it("host the groups that they name", async () => {
    const Far = defineEntity({ name: "Far", shardGroup: "far", rpcs: { where: rpc<void, string>() } });
    const far = Far.implement({
      where: (_input, ctx: HandlerContext) => ctx.address.shardId.split(":")[0] ?? "",
    });
    await using cluster = await createTestCluster({
      runners: 3,
      register: [echo, far],
      perRunner: (index) => ({ shardGroups: index === 2 ? ["far"] : ["default"] }),
    });
    expect(owned(cluster)).toEqual([150, 150, 300]);
    await expect(cluster.entity(Far, "f").where()).resolves.toBe("far");
    await expect(cluster.entityClient("Far").send("f", "where", undefined)).resolves.toBe("far");
    await expect(cluster.entity(Echo, "e").say("near")).resolves.toBe("near");
  });

  it("keep a persisted request of a type that its owner does not serve, visibly, until one does", async () => {
    await using cluster = await createTestCluster({
      runners: 2,
      register: [echo],
      perRunner: (index) => (index === 0 ? { register: [] } : {}),
    });
    const ids = Array.from({ length: 12 }, (_, n) => `e${n}`);
    const calls = ids.map((id) => cluster.entity(Echo, id).keep(id));
    await cluster.advance("30s");
    expect(cluster.health(0)).toMatchObject({
      ready: true,
      checks: { served: { ok: false, detail: "requests wait for: Echo" } },
    });
    cluster.runners[0]?.member.register(echo);
    await cluster.advance("5s");
    await expect(Promise.all(calls)).resolves.toEqual(ids);
    expect(cluster.health(0).checks.served.ok).toBe(true);
  });

  it("refuse a type that nobody serves", async () => {
    await using cluster = await createTestCluster({ runners: 2 });
    await expect(cluster.entity(Echo, "a").say("hello")).rejects.toBeInstanceOf(UnknownEntityError);
    await expect(cluster.entity(Echo, "a").keep("hello")).rejects.toBeInstanceOf(UnknownEntityError);
    cluster.register(echo);
    await cluster.advance("1s");
    await expect(cluster.entity(Echo, "a").keep("hello")).resolves.toBe("hello");
  });
});

describe("a singleton that moves", () => {
  /** A singleton that says when it begins and ends, and for how long two were at work under the same clock. */
  class Leadership {
    readonly events: string[] = [];
    readonly working = new Set<number>();
    most = 0;
    #terms = 0;

    readonly definition = defineSingleton({
      name: "leader",
      run: async (ctx) => {
        this.#terms += 1;
        const term = this.#terms;
        this.events.push(`${term} begins`);
        this.working.add(term);
        this.most = Math.max(this.most, this.working.size);
        await new Promise<void>((resolve) => ctx.signal.addEventListener("abort", () => resolve()));
        this.working.delete(term);
        this.events.push(`${term} ends`);
      },
    });
  }

  const leaderOf = (cluster: TestCluster): number =>
    cluster.runners.findIndex(
      (runner) => runner.isAlive && runner.member.parts.registry.runningSingletons.includes("leader"),
    );

  it("ends where it was before it begins where it goes", async () => {
    const leadership = new Leadership();
    await using cluster = await createTestCluster({ runners: 3, register: [leadership.definition] });
    const leaving = cluster.runners[leaderOf(cluster)]?.shutdown();
    await cluster.advance("10s");
    await leaving;
    expect(leadership.events).toEqual(["1 begins", "1 ends", "2 begins"]);
  });

  it("begins elsewhere only after the lease of a stopped process, which ends its own as soon as it goes on", async () => {
    const leadership = new Leadership();
    await using cluster = await createTestCluster({ runners: 3, register: [leadership.definition] });
    await cluster.pause(leaderOf(cluster));
    // The stopped process does no work, whatever its variables say.
    leadership.working.clear();
    await cluster.advance("20s");
    expect(leadership.events).toEqual(["1 begins"]);
    await cluster.advance("40s");
    expect(leadership.events).toEqual(["1 begins", "2 begins"]);
    for (const index of [0, 1, 2]) await cluster.resume(index);
    expect(leadership.events).toEqual(["1 begins", "2 begins", "1 ends"]);
    await cluster.advance("1 minute");
    expect(leadership.working.size).toBe(1);
    expect(leadership.most).toBe(1);
  });
});
