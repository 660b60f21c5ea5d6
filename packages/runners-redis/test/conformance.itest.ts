import { runnerStorageConformance } from "@holdfast/testing";
import { Cluster, Redis } from "ioredis";
import { afterAll, beforeAll, describe, inject } from "vitest";
import { findProgram } from "../../../test/services/programs.ts";
import { startOwnRedis, type OwnRedis } from "../../../test/services/redis.ts";
import { redis, type RedisRunnersOptions } from "../src/index.ts";
import { newPrefix, services, TTL_MS, wait } from "./backend.ts";

const url = inject("redisUrl");

describe.skipIf(url === null)("on Redis", () => {
  conformance("redis", () => ({ url: url ?? "" }));

  describe("with a client that the user made", () => {
    let client: Redis;
    beforeAll(() => {
      // What would break scripts, or hold leases up, is not taken over from it.
      client = new Redis(url ?? "", { keyPrefix: "app:", stringNumbers: true, db: 3 });
      client.on("error", () => undefined);
    });
    afterAll(() => client.disconnect());
    conformance("redis, client", () => ({ client }));
  });
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
  conformance("redis, cluster", () => ({ url: server.url, cluster: true }));
  conformance("redis, client of a cluster", () => ({ client }));
});

function conformance(name: string, options: () => RedisRunnersOptions): void {
  runnerStorageConformance(name, () => {
    const adapter = redis({ ...options(), prefix: newPrefix() });
    return {
      open: () => adapter.open(services()),
      ttlMs: TTL_MS,
      elapse: wait,
      dispose: () => Promise.resolve(),
    };
  });
}
