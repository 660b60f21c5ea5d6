import { describe, expect, it } from "vitest";
import { SeededRandom } from "../clock/seeded-random.ts";
import { VirtualClock } from "../clock/virtual-clock.ts";
import type { RunnerStorage } from "../adapter/runner-storage.ts";
import type { RunnersAdapter } from "../adapter/storage-adapter.ts";
import { defineWorkflow } from "../define/workflow.ts";
import { ConfigError } from "../errors/config.ts";
import { ClusterClosedError } from "../errors/routing.ts";
import { PersistenceError } from "../errors/storage.ts";
import { createMemoryBackend, type MemoryBackend } from "../memory/memory-backend.ts";
import type { ClusterOptions } from "./config.ts";
import { createMember } from "./create-cluster.ts";
import type { Member } from "./member.ts";

const SILENT = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/** Members in one process, on virtual time. */
class Members {
  readonly clock = new VirtualClock();
  readonly backend: MemoryBackend = createMemoryBackend();
  readonly #random = new SeededRandom(1, () => this.clock.now());
  #made = 0;

  make(address: string | null, options: ClusterOptions = {}): Promise<Member> {
    this.#made += 1;
    return createMember(
      {
        storage: this.backend.storage,
        runners: this.backend.runners,
        transport: this.backend.transport(address === null ? {} : { address }),
        logger: SILENT,
        ...options,
      },
      {
        clock: this.clock,
        random: this.#random.fork(`member ${this.#made}`),
        environment: {},
        importModule: () => Promise.reject(new Error("no adapters here")),
      },
    );
  }

  async started(address: string | null, options: ClusterOptions = {}): Promise<Member> {
    const member = await this.make(address, options);
    const starting = member.start();
    await this.clock.advance(5_000);
    await starting;
    return member;
  }

  async stopped(...members: readonly Member[]): Promise<void> {
    const stopping = Promise.all(members.map((member) => member.shutdown()));
    await this.clock.advance(60_000);
    await stopping;
  }

