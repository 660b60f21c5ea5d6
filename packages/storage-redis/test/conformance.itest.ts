import { messageStorageConformance, workflowStorageConformance } from "@holdfast/testing";
import { afterAll, beforeAll, describe, inject } from "vitest";
import { startOwnRedis, type OwnRedis } from "../../../test/services/redis.ts";
import { serverBackend } from "./backends.ts";

const url = inject("redisUrl");

describe.skipIf(url === null)("on a Redis server", () => {
  messageStorageConformance("RedisMessageStorage", () => serverBackend(url ?? ""));
  workflowStorageConformance("RedisWorkflowStorage", () => serverBackend(url ?? ""));
});

describe("on a Redis Cluster", () => {
  let cluster: OwnRedis;
  beforeAll(async () => {
    cluster = await startOwnRedis({ isCluster: true });
  });
  afterAll(() => cluster.stop());

  messageStorageConformance("RedisMessageStorage", () => serverBackend(cluster.url));
  workflowStorageConformance("RedisWorkflowStorage", () => serverBackend(cluster.url));
});
