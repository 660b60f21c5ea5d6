import {
  PersistenceError,
  shardIdOf,
  type OpenRunners,
  type RunnerRecord,
  type RunnerStorage,
  type ShardId,
} from "@holdfast/core/adapter";
import { Gate } from "./gate.ts";
import type { RunnersBackend, RunnersFactory } from "./runners-backend.ts";
import { vitest } from "./vitest-api.ts";

/** Defines the vitest cases that every RunnerStorage must pass: one for each sentence of the interface, and more. */
export function runnerStorageConformance(factory: RunnersFactory): void;
export function runnerStorageConformance(name: string, factory: RunnersFactory): void;
export function runnerStorageConformance(
  nameOrFactory: string | RunnersFactory,
  factory?: RunnersFactory,
): void {
  const { describe } = vitest();
  const [name, make] =
    typeof nameOrFactory === "string" ? [nameOrFactory, factory] : ["a RunnerStorage", nameOrFactory];
  if (make === undefined) throw new TypeError("runnerStorageConformance takes a factory after the name.");
  describe(name, () => {
    membership(make);
    shardLeases(make);
    watching(make);
    runnersLifecycle(make);
  });
}

/** What a case works with. */
class RunnersCase {
  readonly backend: RunnersBackend;
  readonly ttlMs: number;
  readonly #sessions: OpenRunners[] = [];

  constructor(backend: RunnersBackend) {
    this.backend = backend;
    this.ttlMs = backend.ttlMs;
  }

  async open(): Promise<OpenRunners> {
    const session = await this.backend.open();
    this.#sessions.push(session);
    return session;
  }

  /** Opens a session and registers a member with it. */
  async join(runnerId: string): Promise<RunnerStorage> {
    const { runners } = await this.open();
    await runners.register(member(runnerId), this.ttlMs);
    return runners;
  }

  /** Lets every lease run out that is not refreshed meanwhile, with time to spare for a backend that looks now and then. */
  async outlastLeases(): Promise<void> {
    await this.backend.elapse(2 * this.ttlMs);
  }

