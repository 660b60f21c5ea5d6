// Holdfast on Redis: requests, replies and journals.

import type { StorageAdapter } from "@holdfast/core/adapter";
import { openRedis } from "./open-redis.ts";
import { optionsFromUrl, redisSettings, type RedisStorageOptions } from "./options.ts";

export type { RedisClient, RedisStorageOptions } from "./options.ts";

/**
 * Requests and journals in Redis 7. Called so since `redis` is what `@holdfast/runners-redis` exports, and one file may
 * name both.
 *
 * What is stored is as durable as the Redis: with `appendfsync everysec` a crash may lose the last second of it, answered or
 * not, and with `always` nothing. Whatever Redis forgets, no two owners of a shard write beside each other (INV-1). Handlers
 * have no transactions here.
 *
 * @throws {ConfigError} an option is out of range
 */
export function redisStorage(options: RedisStorageOptions = {}): StorageAdapter {
  const settings = redisSettings(options);
  return { kind: "storage", open: (services) => openRedis(settings, services) };
}

/** Reads the option `storage`: `redis://user:password@host:6379/0?prefix=orders`. @throws {ConfigError} */
export function storageFromUrl(url: string): StorageAdapter {
  return redisStorage(optionsFromUrl(url));
}
