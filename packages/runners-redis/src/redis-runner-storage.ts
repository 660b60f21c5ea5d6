// RedisRunnerStorage: members and shard leases in Redis, on the server's clock.
//
//   R1  Each call is one script, which is one step of Redis: see scripts.ts.
//   R2  A member's changes are numbered here. With each call Redis is told which of them it confirmed, so that one that
//       lost some of them (killed before they were on disk, or replaced by a replica that never had them) is found out.

import type { RunnerRecord, RunnerStorage, ShardId } from "@holdfast/core/adapter";
import type { RedisSession } from "./redis-session.ts";
import { RedisWatch } from "./redis-watch.ts";
import { ACQUIRE, LIST_RUNNERS, LIST_SHARDS, REFRESH, REGISTER, RELEASE, UNREGISTER } from "./scripts.ts";

/** The changes of one member that were made here. */
interface Changes {
  made: number;
  confirmed: number;
}

export class RedisRunnerStorage implements RunnerStorage {
  readonly supports: { readonly watch: boolean } = { watch: true };
  readonly #session: RedisSession;
  readonly #changes = new Map<string, Changes>();
  readonly #watches = new Set<RedisWatch>();

  constructor(session: RedisSession) {
    this.#session = session;
  }

  async register(record: RunnerRecord, ttlMs: number): Promise<void> {
    const term = String(Math.ceil(ttlMs));
    await this.#change("register", REGISTER, record.runnerId, [JSON.stringify(record), term]);
  }

  async refresh(runnerId: string): Promise<"held" | "lost"> {
    const confirmed = this.#changes.get(runnerId)?.confirmed ?? 0;
    const isHeld = await this.#session.run("refresh", "write", REFRESH, [runnerId, String(confirmed), "0"]);
    if (isHeld === 1) return "held";
    this.#changes.delete(runnerId);
    return "lost";
  }

  async unregister(runnerId: string): Promise<void> {
    await this.#session.run("unregister", "write", UNREGISTER, [runnerId, "0", "0"]);
    this.#changes.delete(runnerId);
  }

  async listRunners(): Promise<readonly RunnerRecord[]> {
    const records = (await this.#session.run("listRunners", "read", LIST_RUNNERS)) as string[];
    return records.map((record) => JSON.parse(record) as RunnerRecord);
  }

  async acquireShards(runnerId: string, shardIds: readonly ShardId[]): Promise<readonly ShardId[]> {
    if (shardIds.length === 0) return [];
    return (await this.#change("acquireShards", ACQUIRE, runnerId, shardIds)) as ShardId[];
  }

  async releaseShards(runnerId: string, shardIds: readonly ShardId[]): Promise<void> {
    if (shardIds.length > 0) await this.#change("releaseShards", RELEASE, runnerId, shardIds);
  }

  async listShards(): Promise<ReadonlyMap<ShardId, string>> {
    const flat = (await this.#session.run("listShards", "read", LIST_SHARDS)) as string[];
    const shards = new Map<ShardId, string>();
    for (let index = 0; index < flat.length; index += 2)
      shards.set(flat[index] as ShardId, flat[index + 1] ?? "");
    return shards;
  }

  async watch(changed: () => void): Promise<() => Promise<void>> {
    const watch = new RedisWatch(this.#session, changed);
    this.#watches.add(watch);
    await watch.start();
    return () => {
      watch.stop();
      this.#watches.delete(watch);
      return Promise.resolve();
    };
  }

  /** Ends the watches and the connections. Leases stay until they run out. */
  close(): Promise<void> {
    for (const watch of this.#watches) watch.stop();
    this.#watches.clear();
    this.#session.close();
    return Promise.resolve();
  }

  /** Runs a script that changes a member, under the next number, and notes that Redis confirmed it (R2). */
  async #change(
    operation: string,
    script: string,
    runnerId: string,
    values: readonly string[],
  ): Promise<unknown> {
    const changes = this.#changes.get(runnerId) ?? { made: 0, confirmed: 0 };
    this.#changes.set(runnerId, changes);
    changes.made += 1;
    const number = changes.made;
    const sent = [runnerId, String(changes.confirmed), String(number), ...values];
    const answer = await this.#session.run(operation, "write", script, sent);
    changes.confirmed = Math.max(changes.confirmed, number);
    return answer;
  }
}
