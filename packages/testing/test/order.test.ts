import { defineEntity, rpc, type EntityImplementation, type Schema } from "@holdfast/core";
import { PersistenceError, type Fence, type MessageStorage, type OpenStorage } from "@holdfast/core/adapter";
import { createTestCluster } from "@holdfast/testing";
import { describe, expect, it } from "vitest";

const List = defineEntity({
  name: "List",
  mailboxCapacity: 1_000,
  rpcs: { add: rpc<number, void>({ persisted: true }) },
});

/** Each number once, in the order in which they came first. */
function list(seen: number[]): EntityImplementation {
  return List.implement({
    async add(n: number) {
      await pass(n % 5);
      if (!seen.includes(n)) seen.push(n);
    },
  });
}

const upTo = (count: number): readonly number[] => Array.from({ length: count }, (_, n) => n);

describe("a sender's persisted requests to one entity", () => {
  it.each([1, 2, 3, 4])(
    "keep their order while shards move in good order, with seed %i (INV-4)",
    async (seed) => {
      const seen: number[] = [];
      await using cluster = await createTestCluster({
        runners: 3,
        register: [list(seen)],
        seed,
        shardsPerGroup: 8,
      });
      cluster.faults({ delay: ["0ms", "40ms"], storageDelay: ["0ms", "20ms"] });
      for (const n of upTo(60)) {
        await cluster.entity(List, "l").add.notify(n);
        if (n % 15 !== 5) continue;
        const index = (n + seed) % 3;
        const leaving = cluster.runners[index]?.shutdown();
        await cluster.entity(List, "l").add.notify(n + 0.5);
        await cluster.advance("2s");
        await leaving;
        await cluster.restart(index);
      }
      await cluster.advance("1 minute");
      expect(seen).toEqual(seen.toSorted((a, b) => a - b));
      expect(seen).toHaveLength(64);
    },
  );

  it("keep their order when no runner can be reached and the sender stores them by itself (INV-4)", async () => {
    const seen: number[] = [];
    await using cluster = await createTestCluster({
      runners: 2,
      register: [list(seen)],
      seed: 3,
      shardsPerGroup: 8,
    });
    cluster.faults({ drop: 0.3 });
    const sending = (async () => {
      for (const n of upTo(60)) await cluster.entity(List, "l").add.notify(n);
    })();
    await cluster.advance("10 minutes");
    await sending;
    await cluster.advance("1 minute");
    expect(seen).toEqual(upTo(60));
  });

  it("keep their order when the sender stored the first and the message that says so is lost (INV-4)", async () => {
    const seen: number[] = [];
    const trouble = { write: false, reads: false };
    await using cluster = await createTestCluster({
      register: [list(seen)],
      tamper: (storage) => failing(storage, trouble),
    });
    const entity = cluster.entity(List, "l");
    await entity.add.notify(0);
    trouble.reads = true;
    cluster.faults({ drop: 1 });
    const first = entity.add.notify(1);
    await cluster.advance("30s");
    await first;
    const second = entity.add.notify(2);
    await cluster.advance("1s");
    cluster.faults({});
    await cluster.advance("30s");
    await second;
    trouble.reads = false;
    await cluster.advance("2s");
    expect(seen).toEqual([0, 1, 2]);
  });

  it("keep their order when the first write's outcome is unknown and the reads after it fail (INV-4)", async () => {
    const seen: number[] = [];
    const trouble = { write: false, reads: false };
    await using cluster = await createTestCluster({
      register: [list(seen)],
      tamper: (storage) => failing(storage, trouble),
    });
    const entity = cluster.entity(List, "l");
    await entity.add.notify(0);
    trouble.write = true;
    trouble.reads = true;
    await entity.add.notify(1);
    await entity.add.notify(2);
    trouble.reads = false;
    await cluster.advance("2s");
    expect(seen).toEqual([0, 1, 2]);
  });

  it.each([0, 1, 2, 5])(
    "keep their order when more are due than the mailbox holds, and each is parsed in %i turns (INV-4)",
    async (turns) => {
      const seen: number[] = [];
      const slowly: Schema<number> = {
        "~standard": {
          version: 1,
          vendor: "test",
          validate: async (value) => {
            await pass((Number(value) % 3) * turns);
            return { value: Number(value) };
          },
        },
      };
      const Small = defineEntity({
        name: "Small",
        mailboxCapacity: 2,
        rpcs: { add: rpc({ ...(turns === 0 ? {} : { input: slowly }), persisted: true }) },
      });
      const small = Small.implement({
        async add(n: unknown) {
          await pass(Number(n) % 4);
          seen.push(Number(n));
        },
      });
      await using cluster = await createTestCluster({ register: [small] });
      const client = cluster.entityClient("Small");
      const due = new Date(cluster.now() + 60_000);
      for (const n of upTo(60)) await client.notifyAt("s", "add", n, due);
      await cluster.advance("5 minutes");
      expect(seen).toEqual(upTo(60));
    },
  );

  it("keep their order when an entity without room left memory while the page with the rest of them was read (INV-4)", async () => {
    const seen: string[] = [];
    const gate = Promise.withResolvers<void>();
    let isStored = false;
    const Small = defineEntity({
      name: "Small",
      mailboxCapacity: 2,
      maxIdleTime: "10ms",
      rpcs: {
        add: rpc({
          input: {
            "~standard": {
              version: 1,
              vendor: "test",
              async validate(value) {
                if (isStored && value === "slow") await gate.promise;
                return { value: String(value) };
              },
            },
          } satisfies Schema<string>,
          persisted: true,
        }),
      },
    });
    const small = Small.implement({
      async add(text) {
        seen.push(String(text));
      },
    });
    await using cluster = await createTestCluster({ runners: 1, register: [small] });
    const client = cluster.entityClient("Small");
    const due = new Date(cluster.now() + 60_000);
    for (const text of ["0", "1", "2", "3"]) await client.notifyAt("s", "add", text, due);
    await client.notifyAt("t", "add", "slow", due);
    for (const text of ["4", "5"]) await client.notifyAt("s", "add", text, due);
    isStored = true;
    await cluster.advance("2 minutes");
    expect(seen).toEqual(["0", "1", "2"]);
    expect(cluster.runners[0]?.metrics.snapshot()["activeEntities"]).toBe(0);
    gate.resolve();
    await cluster.advance("2 minutes");
    expect(seen.filter((text) => text !== "slow")).toEqual(["0", "1", "2", "3", "4", "5"]);
  });

  it("go out in the order of calls, whether a reply is awaited or not", async () => {
    const seen: number[] = [];
    await using cluster = await createTestCluster({ register: [list(seen)] });
    const entity = cluster.entity(List, "l");
    const calls = upTo(10).map((n) => (n % 2 === 0 ? entity.add.notify(n) : entity.add(n)));
    await Promise.all(calls);
    expect(seen).toEqual(upTo(10));
  });
});

