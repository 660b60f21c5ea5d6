import { describe, expect, it } from "vitest";
import type { RunnerStorage } from "../adapter/runner-storage.ts";
import { SeededRandom } from "../clock/seeded-random.ts";
import { VirtualClock, type VirtualClockView } from "../clock/virtual-clock.ts";
import { LeaseKeeper } from "./lease-keeper.ts";

const TTL_MS = 30_000;

type Store = Pick<RunnerStorage, "register" | "refresh" | "unregister">;

interface Leased {
  readonly lease: LeaseKeeper;
  readonly clock: VirtualClock;
  /** What the lease's process sees of the clock. */
  readonly view: VirtualClockView;
  /** Its methods may be exchanged. */
  readonly storage: Store;
  readonly weights: number[];
  /** Why leases were lost. */
  readonly losses: string[];
  /** Messages at level info and above. */
  readonly logged: string[];
  /** What must end before a lost lease does has ended. */
  readonly endsWhatRan: () => void;
  setWeight(to: number): void;
}

/** A lease in a store that is told what becomes of it, and whose records are noted. */
function leaseIn(held: Set<string>): Leased {
  const weights: number[] = [];
  const losses: string[] = [];
  const logged: string[] = [];
  const ending = Promise.withResolvers<void>();
  const clock = new VirtualClock();
  const view = clock.view();
  let weight = 1;
  const storage: Store = {
    async register(record) {
      held.add(record.runnerId);
      weights.push(record.weight);
    },
    refresh: async (runnerId) => (held.has(runnerId) ? "held" : "lost"),
    unregister: async (runnerId) => void held.delete(runnerId),
  };
  const ignore = (): void => undefined;
  const lease = new LeaseKeeper({
    storage: storage as RunnerStorage,
    clock: view,
    random: new SeededRandom(1),
    logger: {
      debug: ignore,
      info: (message) => void logged.push(message),
      warn: (message) => void logged.push(message),
      error: ignore,
    },
    ttlMs: TTL_MS,
    refreshIntervalMs: TTL_MS / 3,
    record: (runnerId) => ({
      runnerId,
      address: "a",
      role: "runner",
      weight,
      shardGroups: [],
      entityTypes: [],
      shardsPerGroup: 1,
      protocolVersion: 1,
    }),
    lost: (reason) => void losses.push(reason),
    ended: () => ending.promise,
    joined: ignore,
    observed: (call) => call(),
  });
  const setWeight = (to: number): void => void (weight = to);
  return { lease, clock, view, storage, weights, losses, logged, endsWhatRan: ending.resolve, setWeight };
}

