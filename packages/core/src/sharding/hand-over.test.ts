import { expect, it } from "vitest";
import { VirtualClock } from "../clock/virtual-clock.ts";
import type { ShardId } from "../data/shard-id.ts";
import { HandOver } from "./hand-over.ts";

it("a shard that left while it drained and came back is given up again", async () => {
  const first = Promise.withResolvers<boolean>();
  const drains = [first.promise, Promise.resolve(true)];
  const freed: ShardId[] = [];
  let held = true;
  const clock = new VirtualClock();
  const handOver = new HandOver({
    clock,
    isIdle: () => true,
    isDue: () => held,
    drain: () => drains.shift() ?? Promise.reject(new Error("drained once more")),
    free: async (shardIds) => {
      held = false;
      freed.push(...shardIds);
    },
  });
  handOver.begin(["default:1"]);
  // Its lease was lost meanwhile, and it was taken anew: to begin it twice at a time is refused.
  handOver.begin(["default:1"]);
  // Long enough for another one to begin beside it.
  await clock.advance(1_000);
  first.resolve(false);
  await handOver.settled();
  expect(freed).toEqual(["default:1"]);
});
