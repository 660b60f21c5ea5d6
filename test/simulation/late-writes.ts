// Late writes: a storage that loses the connection under some of its writes. Who asked hears that the outcome is unknown, and the
// write takes effect all the same, after that. Those that a storage may let happen so: appended journals, transactions, and what
// puts a request off.

import { PersistenceError, type OpenStorage } from "@holdfast/core/adapter";
import type { Simulation } from "@holdfast/testing";

const LONGEST_MS = 3_000;

/** The same storage. `part` of these writes come late. */
export function withLateWrites(sim: Simulation, part: number, storage: OpenStorage): OpenStorage {
  const { messages, workflows } = storage;
  const replies = new Map<string, Promise<unknown>>();
  const puttingOff = new Map<string, Promise<unknown>>();
  const late = <Result>(
    operation: string,
    write: () => Promise<Result>,
    underWay: (written: Promise<unknown>) => void = () => undefined,
  ): Promise<Result> => {
    if (sim.random() >= part) return write();
    const written = sim
      .sleep(sim.integer(1, LONGEST_MS))
      .then(write)
      .catch(() => undefined);
    underWay(written);
    return Promise.reject(
      new PersistenceError({ operation, outcome: "unknown", detail: "the connection was lost" }),
    );
  };
  return {
    ...storage,
    messages: overlaid(messages, {
      saveReply: (reply, fence, transaction) =>
        transaction === null
          ? messages.saveReply(reply, fence, null)
          : late(
              "saveReply",
              () => messages.saveReply(reply, fence, transaction),
              (written) => replies.set(reply.requestId, written),
            ),
      // A transaction that is about to record a reply holds its request.
      async recordAttempt(requestId, attempts, fence) {
        await Promise.all([replies.get(requestId), puttingOff.get(requestId)]);
        await messages.recordAttempt(requestId, attempts, fence);
      },
      // It comes before the next write for its request.
      async reschedule(requestId, schedule, fence) {
        await puttingOff.get(requestId);
        return late(
          "reschedule",
          () => messages.reschedule(requestId, schedule, fence),
          (written) => puttingOff.set(requestId, written),
        );
      },
    }),
    workflows: overlaid(workflows, {
      appendJournal: (execution, entries, fence, transaction) =>
        late("appendJournal", () => workflows.appendJournal(execution, entries, fence, transaction)),
    }),
  };
}

/** The same object, some members of which are others. */
export function overlaid<Target extends object>(target: Target, members: Partial<Target>): Target {
  return new Proxy(target, {
    get(object, property) {
      if (Object.hasOwn(members, property)) return members[property as keyof Target];
      const value: unknown = Reflect.get(object, property, object);
      return typeof value === "function" ? value.bind(object) : value;
    },
    has: (object, property) => property in members || property in object,
  });
}
