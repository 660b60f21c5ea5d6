import { describe, expect, it } from "vitest";
import type { MessageStorage } from "../adapter/message-storage.ts";
import type { RunnerStorage } from "../adapter/runner-storage.ts";
import { VirtualClock } from "../clock/virtual-clock.ts";
import type { ShardId } from "../data/shard-id.ts";
import type { LeaseKeeper } from "./lease-keeper.ts";
import { ShardOwner } from "./shard-owner.ts";

const A: ShardId = "default:1";
const B: ShardId = "default:2";
const DEBOUNCE_MS = 3_000;

/** A way on which what is sent waits while it is closed. */
class Way {
  #waiting: PromiseWithResolvers<void> | null = null;
  #isClosed = false;

  close(): void {
    this.#waiting ??= Promise.withResolvers();
    this.#isClosed = true;
  }

  /** What is sent from now on overtakes what waits. */
  letPass(): void {
    this.#isClosed = false;
  }

  open(): void {
    this.#waiting?.resolve();
    this.#waiting = null;
    this.#isClosed = false;
  }

  async passed(): Promise<void> {
    if (this.#isClosed) await this.#waiting?.promise;
  }
}

/** An owner of shards, its lease store and its storage, and what it has its guest do. */
class Stage {
  readonly clock = new VirtualClock();
  readonly log: string[] = [];
  readonly toAcquire = new Way();
  readonly toRelease = new Way();
  /** Where the answers to releases come. */
  readonly fromRelease = new Way();
  readonly toClaim = new Way();
  readonly toDrain = new Way();
  readonly leases = new Map<ShardId, string>();
  /** What a sender's requests may wait for. */
  readonly expected = new Set<ShardId>();
  /** Where something that was dropped goes on. */
  readonly ending = new Set<ShardId>();
  runnerId = "one";
  isHeld = true;
  target: readonly ShardId[] = [];
  failingReleases = 0;
  /** The latest epoch that was claimed. */
  epoch = 0;
  readonly owner: ShardOwner;

  constructor() {
    const ignore = (): void => undefined;
    const runners: Pick<RunnerStorage, "acquireShards" | "releaseShards"> = {
      acquireShards: async (runnerId, shardIds) => {
        await this.toAcquire.passed();
        return shardIds.filter((shardId) => {
          if (!this.leases.has(shardId)) this.leases.set(shardId, runnerId);
          return this.leases.get(shardId) === runnerId;
        });
      },
      releaseShards: async (runnerId, shardIds) => {
        await this.toRelease.passed();
        this.failingReleases -= 1;
        if (this.failingReleases >= 0) throw new Error("the lease store is away");
        for (const shardId of shardIds)
          if (this.leases.get(shardId) === runnerId) this.leases.delete(shardId);
        await this.fromRelease.passed();
      },
    };
    const messages: Pick<MessageStorage, "claimShards"> = {
      claimShards: async (shardIds) => {
        await this.toClaim.passed();
        return shardIds.map(() => (this.epoch += 1));
      },
    };
    const runnerId = (): string => this.runnerId;
    this.owner = new ShardOwner({
      lease: {
        isHeld: () => this.isHeld,
        get runnerId() {
          return runnerId();
        },
      } as LeaseKeeper,
      runners: runners as RunnerStorage,
      messages: messages as MessageStorage,
      clock: this.clock,
      logger: { debug: ignore, info: ignore, warn: ignore, error: ignore },
      guest: {
        expect: (shardIds) => shardIds.forEach((shardId) => this.expected.add(shardId)),
        unexpect: (shardIds) => shardIds.forEach((shardId) => this.expected.delete(shardId)),
        take: ({ shardId, epoch }) => {
          this.expected.delete(shardId);
          this.log.push(`${shardId} is served under ${epoch}`);
        },
        isIdle: () => true,
        isEnding: (shardId) => this.ending.has(shardId),
        drain: () => this.toDrain.passed(),
        drop: (shardIds) => void this.log.push(`${shardIds.join(" and ")} dropped`),
      },
      debounceMs: DEBOUNCE_MS,
      target: () => this.target,
      acquired: ignore,
      lost: (shardId, reason) => void this.log.push(`${shardId} lost: ${reason}`),
      released: (shardIds) => void this.log.push(`${shardIds.join(" and ")} free`),
    });
  }

