import { memoryRunners, memoryStorage, memoryTransport } from "@holdfast/core";
import type { AdapterServices } from "@holdfast/core/adapter";
import { MemoryNetwork, SeededRandom, VirtualClock } from "@holdfast/core/internal";
import {
  messageStorageConformance,
  runnerStorageConformance,
  transportConformance,
  workflowStorageConformance,
  type RunnersBackend,
  type StorageBackend,
  type TransportBackend,
} from "../src/index.ts";

function services(): { readonly clock: VirtualClock } & AdapterServices {
  return { clock: new VirtualClock(), random: new SeededRandom(1) };
}

function storage(): StorageBackend {
  const adapter = memoryStorage();
  const given = services();
  return {
    open: () => adapter.open(given),
    now: () => given.clock.now(),
    dispose: async () => undefined,
  };
}

messageStorageConformance("the memory MessageStorage", storage);
workflowStorageConformance("the memory WorkflowStorage", storage);
runnerStorageConformance("the memory RunnerStorage", (): RunnersBackend => {
  const adapter = memoryRunners();
  const given = services();
  return {
    open: () => adapter.open(given),
    ttlMs: 30_000,
    elapse: (ms) => given.clock.advance(ms),
    dispose: async () => undefined,
  };
});

transportConformance("the memory Transport", (): TransportBackend => {
  const adapter = memoryTransport(new MemoryNetwork());
  const given = services();
  return {
    open: () => adapter.open(given),
    deadAddress: "memory://nobody",
    maxMessageBytes: null,
    settle: () => given.clock.settle(),
    dispose: async () => undefined,
  };
});
