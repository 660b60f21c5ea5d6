// @holdfast/runners-redis: members, shard leases and health in Redis.

import type { RunnersAdapter } from "@holdfast/core/adapter";
import { openRedis } from "./open-redis.ts";
import { checkOptions, type RedisRunnersOptions } from "./options.ts";
import { optionsFromUrl } from "./url.ts";

export type { RedisClient, RedisRunnersOptions } from "./options.ts";

/**
 * Keeps members and shard leases in Redis 7 or later: one server, one that Sentinels watch, or a Redis Cluster.
 *
 * Weaker than etcd: a Redis that crashes or fails over may forget leases, and two runners may then believe that they own a
 * shard for a while. The epochs in storage see to it that only one of them writes.
 *
 * @throws {ConfigError} an option is out of range
 */
export function redis(options: RedisRunnersOptions = {}): RunnersAdapter {
  const settings = checkOptions(options);
  return { kind: "runners", open: ({ random }) => openRedis(settings, random) };
}

/** What `runners: "redis://..."` and `"rediss://..."` mean. @throws {ConfigError} */
export function runnersFromUrl(url: string): RunnersAdapter {
  return redis(optionsFromUrl(url));
}