async function pass(turns: number): Promise<void> {
  for (let turn = 0; turn < turns; turn += 1) await Promise.resolve();
}

/** While `write` is set, one accepted request is reported as of unknown outcome; while `reads` is, nothing pending is read. */
function failing(storage: OpenStorage, trouble: { write: boolean; reads: boolean }): OpenStorage {
  const { messages } = storage;
  const faulty: Partial<MessageStorage> = {
    async saveRequest(envelope, attempts, fence: Fence | null) {
      const saved = await messages.saveRequest(envelope, attempts, fence);
      if (fence === null || !trouble.write) return saved;
      trouble.write = false;
      throw new PersistenceError({
        operation: "saveRequest",
        outcome: "unknown",
        detail: "the connection broke",
      });
    },
    async readPending(query) {
      if (!trouble.reads) return messages.readPending(query);
      throw new PersistenceError({
        operation: "readPending",
        outcome: "not-written",
        detail: "the connection broke",
      });
    },
  };
  const target = new Proxy(messages, {
    get(object, property) {
      const replaced: unknown = Reflect.get(faulty, property);
      if (replaced !== undefined) return replaced;
      const value: unknown = Reflect.get(object, property, object);
      return typeof value === "function" ? (value.bind(object) as unknown) : value;
    },
  });
  return { ...storage, messages: target };
}
