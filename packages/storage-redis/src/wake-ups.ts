// WakeUps: hears from other sessions that there is work in storage for some shards, by pub/sub.
//
// The scripts that save such work announce it themselves (lua/save-request.ts). What is published while nobody listens is
// lost, which costs time only, since owners also poll.

import type { ShardId } from "@holdfast/core/adapter";
import { connectWithin } from "./connections.ts";
import { closedError, failureOf, persistenceError } from "./errors.ts";
import type { RedisSession } from "./redis-session.ts";

const LONGEST_PAUSE_MS = 1_000;

export class WakeUps {
  readonly #session: RedisSession;

  constructor(session: RedisSession) {
    this.#session = session;
  }

  /** @throws {PersistenceError} it cannot listen now, or the session closes; once it does, it listens until it is ended */
  async watch(wake: (shardIds: readonly ShardId[]) => void): Promise<() => Promise<void>> {
    this.#session.assertOpen("watchPending");
    const { channel, claims, makeRedis, name, commandTimeoutMs } = this.#session;
    const redis = makeRedis(null);
    const heard = new Set<ShardId>();
    const tell = (shardIds: readonly ShardId[]): void => {
      if (shardIds.length === 0) return;
      // What comes in one turn is told together.
      if (heard.size === 0)
        setImmediate(() => {
          const all = [...heard];
          heard.clear();
          if (!isOver) wake(all);
        });
      for (const shardId of shardIds) heard.add(shardId);
    };
    let isOver = false;
    const end = async (): Promise<void> => {
      isOver = true;
      forgetEnd();
      redis.disconnect();
    };
    // Before it connects: a session that closes meanwhile ends it, too.
    const forgetEnd = this.#session.onClose(end);
    redis.on("message", (_channel: string, message: string) => {
      const at = message.indexOf(" ");
      if (message.slice(0, at) !== name) tell([message.slice(at + 1) as ShardId]);
    });
    const late = setTimeout(() => redis.disconnect(), commandTimeoutMs);
    try {
      await connectWithin(redis, commandTimeoutMs);
      await redis.subscribe(channel);
    } catch (error) {
      if (isOver) throw closedError("watchPending");
      await end();
      throw persistenceError("watchPending", failureOf(error));
    } finally {
      clearTimeout(late);
    }
    if (isOver) throw closedError("watchPending");
    redis.options.retryStrategy = pauseMs;
    // Where a client gives Sentinels up after one round, it would never listen again: ioredis goes on with that round.
    redis.options.sentinelRetryStrategy = pauseMs;
    redis.on("ready", () => {
      // ioredis waits for an answer for as long as the connection is there.
      const unanswered = setTimeout(() => redis.disconnect(true), commandTimeoutMs);
      redis
        .subscribe(channel)
        .then(
          // Whatever came while nobody listened.
          () => tell(claims.shardIds),
          () => redis.disconnect(true),
        )
        .finally(() => clearTimeout(unanswered));
    });
    return end;
  }
}

function pauseMs(tries: number): number {
  return Math.min(tries * 50, LONGEST_PAUSE_MS);
}
