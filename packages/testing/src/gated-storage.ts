// Gated storage: a member's view of a backend, through the gate of its process and the faults in force.

import type {
  OpenRunners,
  OpenStorage,
  RunnerStorage,
  RunnersAdapter,
  StorageAdapter,
} from "@holdfast/core/adapter";
import type { Faults, TracedCall } from "./faults.ts";
import type { ProcessGate } from "./process-gate.ts";
import { settled } from "./settled.ts";

/** Exchanges a backend's handle for another one: how a test takes a safeguard away. */
export type Tamper = (storage: OpenStorage) => OpenStorage;

export function gatedStorage(
  adapter: StorageAdapter,
  gate: ProcessGate,
  faults: Faults,
  tamper: Tamper,
  traced?: TracedCall,
): StorageAdapter {
  return {
    kind: "storage",
    async open(services) {
      const storage = tamper(await adapter.open(services));
      const route = faults.storageRoute(traced);
      return {
        messages: gated(storage.messages, gate, route),
        workflows: gated(storage.workflows, gate, route),
        runners: null,
        close: () => storage.close(),
      };
    },
  };
}

export function gatedRunners(
  adapter: RunnersAdapter,
  gate: ProcessGate,
  faults: Faults,
  traced?: TracedCall,
): RunnersAdapter {
  return {
    kind: "runners",
    async open(services): Promise<OpenRunners> {
      const open = await adapter.open(services);
      const through = gated(open.runners, gate, faults.leaseRoute(traced));
      const watch: RunnerStorage["watch"] = (changed) => through.watch(() => gate.soon(changed));
      return { runners: withMethod(through, "watch", watch), close: () => open.close() };
    },
  };
}

/** The same object, every asynchronous method of which passes the gate on its way out and back. */
function gated<Target extends object>(
  target: Target,
  gate: ProcessGate,
  around: (operation: string, call: () => Promise<unknown>) => Promise<unknown>,
): Target {
  return new Proxy(target, {
    get(object, property) {
      const value: unknown = Reflect.get(object, property, object);
      // `beginTransaction` returns at once; what is done with it comes back here.
      if (typeof value !== "function" || typeof property === "symbol" || property === "beginTransaction")
        return value;
      return async (...args: unknown[]) => {
        await gate.open();
        const call = (): Promise<unknown> => Reflect.apply(value, object, args) as Promise<unknown>;
        const outcome = await settled(around(property, call));
        await gate.open();
        if (outcome.status === "rejected") throw outcome.reason;
        return outcome.value;
      };
    },
  });
}

function withMethod<Target extends object, Name extends keyof Target>(
  target: Target,
  name: Name,
  method: Target[Name],
): Target {
  return new Proxy(target, {
    get: (object, property) => (property === name ? method : Reflect.get(object, property, object)),
  });
}
