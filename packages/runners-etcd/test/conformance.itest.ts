import { runnerStorageConformance } from "@holdfast/testing";
import { describe, inject } from "vitest";
import { etcd } from "../src/index.ts";
import { hostsOf, newPrefix, services, TTL_MS, wait } from "./backend.ts";

const url = inject("etcdUrl");

describe.skipIf(url === null)("on etcd", () => {
  runnerStorageConformance("etcd", () => {
    const adapter = etcd({ hosts: hostsOf(url ?? ""), prefix: newPrefix() });
    return {
      open: () => adapter.open(services()),
      ttlMs: TTL_MS,
      elapse: wait,
      dispose: () => Promise.resolve(),
    };
  });
});