describe("a lease", () => {
  it("is published with what its record is now", async () => {
    const { lease, weights, setWeight } = leaseIn(new Set());
    await lease.join();
    setWeight(0);
    await lease.publish();
    expect(weights).toEqual([1, 0]);
    lease.abandon();
  });

  it("whose record cannot be published is published by a refresh, with few lines in the log until then", async () => {
    const { lease, clock, storage, weights, logged, setWeight } = leaseIn(new Set());
    await lease.join();
    const { register } = storage;
    storage.register = async () => Promise.reject(new Error("no records now"));
    setWeight(0);
    for (let second = 0; second < 60; second += 1) {
      await lease.publish();
      await clock.advance(1_000);
    }
    const failed = "The changed record could not be published; the next refresh does it";
    expect(logged).toEqual([failed, failed]);
    storage.register = register;
    await clock.advance(TTL_MS / 3);
    expect(weights).toEqual([1, 0]);
    expect(logged.slice(2)).toEqual(["The changed record is published"]);
    lease.abandon();
  });

  it("whose record could not be published is published by the next lease, too", async () => {
    const held = new Set<string>();
    const { lease, clock, storage, logged } = leaseIn(held);
    await lease.join();
    const { register } = storage;
    storage.register = async () => Promise.reject(new Error("no records now"));
    await lease.publish();
    storage.register = register;
    held.clear();
    await clock.advance(TTL_MS / 3);
    expect(lease.isHeld()).toBe(true);
    expect(logged).toEqual([
      "The changed record could not be published; the next refresh does it",
      "The lease is lost; joining again under a new identity",
      "The changed record is published",
    ]);
    lease.abandon();
  });

  it("that its store has lost does not come back by being published (L2)", async () => {
    const held = new Set<string>();
    const { lease } = leaseIn(held);
    await lease.join();
    const lost = lease.runnerId;
    held.clear();
    await lease.publish();
    expect(held).not.toContain(lost);
    expect(lease.runnerId).not.toBe(lost);
    lease.abandon();
  });

  it("that was over in a process that stood still does not come back by the answer to its refresh (L2)", async () => {
    const { lease, clock, view, storage, losses } = leaseIn(new Set());
    await lease.join();
    const first = lease.runnerId;
    const answered = Promise.withResolvers<"held">();
    storage.refresh = () => answered.promise;
    await clock.advance(TTL_MS / 3);
    view.pause();
    // 30 s after the one that was answered last, and 20 s after the one that was sent last.
    await clock.advance((TTL_MS * 2) / 3);
    expect(lease.isHeld()).toBe(false);
    answered.resolve("held");
    await clock.settle();
    // Who was refused meanwhile waits for that.
    expect(losses).toHaveLength(1);
    expect(lease.runnerId).not.toBe(first);
    lease.abandon();
  });

  it("that was over in a process that stood still does not come back by the answer to its publication (L2)", async () => {
    const { lease, clock, view, storage, losses } = leaseIn(new Set());
    await lease.join();
    const [refreshed, published] = [Promise.withResolvers<"held">(), Promise.withResolvers<void>()];
    storage.refresh = () => refreshed.promise;
    storage.register = () => published.promise;
    void lease.publish();
    await clock.advance(TTL_MS / 3 - 1);
    refreshed.resolve("held");
    await clock.settle();
    view.pause();
    await clock.advance((TTL_MS * 2) / 3);
    expect(lease.isHeld()).toBe(false);
    published.resolve();
    await clock.settle();
    expect(lease.isHeld()).toBe(false);
    view.resume();
    await clock.settle();
    expect(losses).toHaveLength(1);
    lease.abandon();
  });

  it("that was over in a process that stood still does not come back by the answer to a second try to join (L2)", async () => {
    const { lease, clock, view, storage, losses } = leaseIn(new Set());
    await lease.join();
    storage.refresh = () => new Promise(() => undefined);
    const tries: PromiseWithResolvers<void>[] = [];
    storage.register = () => {
      const answered = Promise.withResolvers<void>();
      tries.push(answered);
      return answered.promise;
    };
    const tried = async (times: number): Promise<void> => {
      while (tries.length < times) await clock.advance(100);
    };
    // The second one begins as the first is given up for slow, the third as that fails.
    await tried(2);
    tries[0]?.reject(new Error("no answer"));
    await tried(3);
    tries[1]?.resolve();
    await clock.settle();
    const second = lease.runnerId;
    expect(lease.isHeld()).toBe(true);
    view.pause();
    while (lease.isHeld()) await clock.advance(1);
    tries[2]?.resolve();
    await clock.settle();
    expect(lease.isHeld()).toBe(false);
    view.resume();
    await clock.settle();
    expect(losses).toHaveLength(2);
    expect(lease.runnerId).not.toBe(second);
    lease.abandon();
  });

  it("that is lost is ended in its store once what ran under it has ended, so that its shards are free", async () => {
    const held = new Set<string>();
    const { lease, clock, storage, endsWhatRan } = leaseIn(held);
    await lease.join();
    const lost = lease.runnerId;
    storage.refresh = () => new Promise(() => undefined);
    await clock.advance(TTL_MS);
    expect(held).toEqual(new Set([lost, lease.runnerId]));
    endsWhatRan();
    await clock.settle();
    expect(held).toEqual(new Set([lease.runnerId]));
    lease.abandon();
  });

  it("is asked for again where its store never answers", async () => {
    const held = new Set<string>();
    const { lease, clock, storage } = leaseIn(held);
    await lease.join();
    const { register } = storage;
    storage.register = () => new Promise(() => undefined);
    held.clear();
    await clock.advance(TTL_MS);
    expect(lease.isHeld()).toBe(false);
    storage.register = register;
    await clock.advance(TTL_MS);
    expect(lease.isHeld()).toBe(true);
    lease.abandon();
  });
});
