import { describe, expect, it } from "vitest";
import type { RunnerStorage } from "../adapter/runner-storage.ts";
import { SeededRandom } from "../clock/seeded-random.ts";
import { VirtualClock } from "../clock/virtual-clock.ts";
import { LeaseKeeper } from "./lease-keeper.ts";

const TTL_MS = 30_000;

/** A lease in a store that is told what becomes of it, and whose records are noted. */
function leaseIn(held: Set<string>): { lease: LeaseKeeper; weights: number[]; setWeight(to: number): void } {
  const weights: number[] = [];
  let weight = 1;
  const storage: Pick<RunnerStorage, "register" | "refresh" | "unregister"> = {
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
    clock: new VirtualClock(),
    random: new SeededRandom(1),
    logger: { debug: ignore, info: ignore, warn: ignore, error: ignore },
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
    lost: ignore,
    joined: ignore,
    observed: (call) => call(),
  });
  return { lease, weights, setWeight: (to) => (weight = to) };
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
});
