import { shardIdOf, type ShardId } from "@holdfast/core/adapter";
import type { RunnersFactory } from "./runners-backend.ts";
import { runnersCases, shards } from "./runners-case.ts";
import { vitest } from "./vitest-api.ts";

/** Leases of shards: one holder at a time, for as long as its membership lasts. */
export function runnerLeases(factory: RunnersFactory): void {
  const { describe, expect, it } = vitest();
  const run = runnersCases(factory);

  describe("acquireShards", () => {
    it(
      "takes what is free and returns all that this runner holds now, in the order asked for",
      run(async (context) => {
        const first = await context.join("r1");
        const second = await context.join("r2");
        expect(await first.acquireShards("r1", ["default:3", "default:1"])).toEqual([
          "default:3",
          "default:1",
        ]);
        expect(await second.acquireShards("r2", ["default:4", "default:3", "default:2"])).toEqual([
          "default:4",
          "default:2",
        ]);
        const wanted: ShardId[] = ["default:5", "default:4", "default:3", "default:2", "default:1"];
        expect(await first.acquireShards("r1", wanted)).toEqual(["default:5", "default:3", "default:1"]);
        expect(await first.listShards()).toEqual(
          new Map([
            ["default:1", "r1"],
            ["default:2", "r2"],
            ["default:3", "r1"],
            ["default:4", "r2"],
            ["default:5", "r1"],
          ]),
        );
      }),
    );

    it(
      "takes nothing for nothing, and leaves groups apart",
      run(async (context) => {
        const first = await context.join("r1");
        const second = await context.join("r2");
        expect(await first.acquireShards("r1", [])).toEqual([]);
        expect(await first.acquireShards("r1", ["default:1"])).toEqual(["default:1"]);
        const free: ShardId[] = ["other:1", "default:11", shardIdOf("a:b", 1)];
        expect(await second.acquireShards("r2", free)).toEqual(free);
      }),
    );

    it(
      "returns none for a runner that has no lease",
      run(async (context) => {
        const { runners } = await context.open();
        expect(await runners.acquireShards("nobody", shards(2))).toEqual([]);
        expect(await runners.listShards()).toEqual(new Map());
      }),
    );

    it(
      "gives each shard to one of those who take them at once",
      run(async (context) => {
        const ids = ["r1", "r2", "r3"];
        const members = await Promise.all(ids.map((id) => context.join(id)));
        const wanted = shards(60);
        const taken = await Promise.all(
          members.map((runners, index) =>
            runners.acquireShards(ids[index] ?? "", index === 1 ? wanted.toReversed() : wanted),
          ),
        );
        const all = taken.flat();
        expect(new Set(all).size).toBe(all.length);
        const holders = new Map(
          taken.flatMap((shardIds, index) => shardIds.map((shardId) => [shardId, ids[index]] as const)),
        );
        expect(await members[0]?.listShards()).toEqual(holders);
        // Nobody was in anybody's way for good: what is left over may be taken now.
        const rest = wanted.filter((shardId) => !holders.has(shardId));
        expect(await members[0]?.acquireShards("r1", rest)).toEqual(rest);
      }),
    );

    it(
      "takes hundreds of shards at once",
      run(async (context) => {
        const runners = await context.join("r1");
        const wanted = shards(300);
        expect(await runners.acquireShards("r1", wanted)).toEqual(wanted);
        expect((await runners.listShards()).size).toBe(300);
        await runners.releaseShards("r1", wanted);
        expect((await runners.listShards()).size).toBe(0);
      }),
    );
  });

  describe("releaseShards", () => {
    it(
      "frees what this runner holds, and nothing of another's",
      run(async (context) => {
        const first = await context.join("r1");
        const second = await context.join("r2");
        await first.acquireShards("r1", ["default:1", "default:2"]);
        await second.acquireShards("r2", ["default:3"]);
        for (let repeat = 0; repeat < 2; repeat += 1) {
          await first.releaseShards("r1", ["default:1", "default:3", "default:9"]);
          expect(await second.listShards()).toEqual(
            new Map([
              ["default:2", "r1"],
              ["default:3", "r2"],
            ]),
          );
        }
        expect(await second.acquireShards("r2", ["default:1", "default:2"])).toEqual(["default:1"]);
      }),
    );
  });
}
