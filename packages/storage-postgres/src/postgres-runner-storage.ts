// PostgresRunnerStorage: members and their leases in PostgreSQL, on the server's clock.
//
//   R1  A shard is held as long as its row in shard_leases is there, and that as long as its runner's row.
//   R2  A runner's row is removed once its time is over, and never while it is not: both by the server's clock, under the
//       row's lock.
//   R3  No lease lasts longer from a look of a watch than its term: a clock that was set back, or that of a standby which took
//       over, would keep the shards of the dead.

import type { RunnerRecord, RunnerStorage, ShardId } from "@holdfast/core/adapter";
import type { PostgresSession } from "./postgres-session.ts";
import { textArray } from "./sql-array.ts";

/** How often a watch looks for leases that ran out, at least. */
const LONGEST_LOOK_MS = 60_000;
const SHORTEST_LOOK_MS = 20;
const AFTER_FAILURE_MS = 1_000;
const BEYOND_TERM = `expires_at > clock_timestamp() + ttl_ms * interval '1 millisecond'`;

export class PostgresRunnerStorage implements RunnerStorage {
  readonly supports: { readonly watch: boolean };
  readonly #session: PostgresSession;
  readonly #channel: string;

  constructor(session: PostgresSession) {
    this.#session = session;
    this.supports = { watch: session.driver.listens };
    this.#channel = `${session.schema}_runners`;
  }

  async register(record: RunnerRecord, ttlMs: number): Promise<void> {
    await this.#session.call("register", "register_runner_v1", [
      record.runnerId,
      JSON.stringify(record),
      ttlMs,
    ]);
    await this.#tell();
  }

  async refresh(runnerId: string): Promise<"held" | "lost"> {
    // One that lands late makes a live lease longer, and no more.
    const rows = await this.#session.run<object>("refresh", {
      name: "holdfast_refresh",
      text: `UPDATE "${this.#session.schema}".runners SET expires_at = clock_timestamp() + ttl_ms * interval '1 millisecond'
        WHERE runner_id = $1 AND expires_at > clock_timestamp() RETURNING 1 AS held`,
      values: [runnerId],
      isUrgent: true,
    });
    return rows.length > 0 ? "held" : "lost";
  }

  async unregister(runnerId: string): Promise<void> {
    const rows = await this.#statement(
      "unregister",
      `DELETE FROM $schema.runners WHERE runner_id = $1 RETURNING 1 AS gone`,
      [runnerId],
    );
    if (rows.length > 0) await this.#tell();
  }

  async listRunners(): Promise<readonly RunnerRecord[]> {
    const text = `SELECT record FROM $schema.runners WHERE expires_at > clock_timestamp()`;
    const rows = await this.#statement<{ record: string }>("listRunners", text, []);
    return rows.map(({ record }) => JSON.parse(record) as RunnerRecord);
  }

  async acquireShards(runnerId: string, shardIds: readonly ShardId[]): Promise<readonly ShardId[]> {
    const rows = await this.#session.call<{ acquire_shards_v1: string | null }>(
      "acquireShards",
      "acquire_shards_v1",
      [runnerId, textArray(shardIds)],
    );
    const held = new Set(JSON.parse(rows[0]?.acquire_shards_v1 ?? "null") as ShardId[] | null);
    return shardIds.filter((shardId) => held.has(shardId));
  }

  async releaseShards(runnerId: string, shardIds: readonly ShardId[]): Promise<void> {
    const rows = await this.#statement(
      "releaseShards",
      `DELETE FROM $schema.shard_leases WHERE runner_id = $1 AND shard_id = ANY ($2) RETURNING 1 AS freed`,
      [runnerId, textArray(shardIds)],
    );
    if (rows.length > 0) await this.#tell();
  }

  async listShards(): Promise<ReadonlyMap<ShardId, string>> {
    const rows = await this.#statement<{ shard_id: ShardId; runner_id: string }>(
      "listShards",
      `SELECT l.shard_id, l.runner_id FROM $schema.shard_leases l JOIN $schema.runners r USING (runner_id)
        WHERE r.expires_at > clock_timestamp()`,
      [],
    );
    return new Map(rows.map(({ shard_id, runner_id }) => [shard_id, runner_id]));
  }

  async watch(changed: () => void): Promise<() => Promise<void>> {
    let isOver = false;
    let timer: NodeJS.Timeout | undefined;
    let known: ReadonlySet<string> = new Set();
    const tell = (): void => {
      if (!isOver) changed();
    };
    // Nobody notifies when a lease runs out: this looks when the first one may have.
    const look = async (): Promise<void> => {
      let next = AFTER_FAILURE_MS;
      try {
        const leases = await this.#leases();
        if ([...known].some((runnerId) => !leases.has(runnerId))) tell();
        known = new Set(leases.keys());
        next = Math.min(LONGEST_LOOK_MS, ...leases.values());
      } catch {
        // The next look finds what this one missed.
      }
      if (isOver) return;
      clearTimeout(timer);
      timer = setTimeout(() => void look(), Math.max(SHORTEST_LOOK_MS, next));
      timer.unref();
    };
    const end = await this.#session.listen("watch", this.#channel, {
      heard: () => {
        tell();
        void look();
      },
      resumed: () => {
        tell();
        void look();
      },
    });
    await look();
    const stop = async (): Promise<void> => {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      await end();
    };
    this.#session.onClose(stop);
    return stop;
  }

  /** How long each live lease lasts if nobody refreshes it, in ms; 0: for its term from now on (R3), so it is looked at again. */
  async #leases(): Promise<ReadonlyMap<string, number>> {
    const rows = await this.#statement<{ runner_id: string; left_ms: number | null }>(
      "watch",
      `SELECT runner_id, CASE WHEN ${BEYOND_TERM} THEN NULL
          ELSE (extract(epoch FROM expires_at - clock_timestamp()) * 1000)::int END AS left_ms
        FROM $schema.runners WHERE expires_at > clock_timestamp()`,
      [],
    );
    if (rows.some(({ left_ms }) => left_ms === null)) await this.#shorten();
    return new Map(rows.map(({ runner_id, left_ms }) => [runner_id, left_ms === null ? 0 : left_ms + 1]));
  }

  async #shorten(): Promise<void> {
    const text = `UPDATE $schema.runners SET expires_at = clock_timestamp() + ttl_ms * interval '1 millisecond'
      WHERE ${BEYOND_TERM}`;
    await this.#statement("shorten", text, []);
  }

  /** Never rejects: who misses it lists at the next refresh. */
  async #tell(): Promise<void> {
    const statement = { name: "holdfast_tell", text: `SELECT pg_notify($1, '')`, values: [this.#channel] };
    await this.#session.driver.run(statement).catch(() => undefined);
  }

  /**
   * Runs a statement, on `$schema` for the schema. One that begins with SELECT only reads, and does not wait for a session that
   * is silent. A write does: one that lands late would take or free shards behind its runner's back.
   */
  #statement<Row>(operation: string, text: string, values: readonly string[]): Promise<Row[]> {
    const ownText = text.replaceAll("$schema", `"${this.#session.schema}"`);
    const statement = { name: `holdfast_${operation}`, text: ownText, values };
    return text.startsWith("SELECT")
      ? this.#session.query<Row>(operation, { ...statement, isUrgent: true })
      : this.#session.run<Row>(operation, statement);
  }
}
