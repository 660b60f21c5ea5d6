import { describe, expect, it } from "vitest";
import { VirtualClock } from "../clock/virtual-clock.ts";
import type { ShardId } from "../data/shard-id.ts";
import { HandOver } from "./hand-over.ts";

const shardId = (number: number): ShardId => `default:${number}`;
const shardIds = (count: number): readonly ShardId[] =>
  Array.from({ length: count }, (_, number) => shardId(number));

/** A hand-over of shards that drain and are freed when they are told to. */
function stage(busy: readonly ShardId[] = []) {
  const clock = new VirtualClock();
  const draining = new Map<ShardId, (isThere: boolean) => void>();
  const begun: ShardId[] = [];
  const gone = new Set<ShardId>();
  const freed: (readonly ShardId[])[] = [];
  const freeing: (() => void)[] = [];
  const handOver = new HandOver({
    clock,
    isIdle: (id) => !busy.includes(id),
    isDue: (id) => !gone.has(id),
    drain: (id) => {
      begun.push(id);
      return new Promise((resolve) => draining.set(id, resolve));
    },
    free: (ids) => {
      freed.push(ids);
      for (const id of ids) gone.add(id);
      return new Promise((resolve) => freeing.push(resolve));
    },
  });
  const drained = async (id: ShardId, isThere: boolean = true): Promise<void> => {
    draining.get(id)?.(isThere);
    await clock.advance(0);
  };
  const callEnds = async (): Promise<void> => {
    freeing.shift()?.();
    await clock.advance(0);
  };
  return { clock, handOver, begun, gone, freed, drained, callEnds };
}

describe("a shard that is given up", () => {
  it("goes first if nothing runs on it, also where others wait already (W1)", async () => {
    const busy = shardIds(40);
    const { handOver, begun, drained } = stage(busy);
    handOver.begin(busy);
    const [idle, first] = [shardId(40), shardId(0)];
    handOver.begin([idle]);
    expect(begun).toEqual(busy.slice(0, 32));
    await drained(first);
    expect(begun.slice(32)).toEqual([idle]);
  });

  it("is served until one of those that drain is done, or takes its time (W1, W2)", async () => {
    const { clock, handOver, begun, drained } = stage();
    handOver.begin(shardIds(70));
    expect(begun).toHaveLength(32);
    await drained(shardId(0));
    expect(begun).toHaveLength(33);
    await clock.advance(249);
    expect(begun).toHaveLength(33);
    await clock.advance(1);
    expect(begun).toHaveLength(33 + 32);
  });

  it("is left as it is where it is not to be given up any more when its turn comes", async () => {
    const { handOver, begun, gone, drained } = stage();
    handOver.begin(shardIds(34));
    gone.add(shardId(32));
    await drained(shardId(0));
    expect(begun.slice(32)).toEqual([shardId(33)]);
  });

  it("is freed at once, with those that were drained while the last call was under way (W3)", async () => {
    const { handOver, freed, drained, callEnds } = stage();
    handOver.begin(shardIds(3));
    await drained(shardId(0));
    await drained(shardId(1));
    await drained(shardId(2));
    expect(freed).toEqual([[shardId(0)]]);
    await callEnds();
    expect(freed).toEqual([[shardId(0)], [shardId(1), shardId(2)]]);
  });

  it("is given up again where it left while it drained, and came back", async () => {
    const { clock, handOver, begun, freed, drained, callEnds } = stage();
    handOver.begin([shardId(1)]);
    // Its lease was lost meanwhile, and it was taken anew: to begin it twice at a time is refused.
    handOver.begin([shardId(1)]);
    // Long enough for another one to begin beside it.
    await clock.advance(1_000);
    await drained(shardId(1), false);
    expect(begun).toEqual([shardId(1), shardId(1)]);
    await drained(shardId(1));
    await callEnds();
    await handOver.settled();
    expect(freed).toEqual([[shardId(1)]]);
  });

  it("is not once all is cancelled, also where it came back", async () => {
    const { handOver, begun, drained } = stage();
    handOver.begin([shardId(1)]);
    handOver.cancel();
    await drained(shardId(1), false);
    expect(begun).toEqual([shardId(1)]);
    await handOver.settled();
  });
});
