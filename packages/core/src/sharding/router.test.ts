import { describe, expect, it } from "vitest";
import type { RunnerStorage } from "../adapter/runner-storage.ts";
import { VirtualClock } from "../clock/virtual-clock.ts";
import type { RunnerRecord } from "../data/runner-record.ts";
import { Router } from "./router.ts";

/** A router over a list that fails when it is told to. */
function routerOver(listRunners: () => Promise<readonly RunnerRecord[]>): {
  router: Router;
  clock: VirtualClock;
  lines: string[];
} {
  const clock = new VirtualClock();
  const lines: string[] = [];
  const storage: Pick<RunnerStorage, "listRunners" | "watch"> = {
    listRunners,
    watch: () => Promise.resolve(() => Promise.resolve()),
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
    debounceMs: 100,
    changed: () => undefined,
    observed: (call) => call(),
  });
  return { router, clock, lines };
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
