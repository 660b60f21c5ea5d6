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

it("an entity whose handlers could not be made calls none of the callbacks that they were to have", async () => {
  const left: number[] = [];
  let made = 0;
  const desk = Desk.implement((entity) => {
    const number = (made += 1);
    entity.onEvict(() => void left.push(number));
    if (number === 1) throw new Error("not yet");
    return { ring: () => "rung" };
  });
  await using cluster = await createTestCluster({ register: [desk] });
  await expect(cluster.entity(Desk, "a").ring()).rejects.toThrow("not yet");
  expect(await cluster.entity(Desk, "a").ring()).toBe("rung");
  await cluster.advance("1 minute");
  expect(left).toEqual([2]);
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
  await expect(cluster.entity(Desk, "a").ring()).rejects.toThrow(/must return them, and not be async/u);
});

it("a promise in a reply that was not awaited is refused, also where it rejects", async () => {
  const Sums = defineEntity({ name: "Sums", rpcs: { sum: rpc<void, unknown>() } });
  const sums = Sums.implement({ sum: () => ({ total: Promise.reject(new Error("the database is away")) }) });
  await using cluster = await createTestCluster({ register: [sums] });
  await expect(cluster.entity(Sums, "a").sum()).rejects.toThrow(/total.*an instance of Promise/u);
});

it.each<[string, (reject: () => Promise<void>) => unknown]>([
  ["a list of them", (reject) => [reject(), reject()]],
  ["those of a map and a set", (reject) => new Map([["a", new Set([reject(), reject()])]])],
  ["one beside what is refused before it", (reject) => ({ refused: () => 1, total: reject() })],
])(
  "promises in a reply that were not awaited are refused, also where each rejects: %s",
  async (_what, give) => {
    const Sums = defineEntity({ name: "Sums", rpcs: { sum: rpc<void, unknown>() } });
    const reject = async (): Promise<void> => {
      throw new Error("the database is away");
    };
    await using cluster = await createTestCluster({
      register: [Sums.implement({ sum: () => give(reject) })],
    });
    await expect(cluster.entity(Sums, "a").sum()).rejects.toThrow(/an instance of Promise|a function/u);
  },
);

it("promises that are no attributes, or no stream, are refused, also where each rejects", async () => {
  const reject = async (): Promise<never> => {
    throw new Error("the database is away");
  };
  const Feed = defineEntity({ name: "Feed", rpcs: { list: rpc<void, number>({ stream: true }) } });
  const Marked = defineWorkflow<void, void>({ name: "Marked" });
  const marked = Marked.implement({
    async execute(ctx) {
      ctx.setAttributes({ tenant: reject() as never, region: reject() as never });
    },
  });
  const register = [Feed.implement({ list: () => [reject(), reject()] as never }), marked];
  await using cluster = await createTestCluster({ register });
  await expect(cluster.entity(Feed, "a").list().next()).rejects.toThrow(/async \*/u);
  const handle = await cluster.workflow(Marked).start();
  await expect(handle.result()).rejects.toThrow(/attributes\.tenant/u);
});

/** As a query of postgres.js is: a Promise that is run by who asks for its outcome. */
class LazyQuery extends Promise<void> {
  static ran = 0;
  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  constructor() {
    super(() => undefined);
  }

  // oxlint-disable-next-line no-thenable -- that is what it does
  override then(...args: never[]): never {
    LazyQuery.ran += 1;
    return super.then(...args) as never;
  }
}

it("a query that is run as it is awaited is refused in a reply and an input, and not run", async () => {
  const Sums = defineEntity({
    name: "Sums",
    rpcs: { sum: rpc<void, unknown>(), put: rpc<unknown, void>(), list: rpc<void, void>({ stream: true }) },
  });
  const sums = Sums.implement({
    sum: () => ({ total: new LazyQuery() }),
    put: () => undefined,
    list: () => new LazyQuery() as never,
  });
  await using cluster = await createTestCluster({ register: [sums] });
  await expect(cluster.entity(Sums, "a").sum()).rejects.toThrow(/an instance of LazyQuery/u);
  await expect(cluster.entity(Sums, "a").put({ row: new LazyQuery() })).rejects.toThrow(
    /an instance of LazyQuery/u,
  );
  await expect(cluster.entity(Sums, "a").list().next()).rejects.toThrow(/async \*/u);
  expect(LazyQuery.ran).toBe(0);
});
