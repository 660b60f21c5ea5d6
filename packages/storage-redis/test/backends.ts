// What the suites of this package run on: a Redis server, on which each case has a prefix of its own.

import { randomUUID } from "node:crypto";
import { adapterServices, type StorageBackend } from "@holdfast/testing";
import { Redis } from "ioredis";
import { redisStorage, type RedisStorageOptions } from "../src/index.ts";

export const services = adapterServices;

/** A backend on the server at `url`. */
export function serverBackend(
  url: string,
  options: RedisStorageOptions = {},
): StorageBackend & { readonly prefix: string } {
  const prefix = `test-${randomUUID()}`;
  const adapter = redisStorage({ url, prefix, onWarning: () => undefined, ...options });
  return {
    prefix,
    open: () => adapter.open(services()),
    dispose: () => forget(url, prefix),
  };
}

/** All keys of a prefix. */
export async function keysOf(redis: Redis, prefix: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const page of redis.scanStream({ match: `{${prefix}}:*`, count: 1_000 }))
    keys.push(...(page as string[]));
  return keys;
}

async function forget(url: string, prefix: string): Promise<void> {
  const redis = new Redis(url);
  const keys = await keysOf(redis, prefix);
  if (keys.length > 0) await redis.del(...keys);
  redis.disconnect();
}
