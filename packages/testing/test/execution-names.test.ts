import { activity, createCluster, createMemoryBackend, defineWorkflow } from "@holdfast/core";
import type { ExecutionKey, StorageAdapter } from "@holdfast/core/adapter";
import { describe, expect, it } from "vitest";

/** The storage, with what executions were named as by those who appended to their journals. */
function watched(storage: StorageAdapter, names: ExecutionKey[]): StorageAdapter {
  return {
    ...storage,
    open: async (services) => {
      const session = await storage.open(services);
      const appendJournal: typeof session.workflows.appendJournal = (execution, ...rest) => {
        names.push(execution);
        return session.workflows.appendJournal(execution, ...rest);
      };
      const workflows = new Proxy(session.workflows, {
        get: (target, property) => {
          if (property === "appendJournal") return appendJournal;
          const value: unknown = Reflect.get(target, property, target);
          return typeof value === "function" ? (value.bind(target) as unknown) : value;
        },
      });
      return { ...session, workflows };
    },
  };
}

describe("the owner of an execution", () => {
  it("names it with its request at every append: its version, steps, another run, and what a fork takes over", async () => {
    const Count = defineWorkflow<{ id: string; run: number }, number>({
      name: "Count",
      key: ({ id }) => id,
      version: "1",
    });
    const count = Count.implement({
      activities: { add: activity(async (_ctx, n: number) => n + 1) },
      async execute(ctx, { id, run }) {
        const next = await ctx.activities.add(run);
        return next < 3 ? ctx.continueAsNew({ id, run: next }) : next;
      },
    });
    const names: ExecutionKey[] = [];
    const backend = createMemoryBackend();
    const storage = watched(backend.storage, names);
    const cluster = await createCluster({ storage, register: [count], shardRebalanceDebounce: 0 });
    await cluster.start();
    try {
      const origin = await cluster.workflow(Count).start({ id: "a", run: 0 });
      expect(await origin.result()).toBe(3);
      const fork = await origin.fork({ fromStep: 0 });
      expect(await fork.result()).toBe(3);
      for (const { executionId } of [origin, fork]) {
        const own = names.filter((name) => name.executionId === executionId);
        expect(own.length).toBeGreaterThan(1);
        expect(own[0]?.requestId).toMatch(/^[0-9a-f]{32}$/);
        for (const name of own) expect(name).toEqual(own[0]);
      }
      expect(new Set(names.map(({ requestId }) => requestId)).size).toBe(2);
    } finally {
      await cluster.shutdown();
    }
  });
});