  /** Lists a runner of another release, for an hour. */
  async list(address: string, protocolVersion: number): Promise<void> {
    const open = await this.backend.runners.open({ clock: this.clock, random: this.#random });
    const record = {
      runnerId: `foreign ${address}`,
      address,
      role: "runner",
      weight: 1,
      shardGroups: ["default"],
    } as const;
    await open.runners.register(
      { ...record, entityTypes: [], shardsPerGroup: 300, protocolVersion },
      3_600_000,
    );
    await open.close();
  }

  /** The addresses that the lease store knows. */
  async listed(): Promise<readonly string[]> {
    const open = await this.backend.runners.open({ clock: this.clock, random: this.#random });
    const records = await open.runners.listRunners();
    await open.close();
    return records.map(({ address }) => address).toSorted();
  }
}

/** Lease stores whose named calls take so long. */
function slowly(runners: RunnersAdapter, slow: Readonly<Record<string, number>>): RunnersAdapter {
  return {
    kind: "runners",
    async open(services) {
      const open = await runners.open(services);
      const handle = new Proxy(open.runners, {
        get(target, property) {
          const value: unknown = Reflect.get(target, property, target);
          if (typeof value !== "function") return value;
          const delayMs = slow[String(property)] ?? 0;
          return async (...args: unknown[]) => {
            await new Promise<void>((resolve) => void services.clock.setTimer(delayMs, resolve));
            return Reflect.apply(value, target, args) as unknown;
          };
        },
      });
      return { runners: handle, close: () => open.close() };
    },
  };
}

/** Lease stores whose answer to a registration is lost: it is carried out all the same. */
function silently(runners: RunnersAdapter): RunnersAdapter {
  return {
    kind: "runners",
    async open(services) {
      const open = await runners.open(services);
      const register: RunnerStorage["register"] = async (record, ttlMs) => {
        await open.runners.register(record, ttlMs);
        throw new PersistenceError({ operation: "register", outcome: "unknown", detail: "no answer" });
      };
      const handle = new Proxy(open.runners, {
        get: (target, property) => {
          const value: unknown = property === "register" ? register : Reflect.get(target, property, target);
          return typeof value === "function" ? value.bind(target) : value;
        },
      });
      return { runners: handle, close: () => open.close() };
    },
  };
}

describe("a start that failed", () => {
  it("leaves nothing of its registration, although that got no answer", async () => {
    const members = new Members();
    const other = await members.started("a");
    const member = await members.make("b", { runners: silently(members.backend.runners) });
    await expect(member.start()).rejects.toBeInstanceOf(PersistenceError);
    expect(await members.listed()).toEqual(["a"]);
    await members.clock.advance(10_000);
    expect(other.parts.owner.owned).toHaveLength(300);
    await members.stopped(other);
  });
});

describe("shutdown", () => {
  it("may be asked for twice, and is done once", async () => {
    const members = new Members();
    const member = await members.started("a");
    const [first, second] = [member.shutdown(), member.shutdown()];
    expect(second).toBe(first);
    await members.clock.advance(5_000);
    await first;
    expect(member.state).toBe("stopped");
    await member.shutdown();
    await expect(member.start()).rejects.toBeInstanceOf(ClusterClosedError);
    await expect(member.start()).rejects.toThrow(
      /is stopped; use another member, or make one with createCluster/,
    );
  });

  it("of a member that was never started is done at once", async () => {
    const members = new Members();
    const member = await members.make("a");
    await member.shutdown();
    expect(member.state).toBe("stopped");
  });

  it.each([0, 50, 150, 250, 350, 2_000, 3_350])(
    "ends a start that began %i ms ago, which then rejects, and nothing is left of it",
    async (delayMs) => {
      const members = new Members();
      const slow = { register: 100, watch: 100, listRunners: 100, acquireShards: 100, unregister: 100 };
      const member = await members.make("a", { runners: slowly(members.backend.runners, slow) });
      const ended: string[] = [];
      const starting = member.start().catch((error: unknown) => {
        ended.push("start");
        return error;
      });
      await members.clock.advance(delayMs);
      const leaving = member.shutdown().then(() => ended.push("shutdown"));
      await members.clock.advance(10_000);
      await leaving;
      expect(member.state).toBe("stopped");
      await expect(starting).resolves.toBeInstanceOf(ClusterClosedError);
      expect(ended).toEqual(["shutdown", "start"]);
      expect(await members.listed()).toEqual([]);
      await members.clock.advance(60_000);
      expect(await members.listed()).toEqual([]);
    },
  );
});

describe("a member that counts shards differently", () => {
  it.each(["runner", "client"] as const)(
    "does not start as a %s beside a runner, and leaves",
    async (role) => {
      const members = new Members();
      const runner = await members.started("a", { shardsPerGroup: 60 });
      const other = await members.make("b", { role });
      const starting = other.start().catch((error: unknown) => error);
      await members.clock.advance(5_000);
      const error = await starting;
      expect(error).toBeInstanceOf(ConfigError);
      expect((error as ConfigError).message).toBe(
        'Option "shardsPerGroup" is 300, but it takes the same number on every member, and a has 60. ' +
          "It decides which shard an entity is in, and cannot be changed while there are entities.",
      );
      expect(await members.listed()).toEqual(["a"]);
      expect(runner.partsIfAny?.owner.owned).toHaveLength(60);
      await members.stopped(runner);
    },
  );

  it("keeps none from starting that counts as the runners do", async () => {
    const members = new Members();
    const runner = await members.started("a", { shardsPerGroup: 60 });
    const [wrong, right] = [await members.make("b"), await members.make("c", { shardsPerGroup: 60 })];
    const starting = [wrong.start().catch((error: unknown) => error), right.start()];
    await members.clock.advance(5_000);
    expect(await starting[0]).toBeInstanceOf(ConfigError);
    await starting[1];
    expect(await members.listed()).toEqual(["a", "c"]);
    await members.stopped(runner, right);
  });

  it("keeps no runner from starting where it is a client", async () => {
    const members = new Members();
    const client = await members.started("a", { role: "client" });
    const runner = await members.started("b", { shardsPerGroup: 60 });
    expect(runner.state).toBe("running");
    await members.stopped(client, runner);
  });
});

describe("a runner of a release with another protocol", () => {
  it.each(["runner", "client"] as const)("keeps a %s from starting beside it", async (role) => {
    const members = new Members();
    await members.list("a", 2);
    const other = await members.make("b", { role });
    const starting = other.start().catch((error: unknown) => error);
    await members.clock.advance(5_000);
    const error = await starting;
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as ConfigError).message).toBe(
      'Option "transport" is "protocol version 1", but it takes the version that the cluster\'s runners speak, and a speaks 2. ' +
        "That one is of another release of @holdfast/core: the changelog of the later one says how to upgrade.",
    );
    expect(await members.listed()).toEqual(["a"]);
  });

  it("is told of at error level, once, where it comes later", async () => {
    const members = new Members();
    const told: unknown[] = [];
    const logger = { ...SILENT, error: (...line: unknown[]) => void told.push(line) };
    const runner = await members.started("a", { logger });
    await members.list("b", 2);
    await members.clock.advance(60_000);
    expect(told).toEqual([
      [
        "A member speaks another version of the protocol: it and this one do not reach each other",
        { address: "b", theirs: 2, ours: 1 },
      ],
    ]);
    await members.stopped(runner);
  });
});

describe("a start at the address of a runner that was killed", () => {
  it("ends that one's lease, and owns its shards without waiting for it", async () => {
    const members = new Members();
    const former = await members.started("a");
    former.crash();
    const successor = await members.make("a");
    const starting = successor.start();
    await members.clock.advance(5_000);
    await starting;
    expect(successor.partsIfAny?.owner.owned).toHaveLength(300);
    expect(await members.listed()).toEqual(["a"]);
    await members.stopped(successor);
  });

  it("waits for the lease where the transport chose the address, which others may have, too", async () => {
    const members = new Members();
    const former = await members.started(null);
    former.crash();
    // Its own network, as in another process: it gets the same address.
    const successor = await members.make(null, { transport: createMemoryBackend().transport() });
    const starting = successor.start();
    await members.clock.advance(10_000);
    expect(successor.partsIfAny?.address).toBe("memory://1");
    expect(successor.partsIfAny?.owner.owned).toHaveLength(0);
    await members.clock.advance(30_000);
    await starting;
    await members.stopped(successor);
  });

  it("leaves a runner alone that says by mistake that it is at the same address, if it is that one who answers there", async () => {
    const members = new Members();
    const first = await members.started("a");
    const runnerId = first.parts.lease.runnerId;
    // Its transport says "a" but listens elsewhere: what is sent to "a" goes to the first one.
    const network = members.backend.transport({ address: "b" });
    const second = await members.make(null, {
      transport: {
        kind: "transport",
        async open(services) {
          const transport = await network.open(services);
          return {
            start: (listener) => transport.start(listener).then(() => "a"),
            send: (to, message) => transport.send(to, message),
            close: (timeoutMs) => transport.close(timeoutMs),
          };
        },
      },
    });
    const starting = second.start();
    await members.clock.advance(20_000);
    await starting;
    expect(first.parts.lease.runnerId).toBe(runnerId);
    expect(await members.listed()).toEqual(["a", "a"]);
    await members.stopped(first, second);
  });
});

describe("an execution", () => {
  it("is not run by requests besides the one that it is, as an untyped client of a release before sends them", async () => {
    let ran = 0;
    const Count = defineWorkflow<{ id: string }, number>({
      name: "Count",
      key: ({ id }) => id,
      hashKey: false,
    });
    const members = new Members();
    const member = await members.make("a", {
      register: [Count.implement({ execute: async () => (ran += 1) })],
    });
    const starting = member.start();
    await members.clock.advance(5_000);
    await starting;
    const send = async (persisted: boolean, idempotencyKey?: string): Promise<unknown> => {
      const contract = { name: "workflow:Count", shardGroup: "default", rpcs: {} };
      const target = { contract, entityId: "x", tag: "execute", fromInside: true, persisted };
      const options = idempotencyKey === undefined ? {} : { idempotencyKey };
      const sent = member.parts.caller
        .call(target, { id: "x" }, options)
        .catch((error: unknown) => (error as Error).name);
      await members.clock.advance(1_000);
      return sent;
    };
    const others = async (): Promise<unknown[]> => [await send(false), await send(true, "mine")];
    expect(await others()).toEqual(["DefinitionError", "DefinitionError"]);
    expect(ran).toBe(0);
    expect(await send(true, "execute")).toBe(1);
    expect(await others()).toEqual(["DefinitionError", "DefinitionError"]);
    // One without a key is given it, and so is the one that it is.
    expect([await send(true, "execute"), await send(true)]).toEqual([1, 1]);
    expect(ran).toBe(1);
    await members.stopped(member);
  });
});
