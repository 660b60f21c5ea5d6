import { describe, expect, it } from "vitest";
import { SeededRandom } from "../clock/seeded-random.ts";
import { SystemClock } from "../clock/system-clock.ts";
import { VirtualClock } from "../clock/virtual-clock.ts";
import { Abort } from "../contract/abort.ts";
import { Children } from "./children.ts";
import type { StepScope } from "./step.ts";

describe("the children of an execution that is cancelled", () => {
  it("are all told before anybody who asks goes on (D1)", async () => {
    const scope = {
      clock: new VirtualClock(),
      random: new SeededRandom(1),
      stopped: new Abort(),
      isStopped: () => false,
    };
    const children = new Children(scope as unknown as StepScope);
    const telling = Promise.withResolvers<void>();
    const address = { entityType: "workflow:Child", executionId: "1", shardGroup: "default" };
    children.started({ address, cancel: () => telling.promise });
    children.cancel("enough");
    const over: string[] = [];
    const asked = ["the next run", "the end"].map(async (who) => {
      await children.told();
      over.push(who);
    });
    await new SystemClock().nextTurn();
    expect(over).toEqual([]);
    telling.resolve();
    await Promise.all(asked);
    expect(over).toEqual(["the next run", "the end"]);
  });
});
