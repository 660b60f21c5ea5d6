import { runnerStorageConformance } from "@holdfast/testing";
import { Cluster, Redis } from "ioredis";
import { afterAll, beforeAll, describe, inject } from "vitest";
import { findProgram } from "../../../test/services/programs.ts";
import { startOwnRedis, type OwnRedis } from "../../../test/services/redis.ts";
import { redis, type RedisRunnersOptions } from "../src/index.ts";
import { keysOf } from "../src/scripts.ts";
import { newPrefix, services, TTL_MS, wait } from "./backend.ts";

const url = inject("redisUrl");

describe.skipIf(url === null)("on Redis", () => {
  let operator: Redis;
  let client: Redis;
  beforeAll(() => {
    operator = new Redis(url ?? "");
    // What would break scripts, or hold leases up, is not taken over from it.
    client = new Redis(url ?? "", { keyPrefix: "app:", stringNumbers: true, commandTimeout: 1 });
    client.on("error", () => undefined);
  });
  afterAll(() => {
    operator.disconnect();
    client.disconnect();
  });
  const forget = async (prefix: string): Promise<void> => void (await operator.unlink(...keysOf(prefix)));
  conformance("redis", () => ({ url: url ?? "" }), forget);
  conformance("redis, with a client that the user made", () => ({ client }), forget);
});

describe.skipIf(findProgram("redis-server") === undefined)("on a Redis Cluster", () => {
  let server: OwnRedis;
  let client: Cluster;
  beforeAll(async () => {
    server = await startOwnRedis({ isCluster: true });
    client = new Cluster([{ host: "127.0.0.1", port: server.port }], { lazyConnect: true });
  });
  afterAll(async () => {
    client.disconnect();
    await server.stop();
  });
  conformance(
    "redis, cluster",
    () => ({ client }),
    () => Promise.resolve(),
  );
});

function conformance(
  name: string,
  options: () => RedisRunnersOptions,
  forget: (prefix: string) => Promise<void>,
): void {
  runnerStorageConformance(name, () => {
    const prefix = newPrefix();
    const adapter = redis({ ...options(), prefix });
    return {
      open: () => adapter.open(services()),
      ttlMs: TTL_MS,
      elapse: wait,
      dispose: () => forget(prefix),
    };
  });
}
