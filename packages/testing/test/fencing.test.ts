import {
  defineCron,
  defineEntity,
  defineWorkflow,
  FencedError,
  rpc,
  type EntityImplementation,
} from "@holdfast/core";
import type { Fence, OpenStorage, ShardId } from "@holdfast/core/adapter";
import { createTestCluster, type TestCluster } from "@holdfast/testing";
import { describe, expect, it } from "vitest";
import { Door, tampering } from "./tampering.ts";

const Flight = defineEntity({
  name: "Flight",
  concurrency: 0,
  rpcs: { book: rpc<{ passenger: string }, number>({ persisted: true }) },
});

const Gate = defineEntity({ name: "Gate", concurrency: 1, rpcs: { pass: rpc<string, void>() } });
const Guide = defineEntity({ name: "Guide", rpcs: { lead: rpc() } });

/** An airline whose flights keep their seats in memory, and which says when Ann's handlers go on. */
class Airline {
  readonly #goOn: (() => void)[] = [];

  /** Lets Ann's attempt number `attempt` (from 0) go on. */
  goOn(attempt: number): void {
    this.#goOn[attempt]?.();
  }

  implementation(): EntityImplementation {
    return Flight.implement(() => {
      let seats = 0;
      return {
        book: async ({ passenger }) => {
          if (passenger === "Ann") await new Promise<void>((resolve) => this.#goOn.push(resolve));
          seats += 1;
          return seats;
        },
      };
    });
  }
}

/**
 * Ann books; her runner is stopped in the middle of it for longer than its lease. Another one takes over, begins her
 * booking anew, and gives seat 1 to Bob meanwhile. Then the first runner comes back with what it had about to write.
 */
async function bookOverTakeOver(
  cluster: TestCluster,
  airline: Airline,
): Promise<{ ann: number; bob: number }> {
  const ann = cluster.entity(Flight, "LH1").book({ passenger: "Ann" });
  await cluster.advance("1s");
  const stale = cluster.runners.findIndex((runner) => runner.metrics.snapshot()["activeEntities"] === 1);
  await cluster.pause(stale);
  airline.goOn(0);
  await cluster.advance("45s"); // runnerLockTtl is 30s
  const bob = await cluster.entity(Flight, "LH1").book({ passenger: "Bob" });
  await cluster.resume(stale);
  await cluster.advance("1s");
  airline.goOn(1);
  await cluster.advance("5s");
  return { ann: await ann, bob };
}

describe("the epoch of a shard", () => {
  it("keeps a runner harmless that was stopped for longer than its lease (INV-1)", async () => {
    const airline = new Airline();
    await using cluster = await createTestCluster({
      runners: 2,
      register: [airline.implementation()],
      seed: 5,
    });
    const { ann, bob } = await bookOverTakeOver(cluster, airline);
    expect(bob).toBe(1);
    expect(ann).toBe(2);
    const refused = cluster.runners.reduce(
      (sum, runner) => sum + (runner.metrics.snapshot()["fenced"] ?? 0),
      0,
    );
    expect(refused).toBe(1);
  });

  it("is what does it: without the check, two passengers are told the same seat", async () => {
    const airline = new Airline();
    await using cluster = await createTestCluster({
      runners: 2,
      register: [airline.implementation()],
      seed: 5,
      tamper: withoutEpochs(),
    });
    const { ann, bob } = await bookOverTakeOver(cluster, airline);
    expect(bob).toBe(1);
    expect(ann).toBe(1);
  });
});

describe("a runner that storage tells that its shard is another's", () => {
  it.each(["saveRequest", "recordAttempt", "saveReply", "saveDeadLetter"] as const)(
    "gives it up at once, and does not try for ever, although its lease is good (%s)",
    async (operation) => {
      const Line = defineEntity({ name: "Line", rpcs: { keep: rpc<string, string>({ persisted: true }) } });
      let isCalm = true;
      let attempts = 0;
      const line = Line.implement({
        keep(text) {
          if (isCalm) return text;
          attempts += 1;
          if (operation === "saveDeadLetter" || (operation === "recordAttempt" && attempts === 1))
            throw Object.assign(new Error("busy"), { retryable: true });
          return text;
        },
      });
      /** The epochs under which nothing is written any more, by shard. */
      const refused = new Map<ShardId, number>();
      const guard = (name: string, fence: Fence | null): void => {
        if (isCalm || fence === null) return;
        const { shardId, epoch } = fence;
        if (name === operation && !refused.has(shardId)) refused.set(shardId, epoch);
        if (epoch <= (refused.get(shardId) ?? 0)) throw new FencedError({ shardId, epoch, current: null });
      };
      await using cluster = await createTestCluster({
        register: [line],
        storageMessageMaxRetries: operation === "saveDeadLetter" ? 0 : 2,
        tamper: tampering(({ messages }) => ({
          messages: {
            async saveRequest(envelope, count, fence, ready) {
              guard("saveRequest", fence);
              return messages.saveRequest(envelope, count, fence, ready);
            },
            async recordAttempt(id, count, fence) {
              guard("recordAttempt", fence);
              return messages.recordAttempt(id, count, fence);
            },
            async saveReply(reply, fence, transaction) {
              guard("saveReply", fence);
              return messages.saveReply(reply, fence, transaction);
            },
            async saveDeadLetter(id, letter, fence) {
              guard("saveDeadLetter", fence);
              return messages.saveDeadLetter(id, letter, fence);
            },
          },
        })),
      });
      // So that the next one runs ahead of its acceptance; one with a key does not.
      await cluster.entity(Line, "l").keep("first");
      await cluster.advance("2s");
      isCalm = false;
      const options = operation === "saveRequest" ? {} : { idempotencyKey: "k" };
      const kept = cluster
        .entity(Line, "l")
        .keep("next", options)
        .catch((error: Error) => error.name);
      await cluster.advance("1 minute");
      expect(refused.size).toBe(1);
      expect(await Promise.race([kept, "waits"])).toBe(
        operation === "saveDeadLetter" ? "DeadLetteredError" : "next",
      );
      expect(cluster.runners[0]?.metrics.snapshot()).toMatchObject({ fenced: 1 });
    },
  );
});

describe("a runner that stood still past its lease", () => {
  it.each(["saveRequest", "recordAttempt"] as const)(
    "begins no handler when it finds the answer to %s before it finds its lease over",
    async (awaited) => {
      // Chance decides what of all that piled up a process finds first.
      for (let seed = 1; seed <= 10; seed += 1) expect(await bookAfterStandstill(awaited, seed)).toBe(1);
    },
  );

  it.each(["an activity", "a volatile call", "the second attempt of an activity"])(
    "begins no step of an execution, %s, when it finds the answer of storage before it finds its lease over",
    async (what) => {
      for (let seed = 1; seed <= 10; seed += 1) expect(await stepAfterStandstill(what, seed)).toBe(1);
    },
  );

  it("does not call a cron's function when it finds its next tick saved before it finds its lease over", async () => {
    for (let seed = 1; seed <= 10; seed += 1) expect(await tickAfterStandstill(seed)).toBe(1);
  });

  it("lets no volatile request wait for ever that it did not begin any more", async () => {
    const turnstile = new Door();
    turnstile.close();
    const passed: string[] = [];
    await using cluster = await createTestCluster({
      runners: 1,
      register: [
        Gate.implement({
          pass: async (who) => {
            if (who === "Ann") await turnstile.passed();
            passed.push(who);
          },
        }),
        // From within the runner: nobody asks across a network whether the request is still known.
        Guide.implement({
          lead: async (_input, { entity }) => {
            for (const who of ["Ann", "Bob"])
              void entity(Gate, "A1")
                .pass(who)
                .then(
                  () => passed.push(`${who} is told`),
                  () => undefined,
                );
          },
        }),
      ],
    });
    await cluster.entity(Guide, "g").lead();
    await cluster.pause(0);
    await cluster.advance("45s"); // runnerLockTtl is 30s
    turnstile.open();
    await cluster.advance("1ms");
    expect(passed, "Bob is not let in without the lease").toEqual(["Ann", "Ann is told"]);
    await cluster.resume(0);
    await cluster.advance("30s");
    expect(passed).toEqual(["Ann", "Ann is told", "Bob", "Bob is told"]);
  });
});

/** The runner at work is stopped for longer than its lease lasts, and then finds the answer that it waited for. */
async function standStill(cluster: TestCluster, answer: Door, taken: () => void): Promise<void> {
  const stale = cluster.runners.findIndex((runner) => runner.metrics.snapshot()["activeEntities"] === 1);
  await cluster.pause(stale);
  // The next owner gets its answers at once.
  answer.letPass();
  await cluster.advance("45s"); // runnerLockTtl is 30s
  taken();
  answer.open();
  await cluster.resume(stale);
  await cluster.advance("10s");
}

/**
 * Ann's runner is stopped while it waits for an answer before it begins her booking; another one carries it out. Then the
 * first goes on. Returns how often her booking was begun.
 */
async function bookAfterStandstill(awaited: "saveRequest" | "recordAttempt", seed: number): Promise<number> {
  const answer = new Door();
  answer.close();
  let begun = 0;
  await using cluster = await createTestCluster({
    runners: 2,
    register: [Flight.implement({ book: () => (begun += 1) })],
    seed,
    tamper: tampering(({ messages }) => ({
      messages: {
        async saveRequest(...args) {
          const saved = await messages.saveRequest(...args);
          if (awaited === "saveRequest") await answer.passed();
          return saved;
        },
        async recordAttempt(...args) {
          await messages.recordAttempt(...args);
          if (awaited === "recordAttempt") await answer.passed();
        },
      },
    })),
  });
  // One that starts as it comes is recorded together with its first attempt; one that is due later begins it by itself.
  const deliverAt = new Date(cluster.now() + (awaited === "recordAttempt" ? 100 : 0));
  const ann = cluster.entity(Flight, "LH1").book({ passenger: "Ann" }, { deliverAt });
  await cluster.advance("1s");
  await standStill(cluster, answer, () => expect(begun).toBe(1));
  await ann;
  return begun;
}

/**
 * An execution's runner is stopped while what its first step came to is on its way to storage; another one does the second step.
 * Then the first goes on. Returns how often the second step was begun.
 */
async function stepAfterStandstill(what: string, seed: number): Promise<number> {
  const answer = new Door();
  answer.close();
  let begun = 0;
  const Boarding = defineWorkflow<void, string>({ name: "Boarding", key: () => "1", hashKey: false });
  const isRepeated = what === "the second attempt of an activity";
  const boarding = Boarding.implement({
    async execute(ctx) {
      if (what === "a volatile call") {
        await ctx.run("check in", () => undefined);
        await ctx.entity(Gate, "A1").pass("Ann");
      } else {
        if (!isRepeated) await ctx.run("check in", () => undefined);
        await ctx.run("board", { retries: isRepeated ? 1 : 0, initialInterval: "1ms" }, ({ attempt }) => {
          if (isRepeated && attempt === 1) throw new Error("the scanner is off");
          begun += 1;
        });
      }
      return "on board";
    },
  });
  await using cluster = await createTestCluster({
    runners: 2,
    register: [boarding, Gate.implement({ pass: () => void (begun += 1) })],
    seed,
    tamper: tampering(({ workflows }) => ({
      workflows: {
        async appendJournal(...args) {
          await workflows.appendJournal(...args);
          await answer.passed();
        },
      },
    })),
  });
  const starting = cluster.workflow(Boarding).start();
  await cluster.advance("1s");
  const handle = await starting;
  await standStill(cluster, answer, () => expect(begun).toBe(1));
  expect(await handle.poll()).toBe("on board");
  return begun;
}

/** A cron's runner is stopped while a tick saves the one after it; another one runs the tick. Then the first goes on. */
async function tickAfterStandstill(seed: number): Promise<number> {
  const answer = new Door();
  let begun = 0;
  let isSaving = false;
  let departsAt = 0;
  const departures = defineCron({
    name: "departures",
    schedule: "0 * * * * *",
    run: (scheduledTime) => void (begun += scheduledTime.getTime() === departsAt ? 1 : 0),
  });
  await using cluster = await createTestCluster({
    runners: 2,
    register: [departures],
    seed,
    tamper: tampering(({ messages }) => ({
      messages: {
        async saveRequest(...args) {
          const saved = await messages.saveRequest(...args);
          isSaving = true;
          await answer.passed();
          return saved;
        },
      },
    })),
  });
  departsAt = Math.ceil(cluster.now() / 60_000 + 1) * 60_000;
  await cluster.advance(departsAt - cluster.now() - 1_000);
  answer.close();
  isSaving = false;
  await cluster.advance("2s");
  expect(isSaving).toBe(true);
  await standStill(cluster, answer, () => expect(begun).toBe(1));
  return begun;
}

/** Takes the check away: every write carries the latest epoch, whoever writes. */
function withoutEpochs(): (storage: OpenStorage) => OpenStorage {
  const latest = new Map<ShardId, number>();
  const forged = (argument: unknown): unknown =>
    isFence(argument) ? { ...argument, epoch: latest.get(argument.shardId) ?? argument.epoch } : argument;
  const forge = <Target extends object>(target: Target): Target =>
    new Proxy(target, {
      get(object, property) {
        const value: unknown = Reflect.get(object, property, object);
        if (typeof value !== "function") return value;
        return async (...args: unknown[]) => {
          const result: unknown = await Reflect.apply(value, object, args.map(forged));
          if (property === "claimShards") {
            for (const [index, shardId] of (args[0] as ShardId[]).entries())
              latest.set(shardId, (result as number[])[index] ?? 0);
          }
          return result;
        };
      },
    });
  return (storage) => ({
    ...storage,
    messages: forge(storage.messages),
    workflows: forge(storage.workflows),
  });
}

function isFence(argument: unknown): argument is Fence {
  return typeof argument === "object" && argument !== null && "epoch" in argument && "shardId" in argument;
}
