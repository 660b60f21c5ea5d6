import { describe, expect, it } from "vitest";
import type { RunnerStorage } from "../adapter/runner-storage.ts";
import { VirtualClock } from "../clock/virtual-clock.ts";
import type { RunnerRecord } from "../data/runner-record.ts";
import { Router } from "./router.ts";

/** A router over a list that fails when it is told to. */
function routerOver(listRunners: () => Promise<readonly RunnerRecord[]>): {
  router: Router;
  warnings: string[];
} {
  const warnings: string[] = [];
  const storage: Pick<RunnerStorage, "listRunners" | "watch"> = {
    listRunners,
    watch: () => Promise.resolve(() => Promise.resolve()),
  };
  const router = new Router({
    storage: storage as RunnerStorage,
    clock: new VirtualClock(),
    logger: {
      debug: () => undefined,
      info: () => undefined,
      warn: (message) => warnings.push(message),
      error: () => undefined,
    },
    shardsPerGroup: 10,
    refreshIntervalMs: 1_000,
    debounceMs: 100,
    changed: () => undefined,
    observed: (call) => call(),
  });
  return { router, warnings };
}

describe("a router", () => {
  it("says once that the members could not be listed, until they can be again", async () => {
    let isAway = true;
    const { router, warnings } = routerOver(async () => {
      if (isAway) throw new Error("the store is away");
      return [];
    });
    await router.refresh();
    await router.refresh();
    expect(warnings).toEqual(["The members could not be listed"]);
    isAway = false;
    await router.refresh();
    isAway = true;
    await router.refresh();
    expect(warnings).toHaveLength(2);
  });

  it("says nothing of a list that was under way when it stopped: its connection is closed under it", async () => {
    const { promise, reject } = Promise.withResolvers<readonly RunnerRecord[]>();
    const { router, warnings } = routerOver(() => promise);
    const reading = router.refresh();
    await router.stop();
    reject(new Error("closed"));
    await reading;
    expect(warnings).toEqual([]);
  });
});
