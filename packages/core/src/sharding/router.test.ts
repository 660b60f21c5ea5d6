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
  it("says that the members could not be listed", async () => {
    const { router, warnings } = routerOver(() => Promise.reject(new Error("the store is away")));
    await router.refresh();
    expect(warnings).toEqual(["The members could not be listed"]);
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
