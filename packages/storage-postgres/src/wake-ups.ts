// WakeUps: tells other processes that there is work in storage for some shards, by NOTIFY.
//
// Notifications go out on a statement of their own, at most one in PAUSE_MS, after the write is durable: a NOTIFY in the
// transaction of each write takes a lock that all writers share. A lost one costs time only, since owners also poll.

import type { ShardId } from "@holdfast/core/adapter";
import type { PostgresSession } from "./postgres-session.ts";
import { textArray } from "./sql-array.ts";

const PAUSE_MS = 5;
/** PostgreSQL takes a payload of less than 8000 bytes. */
const MAX_PAYLOAD_BYTES = 7_000;

export class WakeUps {
  readonly #session: PostgresSession;
  readonly #channel: string;
  readonly #announced = new Set<ShardId>();
  #sending: NodeJS.Timeout | null = null;

  constructor(session: PostgresSession) {
    this.#session = session;
    this.#channel = `${session.schema}_pending`;
    session.onClose(async () => {
      if (this.#sending === null) return;
      clearTimeout(this.#sending);
      await this.#send();
    });
  }

  /** There is a request for this shard that its owner may not know of. */
  announce(shardId: ShardId): void {
    this.#announced.add(shardId);
    this.#sending ??= setTimeout(() => void this.#send(), PAUSE_MS);
  }

  async watch(wake: (shardIds: readonly ShardId[]) => void): Promise<() => Promise<void>> {
    let isOver = false;
    const tell = (shardIds: readonly ShardId[]): void => {
      if (!isOver && shardIds.length > 0) wake(shardIds);
    };
    const end = await this.#session.listen("watchPending", this.#channel, {
      heard: (payload) => tell(shardsIn(payload)),
      // Whatever came while nobody listened: any shard that has an owner has a row.
      resumed: () => {
        this.#everyShard().then(tell, () => undefined);
      },
    });
    return async () => {
      isOver = true;
      await end();
    };
  }

  /** Never rejects: a wake-up is a hint. */
  async #send(): Promise<void> {
    this.#sending = null;
    const payloads = payloadsOf(this.#announced);
    this.#announced.clear();
    await this.#session.driver
      .run({
        name: "holdfast_notify",
        text: `SELECT pg_notify($1, t.payload) FROM unnest($2::text[]) AS t (payload)`,
        values: [this.#channel, textArray(payloads)],
      })
      .catch(() => undefined);
  }

  async #everyShard(): Promise<ShardId[]> {
    const statement = {
      name: "holdfast_every_shard",
      text: `SELECT shard_id FROM "${this.#session.schema}".shards`,
      values: [],
    };
    const rows = await this.#session.query<{ shard_id: ShardId }>("watchPending", statement);
    return rows.map(({ shard_id }) => shard_id);
  }
}

/** The shards as JSON arrays, each short enough for one notification. */
function payloadsOf(shardIds: Iterable<ShardId>): string[] {
  const payloads: string[] = [];
  let group: ShardId[] = [];
  let bytes = 0;
  for (const shardId of shardIds) {
    const size = Buffer.byteLength(JSON.stringify(shardId)) + 1;
    if (bytes + size > MAX_PAYLOAD_BYTES && group.length > 0) {
      payloads.push(JSON.stringify(group));
      group = [];
      bytes = 0;
    }
    group.push(shardId);
    bytes += size;
  }
  if (group.length > 0) payloads.push(JSON.stringify(group));
  return payloads;
}

/** Anybody who may use the database can notify: what is no list of texts wakes nobody. */
function shardsIn(payload: string): ShardId[] {
  try {
    const parsed: unknown = JSON.parse(payload);
    return Array.isArray(parsed)
      ? parsed.filter((shardId): shardId is ShardId => typeof shardId === "string")
      : [];
  } catch {
    return [];
  }
}
