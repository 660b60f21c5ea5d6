// RedisRunnerStorage: members and shard leases in Redis, on the server's clock.
//
//   R1  Each call is one script, which is one step of Redis: see scripts.ts.
//   R2  Changes are numbered here, each try of one anew, when it is sent. Redis makes none that is older than the last one
//       of that member: a try that was given up, and arrives late, does not undo what came after it.
//   R3  With each try Redis is told which change of the member it confirmed last, as of now, so that one that lost some of
//       them (killed before they were on disk, or replaced by a replica that never had them) is found out.

import type { RunnerRecord, RunnerStorage, ShardId } from "@holdfast/core/adapter";
import { lastChangeIn } from "./errors.ts";
import type { RedisSession } from "./redis-session.ts";
import { RedisWatch } from "./redis-watch.ts";
import { ACQUIRE, LIST_RUNNERS, LIST_SHARDS, REFRESH, REGISTER, RELEASE, UNREGISTER } from "./scripts.ts";

export class RedisRunnerStorage implements RunnerStorage {
  readonly supports: { readonly watch: boolean } = { watch: true };
  readonly #session: RedisSession;
  /** The number of the last change that Redis confirmed, by the id of its member. */
  readonly #confirmed = new Map<string, number>();
  /** The number of the last try of a change, whichever member's. */
  #lastNumber = 0;
  readonly #watches = new Set<RedisWatch>();

  constructor(session: RedisSession) {
    this.#session = session;
  }

  async register(record: RunnerRecord, ttlMs: number): Promise<void> {
    const term = String(Math.ceil(ttlMs));
    await this.#change("register", REGISTER, record.runnerId, [JSON.stringify(record), term]);
  }

  async refresh(runnerId: string): Promise<"held" | "lost"> {
    const isHeld = await this.#session.run("refresh", "write", REFRESH, () => this.#named(runnerId));
    if (isHeld === 1) return "held";
    this.#confirmed.delete(runnerId);
    return "lost";
  }

  async unregister(runnerId: string): Promise<void> {
    await this.#change("unregister", UNREGISTER, runnerId, []);
    this.#confirmed.delete(runnerId);
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

  /** Runs a script that changes a member, each time under the next number, and notes that Redis confirmed it. */
  async #change(
    operation: string,
    script: string,
    runnerId: string,
    values: readonly string[],
  ): Promise<unknown> {
    let number = 0;
    const answer = await this.#session.run(operation, "write", script, (failed) => {
      // Another session may have made changes of this member.
      number = Math.max(this.#lastNumber, lastChangeIn(failed)) + 1;
      this.#lastNumber = number;
      return [...this.#named(runnerId), ...values];
    });
    this.#confirmed.set(runnerId, Math.max(this.#confirmedOf(runnerId), number));
    return answer;
  }

  /** What the scripts of a member begin with. */
  #named(runnerId: string): readonly string[] {
    return [runnerId, String(this.#confirmedOf(runnerId)), String(this.#lastNumber)];
  }

  #confirmedOf(runnerId: string): number {
    return this.#confirmed.get(runnerId) ?? 0;
  }
}
