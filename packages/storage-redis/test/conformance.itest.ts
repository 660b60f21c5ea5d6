import { messageStorageConformance, workflowStorageConformance } from "@holdfast/testing";
import { describe, inject } from "vitest";
import { serverBackend } from "./backends.ts";

const url = inject("redisUrl");

describe.skipIf(url === null)("on a Redis server", () => {
  messageStorageConformance("RedisMessageStorage", () => serverBackend(url ?? ""));
  workflowStorageConformance("RedisWorkflowStorage", () => serverBackend(url ?? ""));
});
