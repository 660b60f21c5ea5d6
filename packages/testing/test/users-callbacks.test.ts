// What the user's own callbacks throw keeps nothing from going on.

import { ConfigError, defineEntity, defineWorkflow, rpc } from "@holdfast/core";
import { createTestCluster } from "@holdfast/testing";
import { expect, it } from "vitest";

const Desk = defineEntity({
  name: "Desk",
  maxIdleTime: "10s",
  rpcs: { ring: rpc<void, string>({ persisted: true }) },
});

/** Throws where somebody wants to say what it is. */
class Unreadable extends Error {
  override get message(): string {
    throw new Error("this cannot be read");
  }
}

it.each([
  ["what is no object of a class", () => Object.create(null) as unknown],
  ["an error that cannot be read", () => Object.create(Unreadable.prototype) as unknown],
])("an entity answers again although its onEvict threw %s", async (_what, thrown) => {
  let evictions = 0;
  const desk = Desk.implement((entity) => {
    entity.onEvict(() => {
      evictions += 1;
      throw thrown();
    });
    return { ring: () => "rung" };
  });
  await using cluster = await createTestCluster({ register: [desk] });
  await cluster.entity(Desk, "a").ring();
  await cluster.advance("1 minute");
  expect(evictions).toBe(1);
  expect(await cluster.entity(Desk, "a").ring()).toBe("rung");
});

it.each<[string, (error: Error) => unknown]>([
  [
    "throws",
    (error) => {
      throw error;
    },
  ],
  // One that nobody hears of would end the process, and fails the tests.
  [
    "rejects",
    async (error) => {
      throw error;
    },
  ],
])("requests are handled although the logger %s", async (_what, thrown) => {
  let attempts = 0;
  const desk = Desk.implement({
    ring() {
      attempts += 1;
      if (attempts === 1) throw Object.assign(new Error("try again"), { retryable: true });
      return "rung";
    },
  });
  let isFull = false;
  const log = (): unknown => {
    if (isFull) return thrown(new Error("the disk of the log is full"));
    return undefined;
  };
  const logger = { debug: log, info: log, warn: log, error: log };
  await using cluster = await createTestCluster({ register: [desk], logger });
  isFull = true;
  const reply = cluster.entity(Desk, "a").ring();
  await cluster.advance("1 minute");
  expect(await reply).toBe("rung");
});

// A rejection that nobody hears of would end the process, and fails the tests.
it("an async function where no promise is taken is refused, also where it rejects", async () => {
  const reject = (): never => Promise.reject(new Error("the database is away")) as never;
  const Keyed = defineEntity({
    name: "Keyed",
    rpcs: {
      take: rpc<void, void>({ persisted: true, primaryKey: reject }),
      list: rpc<void, number>({ stream: true }),
    },
  });
  const Named = defineWorkflow<string, void>({ name: "Named", key: reject });
  const register = [
    Keyed.implement({ take: () => undefined, list: reject }),
    Named.implement({ execute: async () => undefined }),
    Desk.implement(reject),
  ];
  await using cluster = await createTestCluster({ register });
  await expect(cluster.entity(Keyed, "a").take()).rejects.toBeInstanceOf(ConfigError);
  await expect(cluster.workflow(Named).start("a")).rejects.toBeInstanceOf(ConfigError);
  await expect(cluster.entity(Keyed, "a").list().next()).rejects.toThrow(/async \*/u);
  await expect(cluster.entity(Desk, "a").ring()).rejects.toThrow(/no handler for: ring/u);
});

it("a promise in a reply that was not awaited is refused, also where it rejects", async () => {
  const Sums = defineEntity({ name: "Sums", rpcs: { sum: rpc<void, unknown>() } });
  const sums = Sums.implement({ sum: () => ({ total: Promise.reject(new Error("the database is away")) }) });
  await using cluster = await createTestCluster({ register: [sums] });
  await expect(cluster.entity(Sums, "a").sum()).rejects.toThrow(/total.*an instance of Promise/u);
});