  async end(): Promise<void> {
    for (const session of this.#sessions) await session.close();
    await this.backend.dispose();
  }
}

function runnersCases(
  factory: RunnersFactory,
): (body: (context: RunnersCase) => Promise<void>) => () => Promise<void> {
  return (body) => async () => {
    const context = new RunnersCase(await factory());
    try {
      await body(context);
    } finally {
      await context.end();
    }
  };
}

function member(runnerId: string, changes: Partial<RunnerRecord> = {}): RunnerRecord {
  return {
    runnerId,
    address: `memory://${runnerId}`,
    role: "runner",
    weight: 1,
    shardGroups: ["default"],
    entityTypes: ["Counter"],
    shardsPerGroup: 300,
    protocolVersion: 1,
    ...changes,
  };
}

function shards(count: number, group: string = "default"): ShardId[] {
  return Array.from({ length: count }, (_, number): ShardId => `${group}:${number}`);
}

function membership(factory: RunnersFactory): void {
  const { describe, expect, it } = vitest();
  const run = runnersCases(factory);

  describe("a member", () => {
    it(
      "is listed with its whole record, in every session, once it is registered",
      run(async (context) => {
        const { runners } = await context.open();
        expect(await runners.listRunners()).toEqual([]);
        const records = [
          member("r1"),
          member("r2", {
            address: "grpc://10.0.0.1:9000",
            role: "client",
            weight: 0,
            shardGroups: ["default", "a:b 'ü'"],
            entityTypes: [],
            shardsPerGroup: 7,
            protocolVersion: 3,
          }),
        ];
        for (const record of records) await runners.register(record, context.ttlMs);
        for (const listed of [
          await runners.listRunners(),
          await (await context.open()).runners.listRunners(),
        ]) {
          expect(listed.toSorted(byId)).toEqual(records);
        }
      }),
    );

    it(
      "that registers again while its lease lives replaces its record and keeps its shards",
      run(async (context) => {
        const runners = await context.join("r1");
        await runners.acquireShards("r1", shards(2));
        const changed = member("r1", { weight: 5, entityTypes: ["Counter", "Other"] });
        await runners.register(changed, context.ttlMs);
        expect(await runners.listRunners()).toEqual([changed]);
        expect(await runners.listShards()).toEqual(new Map(shards(2).map((shardId) => [shardId, "r1"])));
      }),
    );

    it(
      "keeps its lease for as long as it refreshes it, and its shards with it",
      run(async (context) => {
        const runners = await context.join("r1");
        await runners.acquireShards("r1", shards(3));
        // In small steps, which leave a busy machine most of the term to answer in.
        for (let round = 0; round < 10; round += 1) {
          await context.backend.elapse(context.ttlMs / 4);
          expect(await runners.refresh("r1")).toBe("held");
        }
        expect(await runners.listRunners()).toEqual([member("r1")]);
        expect((await runners.listShards()).size).toBe(3);
      }),
    );

    it(
      "has a lease of its full term again after a registration that is repeated",
      run(async (context) => {
        const runners = await context.join("r1");
        await runners.acquireShards("r1", shards(2));
        // Far beyond a term that a backend rounded up.
        for (let round = 0; round < 18; round += 1) {
          await context.backend.elapse(context.ttlMs / 4);
          await runners.register(member("r1"), context.ttlMs);
        }
        expect(await runners.listRunners()).toEqual([member("r1")]);
        expect((await runners.listShards()).size).toBe(2);
      }),
    );

    it(
      "is gone with all its shards once its lease ran out, and others may take them",
      run(async (context) => {
        const silent = await context.join("r1");
        await silent.acquireShards("r1", shards(4));
        await context.outlastLeases();
        const other = await context.join("r2");
        expect(await other.listRunners()).toEqual([member("r2")]);
        expect(await other.listShards()).toEqual(new Map());
        expect(await other.acquireShards("r2", shards(4))).toEqual(shards(4));
      }),
    );

    it(
      "learns that its lease ran out, also if nobody took its shards, and it never comes back",
      run(async (context) => {
        const runners = await context.join("r1");
        await runners.acquireShards("r1", shards(2));
        await context.outlastLeases();
        expect(await runners.refresh("r1")).toBe("lost");
        expect(await runners.refresh("r1")).toBe("lost");
        expect(await runners.listRunners()).toEqual([]);
        expect(await runners.acquireShards("r1", shards(2))).toEqual([]);
        expect(await runners.listShards()).toEqual(new Map());
      }),
    );

    it(
      "that joins anew under another id after it lost its lease does not end with the old one",
      run(async (context) => {
        const runners = await context.join("r1");
        await runners.acquireShards("r1", shards(2));
        await context.outlastLeases();
        await runners.register(member("r1-again"), context.ttlMs);
        expect(await runners.acquireShards("r1-again", shards(2))).toEqual(shards(2));
        await runners.unregister("r1");
        await runners.releaseShards("r1", shards(2));
        expect((await runners.listShards()).get("default:0")).toBe("r1-again");
        expect(await runners.listRunners()).toEqual([member("r1-again")]);
      }),
    );

    it(
      "that was never registered has lost its lease",
      run(async (context) => {
        const { runners } = await context.open();
        expect(await runners.refresh("nobody")).toBe("lost");
        await runners.unregister("nobody");
        await runners.releaseShards("nobody", shards(1));
      }),
    );

    it(
      "that is unregistered is gone, its shards are free at once, and it may be told so twice",
      run(async (context) => {
        const leaving = await context.join("r1");
        const staying = await context.join("r2");
        await leaving.acquireShards("r1", shards(3));
        await leaving.unregister("r1");
        expect(await staying.listRunners()).toEqual([member("r2")]);
        expect(await staying.acquireShards("r2", shards(3))).toEqual(shards(3));
        await leaving.unregister("r1");
        expect(await leaving.refresh("r1")).toBe("lost");
        expect((await staying.listShards()).size).toBe(3);
      }),
    );

    it(
      "is not kept by another one's refresh, and does not end with another one",
      run(async (context) => {
        const first = await context.join("r1");
        const second = await context.join("r2");
        await context.join("r3");
        for (let round = 0; round < 8; round += 1) {
          await context.backend.elapse(context.ttlMs / 4);
          expect([await first.refresh("r1"), await second.refresh("r2")]).toEqual(["held", "held"]);
        }
        await second.unregister("r2");
        expect(await first.listRunners()).toEqual([member("r1")]);
      }),
    );
  });
}

function byId(a: RunnerRecord, b: RunnerRecord): number {
  return a.runnerId < b.runnerId ? -1 : 1;
}

function shardLeases(factory: RunnersFactory): void {
  const { describe, expect, it } = vitest();
  const run = runnersCases(factory);

  describe("acquireShards", () => {
    it(
      "takes what is free and returns all that this runner holds now, in the order asked for",
      run(async (context) => {
        const first = await context.join("r1");
        const second = await context.join("r2");
        expect(await first.acquireShards("r1", ["default:3", "default:1"])).toEqual([
          "default:3",
          "default:1",
        ]);
        expect(await second.acquireShards("r2", ["default:4", "default:3", "default:2"])).toEqual([
          "default:4",
          "default:2",
        ]);
        const wanted: ShardId[] = ["default:5", "default:4", "default:3", "default:2", "default:1"];
        expect(await first.acquireShards("r1", wanted)).toEqual(["default:5", "default:3", "default:1"]);
        expect(await first.listShards()).toEqual(
          new Map([
            ["default:1", "r1"],
            ["default:2", "r2"],
            ["default:3", "r1"],
            ["default:4", "r2"],
            ["default:5", "r1"],
          ]),
        );
      }),
    );

    it(
      "takes nothing for nothing, and leaves groups apart",
      run(async (context) => {
        const first = await context.join("r1");
        const second = await context.join("r2");
        expect(await first.acquireShards("r1", [])).toEqual([]);
        expect(await first.acquireShards("r1", ["default:1"])).toEqual(["default:1"]);
        const free: ShardId[] = ["other:1", "default:11", shardIdOf("a:b", 1)];
        expect(await second.acquireShards("r2", free)).toEqual(free);
      }),
    );

    it(
      "returns none for a runner that has no lease",
      run(async (context) => {
        const { runners } = await context.open();
        expect(await runners.acquireShards("nobody", shards(2))).toEqual([]);
        expect(await runners.listShards()).toEqual(new Map());
      }),
    );

    it(
      "gives each shard to one of those who take them at once",
      run(async (context) => {
        const ids = ["r1", "r2", "r3"];
        const members = await Promise.all(ids.map((id) => context.join(id)));
        const wanted = shards(60);
        const taken = await Promise.all(
          members.map((runners, index) =>
            runners.acquireShards(ids[index] ?? "", index === 1 ? wanted.toReversed() : wanted),
          ),
        );
        const all = taken.flat();
        expect(new Set(all).size).toBe(all.length);
        const holders = new Map(
          taken.flatMap((shardIds, index) => shardIds.map((shardId) => [shardId, ids[index]] as const)),
        );
        expect(await members[0]?.listShards()).toEqual(holders);
        // Nobody was in anybody's way for good: what is left over may be taken now.
        const rest = wanted.filter((shardId) => !holders.has(shardId));
        expect(await members[0]?.acquireShards("r1", rest)).toEqual(rest);
      }),
    );

    it(
      "takes hundreds of shards at once",
      run(async (context) => {
        const runners = await context.join("r1");
        const wanted = shards(300);
        expect(await runners.acquireShards("r1", wanted)).toEqual(wanted);
        expect((await runners.listShards()).size).toBe(300);
        await runners.releaseShards("r1", wanted);
        expect((await runners.listShards()).size).toBe(0);
      }),
    );
  });

  describe("releaseShards", () => {
    it(
      "frees what this runner holds, and nothing of another's",
      run(async (context) => {
        const first = await context.join("r1");
        const second = await context.join("r2");
        await first.acquireShards("r1", ["default:1", "default:2"]);
        await second.acquireShards("r2", ["default:3"]);
        for (let repeat = 0; repeat < 2; repeat += 1) {
          await first.releaseShards("r1", ["default:1", "default:3", "default:9"]);
          expect(await second.listShards()).toEqual(
            new Map([
              ["default:2", "r1"],
              ["default:3", "r2"],
            ]),
          );
        }
        expect(await second.acquireShards("r2", ["default:1", "default:2"])).toEqual(["default:1"]);
      }),
    );
  });
}

function watching(factory: RunnersFactory): void {
  const { describe, expect, it } = vitest();
  const run = runnersCases(factory);

  describe("watch", () => {
    it(
      "tells of members that come, change, leave or run out, and of shards freed by others, if it declares that it does",
      run(async (context) => {
        const watcher = await context.join("watcher");
        let heard = new Gate();
        const end = await watcher.watch(() => heard.open());
        if (!watcher.supports.watch) {
          await end();
          return;
        }
        const other = (await context.open()).runners;
        const told = async (change: () => Promise<unknown>): Promise<void> => {
          await context.backend.elapse(0);
          heard = new Gate();
          await change();
          await heard.passed;
        };
        await told(() => other.register(member("r1"), context.ttlMs));
        await told(() => other.register(member("r1", { weight: 3 }), context.ttlMs));
        await other.acquireShards("r1", ["default:1"]);
        await told(() => other.releaseShards("r1", ["default:1"]));
        await told(() => other.unregister("r1"));
        await told(async () => {
          await other.register(member("r2"), context.ttlMs);
          await heard.passed;
          heard = new Gate();
          await context.outlastLeases();
        });
        await end();
      }),
    );

    it(
      "tells nothing any more once it ended, which may be asked for twice",
      run(async (context) => {
        const watcher = await context.join("watcher");
        const end = await watcher.watch(() => undefined);
        await context.backend.elapse(context.ttlMs / 4);
        await end();
        await end();
        let calls = 0;
        const endOther = await watcher.watch(() => (calls += 1));
        await endOther();
        calls = 0;
        await context.join("r1");
        await context.backend.elapse(context.ttlMs / 4);
        expect(calls).toBe(0);
      }),
    );
  });
}

function runnersLifecycle(factory: RunnersFactory): void {
  const { describe, expect, it } = vitest();
  const run = runnersCases(factory);

  describe("a session", () => {
    it(
      "may be closed twice, and leaves the others open",
      run(async (context) => {
        const session = await context.open();
        const other = await context.join("r1");
        await session.close();
        await session.close();
        expect(await other.refresh("r1")).toBe("held");
      }),
    );

    it(
      "refuses every call after it was closed with PersistenceError",
      run(async (context) => {
        const session = await context.open();
        const { runners } = session;
        await runners.register(member("r1"), context.ttlMs);
        await session.close();
        const calls: Readonly<Record<string, () => Promise<unknown>>> = {
          register: () => runners.register(member("r2"), context.ttlMs),
          refresh: () => runners.refresh("r1"),
          unregister: () => runners.unregister("r1"),
          listRunners: () => runners.listRunners(),
          acquireShards: () => runners.acquireShards("r1", shards(1)),
          releaseShards: () => runners.releaseShards("r1", shards(1)),
          listShards: () => runners.listShards(),
        };
        for (const [method, call] of Object.entries(calls)) {
          const outcome = await call().then(
            () => "resolved",
            (error: unknown) => error,
          );
          expect(outcome, method).toBeInstanceOf(PersistenceError);
          expect(outcome, method).toMatchObject({ outcome: "not-written" });
        }
      }),
    );
  });
}
