import type { RunnerRecord } from "@holdfast/core/adapter";
import type { RunnersFactory } from "./runners-backend.ts";
import { member, runnersCases, shards } from "./runners-case.ts";
import { vitest } from "./vitest-api.ts";

/** Members: who is one, for how long, and what the others see of it. */
export function runnerMembership(factory: RunnersFactory): void {
  const { describe, expect, it } = vitest();
  const run = runnersCases(factory);

  describe("a member", () => {
    it(
      "is listed with its whole record, in every session, once it is registered",
      run(async (context) => {
        const { runners } = await context.open();
        expect(await runners.listRunners()).toEqual([]);
        const records = [
          member("r1"),
          member("r2", {
            address: "grpc://10.0.0.1:9000",
            role: "client",
            weight: 0,
            shardGroups: ["default", "a:b 'ü'"],
            entityTypes: [],
            shardsPerGroup: 7,
            protocolVersion: 3,
          }),
        ];
        for (const record of records) await runners.register(record, context.ttlMs);
        for (const listed of [
          await runners.listRunners(),
          await (await context.open()).runners.listRunners(),
        ]) {
          expect(listed.toSorted(byId)).toEqual(records);
        }
      }),
    );

    it(
      "that registers again while its lease lives replaces its record and keeps its shards",
      run(async (context) => {
        const runners = await context.join("r1");
        await runners.acquireShards("r1", shards(2));
        const changed = member("r1", { weight: 5, entityTypes: ["Counter", "Other"] });
        await runners.register(changed, context.ttlMs);
        expect(await runners.listRunners()).toEqual([changed]);
        expect(await runners.listShards()).toEqual(new Map(shards(2).map((shardId) => [shardId, "r1"])));
      }),
    );

    it(
      "keeps its lease for as long as it refreshes it, and its shards with it",
      run(async (context) => {
        const runners = await context.join("r1");
        await runners.acquireShards("r1", shards(3));
        // In small steps, which leave a busy machine most of the term to answer in.
        for (let round = 0; round < 10; round += 1) {
          await context.backend.elapse(context.ttlMs / 4);
          expect(await runners.refresh("r1")).toBe("held");
        }
        expect(await runners.listRunners()).toEqual([member("r1")]);
        expect((await runners.listShards()).size).toBe(3);
      }),
    );

    it(
      "keeps it for most of its term without a refresh, from the registration on and from a refresh on",
      run(async (context) => {
        const { runners } = await context.open();
        let isHeld = false;
        // A machine that is busy may sleep through the rest of a term, and not each time.
        for (let attempt = 0; attempt < 8 && !isHeld; attempt += 1) {
          const runnerId = `r${attempt}`;
          await runners.register(member(runnerId), context.ttlMs);
          isHeld = true;
          for (let term = 0; term < 2 && isHeld; term += 1) {
            await context.backend.elapse(context.ttlMs * 0.7);
            isHeld = (await runners.refresh(runnerId)) === "held";
          }
        }
        expect(isHeld).toBe(true);
      }),
    );

    it(
      "has a lease of its full term again after a registration that is repeated",
      run(async (context) => {
        const runners = await context.join("r1");
        await runners.acquireShards("r1", shards(2));
        // Far beyond a term that a backend rounded up.
        for (let round = 0; round < 18; round += 1) {
          await context.backend.elapse(context.ttlMs / 4);
          await runners.register(member("r1"), context.ttlMs);
        }
        expect(await runners.listRunners()).toEqual([member("r1")]);
        expect((await runners.listShards()).size).toBe(2);
      }),
    );

    it(
      "has one term from its last refresh on, however often it refreshed and registered before",
      run(async (context) => {
        const runners = await context.join("r1");
        await runners.acquireShards("r1", shards(2));
        for (let round = 0; round < 12; round += 1) {
          expect(await runners.refresh("r1")).toBe("held");
          if (round % 4 === 0) await runners.register(member("r1"), context.ttlMs);
        }
        await context.outlastLeases();
        expect(await runners.listRunners()).toEqual([]);
        expect(await runners.refresh("r1")).toBe("lost");
        expect(await runners.listShards()).toEqual(new Map());
      }),
    );

    it(
      "is gone with all its shards once its lease ran out, and others may take them",
      run(async (context) => {
        const silent = await context.join("r1");
        await silent.acquireShards("r1", shards(4));
        await context.outlastLeases();
        const other = await context.join("r2");
        expect(await other.listRunners()).toEqual([member("r2")]);
        expect(await other.listShards()).toEqual(new Map());
        expect(await other.acquireShards("r2", shards(4))).toEqual(shards(4));
      }),
    );

    it(
      "learns that its lease ran out, also if nobody took its shards, and it never comes back",
      run(async (context) => {
        const runners = await context.join("r1");
        await runners.acquireShards("r1", shards(2));
        await context.outlastLeases();
        expect(await runners.refresh("r1")).toBe("lost");
        expect(await runners.refresh("r1")).toBe("lost");
        expect(await runners.listRunners()).toEqual([]);
        expect(await runners.acquireShards("r1", shards(2))).toEqual([]);
        expect(await runners.listShards()).toEqual(new Map());
      }),
    );

    it(
      "that joins anew under another id after it lost its lease does not end with the old one",
      run(async (context) => {
        const runners = await context.join("r1");
        await runners.acquireShards("r1", shards(2));
        await context.outlastLeases();
        await runners.register(member("r1-again"), context.ttlMs);
        expect(await runners.acquireShards("r1-again", shards(2))).toEqual(shards(2));
        await runners.unregister("r1");
        await runners.releaseShards("r1", shards(2));
        expect((await runners.listShards()).get("default:0")).toBe("r1-again");
        expect(await runners.listRunners()).toEqual([member("r1-again")]);
      }),
    );

    it(
      "that registers under the id of a lease which ran out has none of its shards",
      run(async (context) => {
        const runners = await context.join("r1");
        await runners.acquireShards("r1", shards(2));
        await context.outlastLeases();
        await runners.register(member("r1"), context.ttlMs);
        expect(await runners.listShards()).toEqual(new Map());
        const other = await context.join("r2");
        expect(await other.acquireShards("r2", shards(2))).toEqual(shards(2));
        // Whether an id that was lost can be taken again is the backend's: nobody asks for it.
        expect(await runners.acquireShards("r1", shards(2))).toEqual([]);
      }),
    );

    it(
      "that was never registered has lost its lease",
      run(async (context) => {
        const { runners } = await context.open();
        expect(await runners.refresh("nobody")).toBe("lost");
        await runners.unregister("nobody");
        await runners.releaseShards("nobody", shards(1));
      }),
    );

    it(
      "that is unregistered is gone, its shards are free at once, and it may be told so twice",
      run(async (context) => {
        const leaving = await context.join("r1");
        const staying = await context.join("r2");
        await leaving.acquireShards("r1", shards(3));
        await leaving.unregister("r1");
        expect(await staying.listRunners()).toEqual([member("r2")]);
        expect(await staying.acquireShards("r2", shards(3))).toEqual(shards(3));
        await leaving.unregister("r1");
        expect(await leaving.refresh("r1")).toBe("lost");
        expect((await staying.listShards()).size).toBe(3);
      }),
    );

    it(
      "is not kept by another one's refresh, and does not end with another one",
      run(async (context) => {
        const first = await context.join("r1");
        const second = await context.join("r2");
        await context.join("r3");
        for (let round = 0; round < 8; round += 1) {
          await context.backend.elapse(context.ttlMs / 4);
          expect([await first.refresh("r1"), await second.refresh("r2")]).toEqual(["held", "held"]);
        }
        await second.unregister("r2");
        expect(await first.listRunners()).toEqual([member("r1")]);
      }),
    );
  });
}

function byId(a: RunnerRecord, b: RunnerRecord): number {
  return a.runnerId < b.runnerId ? -1 : 1;
}
