import { describe, expect, it } from "vitest";
import type { RunnerStorage } from "../adapter/runner-storage.ts";
import { VirtualClock } from "../clock/virtual-clock.ts";
import type { RunnerRecord } from "../data/runner-record.ts";
import type { ShardId } from "../data/shard-id.ts";
import { Router, type RouteChange } from "./router.ts";

const DEBOUNCE_MS = 100;
const SHARD: ShardId = "default:1";

/** A router over a list that fails when it is told to. */
function routerOver(listRunners: () => Promise<readonly RunnerRecord[]>): {
  router: Router;
  clock: VirtualClock;
  lines: string[];
  changes: RouteChange[];
  isWatched: () => boolean;
} {
  const clock = new VirtualClock();
  const lines: string[] = [];
  const changes: RouteChange[] = [];
  let watchers = 0;
  const storage: Pick<RunnerStorage, "listRunners" | "watch"> = {
    listRunners,
    watch: async () => {
      watchers += 1;
      return async () => void (watchers -= 1);
    },
  };
  const router = new Router({
    storage: storage as RunnerStorage,
    clock,
    logger: {
      debug: () => undefined,
      info: (message) => lines.push(message),
      warn: (message) => lines.push(message),
      error: () => undefined,
    },
    shardsPerGroup: 10,
    refreshIntervalMs: 1_000,
    debounceMs: DEBOUNCE_MS,
    changed: (change) => changes.push(change),
    observed: (call) => call(),
  });
  return { router, clock, lines, changes, isWatched: () => watchers > 0 };
}

function runner(runnerId: string, weight: number = 1): RunnerRecord {
  return {
    runnerId,
    address: runnerId,
    role: "runner",
    weight,
    shardGroups: ["default"],
    entityTypes: [],
    shardsPerGroup: 10,
    protocolVersion: 1,
  };
}

describe("a router", () => {
  it("says once that the members could not be listed, until they can be again", async () => {
    let isAway = true;
    const { router, clock, lines } = routerOver(async () => {
      if (isAway) throw new Error("the store is away");
      return [];
    });
    await router.refresh();
    await router.refresh();
    expect(lines).toEqual(["The members could not be listed; the last list stays in force"]);
    isAway = false;
    await router.refresh();
    expect(lines.slice(1)).toEqual(["The members are listed again"]);
    isAway = true;
    await clock.advance(10_000);
    await router.refresh();
    expect(lines).toHaveLength(3);
  });

  it("says nothing of a list that was under way when it stopped: its connection is closed under it", async () => {
    const { promise, reject } = Promise.withResolvers<readonly RunnerRecord[]>();
    const { router, lines } = routerOver(() => promise);
    const reading = router.refresh();
    await router.stop();
    reject(new Error("closed"));
    await reading;
    expect(lines).toEqual([]);
  });
});

describe("a shard that moves", () => {
  /** A router that knew "former" alone, and then the members that are given. */
  async function movedTo(...members: readonly RunnerRecord[]) {
    let listed: readonly RunnerRecord[] = [runner("former")];
    const parts = routerOver(async () => listed);
    const list = async (...next: readonly RunnerRecord[]): Promise<void> => {
      listed = next;
      await parts.router.refresh();
    };
    await list(...listed);
    await list(...members);
    return { ...parts, list, owner: () => parts.router.ownerOf(SHARD)?.runnerId };
  }

  it("is asked for where it was until runners act on the change, which they count from the first one (T1)", async () => {
    const { clock, list, owner } = await movedTo(runner("former", 0), runner("next"));
    expect(owner()).toBe("former");
    await clock.advance(DEBOUNCE_MS - 1);
    await list(runner("former", 0), runner("next"), runner("other", 0));
    expect(owner()).toBe("former");
    await clock.advance(1);
    expect(owner()).toBe("next");
  });

  it("is asked for where it is to be if it was there no more, or the runner is gone (T1)", async () => {
    const doubted = await movedTo(runner("former", 0), runner("next"));
    doubted.router.doubt(SHARD);
    expect(doubted.owner()).toBe("next");
    const { owner } = await movedTo(runner("next"));
    expect(owner()).toBe("next");
  });

  it("is asked for where it was at the next change, too, although it was there no more at one before", async () => {
    const { router, clock, list, owner } = await movedTo(runner("former", 0), runner("next"));
    router.doubt(SHARD);
    await clock.advance(DEBOUNCE_MS);
    await list(runner("next", 0), runner("after"));
    expect(owner()).toBe("next");
  });

  it("may be free where its runner left or gave up weight, and is not where others came", async () => {
    const freed = async (...members: readonly RunnerRecord[]): Promise<boolean | undefined> =>
      (await movedTo(...members)).changes.at(-1)?.freesShards;
    expect(await freed(runner("next"))).toBe(true);
    expect(await freed(runner("former", 0), runner("next"))).toBe(true);
    expect(await freed(runner("former"), runner("next"))).toBe(false);
    // One that had none by its weight may have had some still.
    const { list, changes } = await movedTo(runner("former", 0), runner("next"));
    await list(runner("next"));
    expect(changes.at(-1)?.freesShards).toBe(true);
  });
});

describe("the list of members", () => {
  it("is read once more where a change is heard of while it is read", async () => {
    const reads: ((members: readonly RunnerRecord[]) => void)[] = [];
    const { router, clock } = routerOver(() => new Promise((resolve) => reads.push(resolve)));
    const reading = router.refresh();
    router.doubt(SHARD);
    reads[0]?.([runner("a")]);
    await clock.settle();
    reads[1]?.([runner("a"), runner("b")]);
    await reading;
    expect(router.runners.map(({ runnerId }) => runnerId)).toEqual(["a", "b"]);
    expect(reads).toHaveLength(2);
  });

  it("is read now and then although nothing announces a change, until the router stops", async () => {
    let reads = 0;
    const { router, clock, isWatched } = routerOver(async () => {
      reads += 1;
      return [];
    });
    await router.start();
    await clock.advance(3_000);
    expect([reads, isWatched()]).toEqual([4, true]);
    await router.stop();
    await clock.advance(3_000);
    expect([reads, isWatched()]).toEqual([4, false]);
  });
});
