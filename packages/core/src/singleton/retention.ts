// Retention: forgets what was answered long ago, in batches, one runner for each type at a time.
//
//   T1  Nothing is forgotten before its time. What is pending, or a dead letter, is never forgotten, but for what was sent to an
//       execution that is.
//   T2  An execution's journal goes with the request that it answered, or both stay (MessageStorage.forgetAnswered).
//   T3  Two runners that sweep at once, around a fail-over, do each other no harm: what is forgotten is forgotten.

import type { Clock } from "../adapter/clock.ts";
import type { MessageStorage } from "../adapter/message-storage.ts";
import type { Random } from "../adapter/random.ts";
import { sleep } from "../clock/sleep.ts";
import { milliseconds, type Duration } from "../contract/duration.ts";
import type { Logger } from "../contract/logger.ts";
import { ConfigError } from "../errors/config.ts";
import { describeThrown } from "../contract/thrown.ts";
import type { Singleton } from "./singleton-host.ts";

/** The shortest time for which answers can be kept: callers repeat and ask again within it. */
const SHORTEST_RETENTION_MS = 60_000;
/** How much is forgotten in one call at most. */
const BATCH = 500;
/** Between two batches, so that what users wait for is not held up by what nobody does. */
const BETWEEN_BATCHES_MS = 50;
/** The longest wait between two sweeps, and its part of the time for which answers are kept. */
const LONGEST_WAIT_MS = 600_000;
const PART = 20;

/** @throws {ConfigError} no duration, or a shorter one; names `option` */
export function checkRetention(retention: Duration, option: string): number {
  const retentionMs = milliseconds(retention, option);
  if (retentionMs < SHORTEST_RETENTION_MS)
    throw new ConfigError({ option, got: retention, takes: "a duration of 1 minute or more" });
  return retentionMs;
}

/** What is kept, and for how long. */
export interface RetentionPolicy {
  readonly entityType: string;
  readonly shardGroup: string;
  readonly retentionMs: number;
  /** The tag of a workflow's executions, or null for other entities. */
  readonly executionTag: string | null;
}

export interface RetentionOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly messages: MessageStorage;
}

/** The sweeper of one type, as a singleton, so that one runner at a time sweeps. */
export function retentionSingleton(policy: RetentionPolicy, options: RetentionOptions): Singleton {
  return {
    // No name that a user's singleton can have.
    name: `retention of ${policy.entityType}`,
    shardGroup: policy.shardGroup,
    run: async ({ signal }) => {
      const waitMs = Math.min(LONGEST_WAIT_MS, policy.retentionMs / PART);
      let limit = BATCH;
      while (!signal.aborted) {
        // Types are not swept all at once.
        await sleep(options.clock, waitMs * (0.5 + options.random.next()), signal);
        limit = await sweep(policy, options, signal, limit);
      }
    },
  };
}

/**
 * Never rejects: the next sweep forgets what this one left. Resolves to how much that begins with in one call: half, where a batch
 * cannot be forgotten, for its journals are long perhaps.
 */
async function sweep(
  { entityType, retentionMs, executionTag }: RetentionPolicy,
  { clock, logger, messages }: RetentionOptions,
  signal: AbortSignal,
  mostAtFirst: number,
): Promise<number> {
  const query = {
    entityType,
    answeredBefore: clock.now() - retentionMs,
    ...(executionTag === null ? {} : { executionTag }),
  };
  let limit = mostAtFirst;
  try {
    // After each batch the shard may have left: then the next owner goes on.
    while (!signal.aborted && (await messages.forgetAnswered({ ...query, limit })) >= limit) {
      limit = Math.min(BATCH, limit * 2);
      await sleep(clock, BETWEEN_BATCHES_MS, signal);
    }
    return limit;
  } catch (error) {
    logger.warn("Old answers could not be forgotten; the next sweep does it", {
      entityType,
      error: describeThrown(error),
    });
    return Math.ceil(limit / 2);
  }
}
