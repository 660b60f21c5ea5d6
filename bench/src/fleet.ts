// Fleet: so many runner processes on one database.

import { setTimeout as sleep } from "node:timers/promises";
import { ContestantProcess, type Figures } from "./contestant-process.ts";

const RUNNER = new URL("contestants/runner.ts", import.meta.url);
const SETTLE_MS = 60_000;

/** @throws {Error} one did not start, or they did not agree on who has which shards */
export async function openFleet(size: number, postgres: string): Promise<Fleet> {
  const fleet = new Fleet();
  try {
    for (let each = 0; each < size; each += 1)
      fleet.runners.push(await ContestantProcess.open(RUNNER, { postgres, nats: null, redis: null }));
    await fleet.settle();
    return fleet;
  } catch (error) {
    await fleet.close();
    throw error;
  }
}

export class Fleet {
  readonly runners: ContestantProcess[] = [];

  figures(): Promise<readonly Figures[]> {
    return Promise.all(this.runners.map((runner) => runner.figures()));
  }

  /** Resolves when each knows of all, and each shard is with one of them. */
  async settle(): Promise<void> {
    for (const until = performance.now() + SETTLE_MS; performance.now() < until; await sleep(200)) {
      const all = (await this.figures()).map(({ own }) => own);
      const owned = all.map(({ shards = 0 }) => shards);
      const isShared =
        owned.every((shards) => shards > 0) &&
        owned.reduce((sum, shards) => sum + shards, 0) === all[0]?.["allShards"];
      if (isShared && all.every(({ runners }) => runners === all.length)) return;
    }
    throw new Error(`${this.runners.length} runners did not share the shards within ${SETTLE_MS} ms`);
  }

  /** One after the other, as shards move to those that are left. */
  async close(): Promise<void> {
    for (const runner of this.runners) await runner.close();
  }
}