  /** The shards that should be here change, and what that asks for is begun. */
  async assign(...target: readonly ShardId[]): Promise<void> {
    this.target = target;
    this.owner.reconcileNow();
    await this.clock.settle();
  }
}

/** One that serves a shard. Nothing of that is in its log. */
async function serving(...shardIds: readonly ShardId[]): Promise<Stage> {
  const stage = new Stage();
  await stage.assign(...shardIds);
  expect(stage.owner.owned).toEqual(shardIds);
  stage.log.length = 0;
  return stage;
}

describe("a shard", () => {
  it("that another runner's claim took from its owner is claimed again, if it is still to be there", async () => {
    const stage = await serving(A);
    stage.owner.fenced(A);
    // Another write that was under way.
    stage.owner.fenced(A);
    expect(stage.owner.owned).toEqual([]);
    await stage.clock.advance(1_000);
    expect(stage.log).toEqual([
      "default:1 dropped",
      "default:1 lost: a write was refused: the shard was claimed again",
      "default:1 is served under 2",
    ]);
  });

  it("that cannot be freed is freed later (S4)", async () => {
    const stage = await serving(A);
    stage.failingReleases = 2;
    await stage.assign();
    expect(stage.leases.get(A)).toBe("one");
    await stage.clock.advance(2_000);
    expect(stage.leases.has(A)).toBe(false);
    expect(stage.log).toEqual(["default:1 lost: moved to another runner", "default:1 free"]);
  });

  it("that is lost while it drains is not freed, nor lost once more when it has drained", async () => {
    const stage = await serving(A);
    stage.toDrain.close();
    await stage.assign();
    stage.owner.dropAll("the lease is over");
    stage.runnerId = "two";
    stage.leases.clear();
    await stage.assign(A);
    stage.toDrain.open();
    await stage.clock.settle();
    expect(stage.owner.owned).toEqual([A]);
    expect(stage.leases.get(A)).toBe("two");
    expect(stage.log).toEqual([
      "default:1 dropped",
      "default:1 lost: the lease is over",
      "default:1 is served under 2",
    ]);
  });

  it("that is lost while it is freed, and served under the next lease by then, goes on being served", async () => {
    const stage = await serving(A);
    stage.toRelease.close();
    await stage.assign();
    stage.owner.dropAll("the lease is over");
    stage.runnerId = "two";
    stage.leases.clear();
    await stage.assign(A);
    stage.log.length = 0;
    stage.toRelease.open();
    await stage.clock.settle();
    expect(stage.owner.owned).toEqual([A]);
    expect(stage.leases.get(A)).toBe("two");
    expect(stage.log, "it is not claimed once more").toEqual(["default:1 free"]);
  });

  it.each(["drains", "is freed"])(
    "that comes back to its owner while it %s is taken again at once",
    async (when) => {
      const stage = await serving(A);
      const way = when === "drains" ? stage.toDrain : stage.toRelease;
      way.close();
      await stage.assign();
      stage.target = [A];
      way.open();
      await stage.clock.settle();
      expect(stage.owner.owned).toEqual([A]);
      expect(stage.leases.get(A)).toBe("one");
    },
  );

  it("is not leased anew while its release under the same lease is on the way, also where it was dropped meanwhile", async () => {
    const stage = await serving(A, B);
    stage.toRelease.close();
    await stage.assign(B);
    // Detached, and attached again.
    stage.owner.dropAll("storage is out of reach");
    await stage.assign(A, B);
    expect(stage.owner.owned).toEqual([B]);
    stage.toRelease.open();
    await stage.clock.settle();
    expect(stage.owner.owned).toEqual([B, A]);
    // Without a lease another runner could serve it, too.
    expect(stage.leases.get(A)).toBe("one");
  });

  it("is not released once more while its release is on the way: the later one would free what is leased anew", async () => {
    const stage = await serving(A, B);
    stage.toRelease.close();
    await stage.assign(B);
    stage.toRelease.letPass();
    // Detached: all that is leased here is given back. Then attached again.
    stage.owner.dropAll("storage is out of reach");
    await stage.assign();
    await stage.assign(A, B);
    stage.toRelease.open();
    await stage.clock.advance(1_000);
    expect(stage.owner.owned).toEqual([B, A]);
    expect(stage.leases).toEqual(
      new Map([
        [B, "one"],
        [A, "one"],
      ]),
    );
  });

  it("that is leased by a call that lands behind its release, when nobody waits for it, is freed all the same (S4)", async () => {
    const stage = await serving(B);
    stage.toAcquire.close();
    await stage.assign(A, B);
    stage.toAcquire.letPass();
    // Detached: all that may be leased here is given back. Once it is attached again, the shard is another runner's.
    stage.owner.dropAll("storage is out of reach");
    await stage.assign();
    await stage.assign(B);
    stage.toAcquire.open();
    await stage.clock.advance(1_000);
    expect(stage.owner.owned).toEqual([B]);
    expect(stage.leases).toEqual(new Map([[B, "one"]]));
  });

  it("that is leased by a call that lands behind its release, and answers before it, is freed all the same (S4)", async () => {
    const stage = await serving(B);
    stage.toAcquire.close();
    await stage.assign(A, B);
    stage.owner.dropAll("storage is out of reach");
    stage.fromRelease.close();
    await stage.assign();
    stage.toAcquire.open();
    await stage.clock.settle();
    expect(stage.leases).toEqual(new Map([[A, "one"]]));
    stage.fromRelease.open();
    await stage.clock.advance(1_000);
    expect(stage.leases).toEqual(new Map());
  });

  it("that is another runner's by the time at which it is claimed is given up again", async () => {
    const stage = new Stage();
    stage.toClaim.close();
    await stage.assign(A);
    stage.target = [];
    stage.toClaim.open();
    await stage.clock.settle();
    expect(stage.owner.owned).toEqual([]);
    expect(stage.leases.has(A)).toBe(false);
  });

  describe.each([
    ["its lease is over", (stage: Stage) => void (stage.isHeld = false)],
    ["its runner has another lease", (stage: Stage) => void (stage.runnerId = "two")],
    ["its runner stops", (stage: Stage) => void stage.owner.stop()],
  ])("where %s meanwhile", (_what, happens) => {
    it("is not served after all once it is claimed (S1)", async () => {
      const stage = new Stage();
      stage.toClaim.close();
      await stage.assign(A);
      happens(stage);
      stage.toClaim.open();
      await stage.clock.settle();
      expect([stage.owner.owned, stage.log]).toEqual([[], []]);
    });

    it("is not claimed once it is leased, as it may be its next owner's by then (S3)", async () => {
      const stage = new Stage();
      stage.toAcquire.close();
      await stage.assign(A);
      happens(stage);
      stage.toAcquire.open();
      await stage.clock.settle();
      expect(stage.epoch).toBe(0);
    });

    it("is not leased once others are freed that had to be before (S3)", async () => {
      const stage = await serving(B);
      stage.owner.dropAll("storage is out of reach");
      stage.toRelease.close();
      await stage.assign(A);
      happens(stage);
      stage.toRelease.open();
      await stage.clock.settle();
      expect(stage.leases).toEqual(new Map());
    });
  });

  it("that was dropped is freed once what goes on there has ended, and not before (S4)", async () => {
    const stage = await serving(A);
    stage.ending.add(A);
    stage.owner.dropAll("storage is out of reach");
    await stage.assign();
    await stage.clock.advance(10_000);
    expect(stage.leases.get(A)).toBe("one");
    stage.ending.clear();
    await stage.clock.advance(1_000);
    expect(stage.leases).toEqual(new Map());
  });

  it.each([
    ["everything is dropped", (stage: Stage) => stage.owner.dropAll("the lease is over")],
    ["its runner stops", (stage: Stage) => void stage.owner.stop()],
  ])("is expected until %s, and nobody waits for it any more", async (_what, happens) => {
    const stage = await serving(A);
    stage.toClaim.close();
    await stage.assign(A, B);
    const settled = stage.owner.settled();
    expect(stage.expected).toEqual(new Set([B]));
    happens(stage);
    expect(stage.expected).toEqual(new Set());
    await stage.owner.stop();
    await settled;
  });

  it("that is on the move leaves its runner ready, which it is not without any", async () => {
    const stage = await serving(A);
    expect(stage.owner.hasServedAll).toBe(true);
    stage.toClaim.close();
    await stage.assign(A, B);
    expect(stage.owner.hasServedAll).toBe(true);
    stage.owner.dropAll("the lease is over");
    expect(stage.owner.hasServedAll).toBe(false);
  });

  it("is given up after the debounce only, and taken without it (S5)", async () => {
    const stage = await serving(A);
    stage.owner.reconcileSoon();
    stage.target = [B];
    stage.owner.takeMissing();
    await stage.clock.advance(DEBOUNCE_MS - 1);
    expect(stage.owner.owned).toEqual([A, B]);
    await stage.clock.advance(1);
    expect(stage.owner.owned).toEqual([B]);
  });
});
