import {
  DeadLetteredError,
  defineEntity,
  InterruptedError,
  RemoteError,
  rpc,
  RunnerUnavailableError,
  type HandlerContext,
} from "@holdfast/core";
import { createTestCluster, type TestCluster } from "@holdfast/testing";
import { describe, expect, it } from "vitest";
import { Door, inDoubt, notWritten, tampering } from "./tampering.ts";

const Source = defineEntity({
  name: "Source",
  rpcs: {
    count: rpc<number, number>({ stream: true }),
    keep: rpc<number, number>({ stream: true, persisted: true }),
    breakAt: rpc<number, number>({ stream: true }),
    keepToBreak: rpc<number, number>({ stream: true, persisted: true }),
  },
});

/** A source of numbers, and what was asked of it. */
class Numbers {
  produced = 0;
  begun = 0;
  /** Why generators ended before their last number. */
  readonly cutShort: string[] = [];

  readonly implementation = Source.implement({
    count: (to, ctx) => this.#upTo(to, ctx),
    keep: (to, ctx) => this.#upTo(to, ctx),
    breakAt: (at) => this.#breaking(at),
    keepToBreak: (at) => this.#breaking(at),
  });

  async *#breaking(at: number): AsyncGenerator<number, void, undefined> {
    for (let n = 0; n < at; n += 1) yield n;
    throw new Error("the source ran dry");
  }

  async *#upTo(to: number, ctx: HandlerContext): AsyncGenerator<number, void, undefined> {
    this.begun += 1;
    let n = 0;
    try {
      for (; n < to; n += 1) {
        this.produced += 1;
        yield n;
      }
    } finally {
      if (n < to) this.cutShort.push(ctx.signal.aborted ? "interrupted" : "left");
    }
  }
}

const upTo = (count: number): readonly number[] => Array.from({ length: count }, (_, n) => n);

async function collect(elements: AsyncIterable<number>, into: number[] = []): Promise<number[]> {
  for await (const n of elements) into.push(n);
  return into;
}

function ownerOf(cluster: TestCluster): number {
  return cluster.runners.findIndex(
    (runner) => runner.isAlive && (runner.metrics.snapshot()["activeEntities"] ?? 0) > 0,
  );
}

describe("a stream", () => {
  it("comes in order and whole although messages are late and doubled", async () => {
    const numbers = new Numbers();
    await using cluster = await createTestCluster({
      runners: 3,
      register: [numbers.implementation],
      seed: 4,
    });
    cluster.faults({ delay: ["0ms", "50ms"], duplicate: 0.3 });
    await expect(collect(cluster.entity(Source, "s").count(300))).resolves.toEqual(upTo(300));
    expect(numbers.begun).toBe(1);
  });

  it("has no gap when chunks are lost: the caller gets an error after the last one in order", async () => {
    let broken = 0;
    for (let seed = 1; seed <= 10; seed += 1) {
      await using cluster = await createTestCluster({ register: [new Numbers().implementation], seed });
      cluster.faults({ drop: 0.02 });
      const got: number[] = [];
      const outcome = collect(cluster.entity(Source, "s").count(60), got).catch((error: unknown) => error);
      await cluster.advance("1 minute");
      const end = await outcome;
      expect(got).toEqual(upTo(got.length));
      if (end === got) expect(got).toHaveLength(60);
      else expect(end).toBeInstanceOf(RunnerUnavailableError);
      if (end !== got) broken += 1;
    }
    expect(broken, "some streams lost something").toBeGreaterThan(0);
  });

  it("slows its handler down to the speed of its reader", async () => {
    const numbers = new Numbers();
    await using cluster = await createTestCluster({ register: [numbers.implementation] });
    let read = 0;
    for await (const n of cluster.entity(Source, "s").count(10_000)) {
      read = n + 1;
      if (read % 100 === 0) await cluster.advance("1s");
      expect(numbers.produced - read).toBeLessThanOrEqual(64);
      if (read === 500) break;
    }
    expect(read).toBe(500);
  });

  it("costs storage nothing", async () => {
    let calls = 0;
    await using cluster = await createTestCluster({
      runners: 2,
      register: [new Numbers().implementation],
      tamper: tampering(({ messages }) => ({
        messages: {
          acknowledgeChunks(...args) {
            calls += 1;
            return messages.acknowledgeChunks(...args);
          },
        },
      })),
    });
    await collect(cluster.entity(Source, "s").count(100));
    await cluster.advance("10s");
    expect(calls).toBe(0);
  });

  it("interrupts its handler when the reader leaves", async () => {
    const numbers = new Numbers();
    await using cluster = await createTestCluster({ runners: 2, register: [numbers.implementation] });
    for await (const n of cluster.entity(Source, "s").count(1_000_000)) if (n === 2) break;
    await cluster.advance("1s");
    expect(numbers.cutShort).toEqual(["interrupted"]);
    expect(numbers.produced).toBeLessThan(100);
  });

  it("hands out what came before its handler's error, and then the error", async () => {
    await using cluster = await createTestCluster({ register: [new Numbers().implementation] });
    const got: number[] = [];
    const error = await collect(cluster.entity(Source, "s").breakAt(3), got).catch(
      (reason: unknown) => reason,
    );
    expect(got).toEqual([0, 1, 2]);
    expect(error).toBeInstanceOf(RemoteError);
    expect(error).toMatchObject({ message: "the source ran dry" });
  });
});

describe("a persisted stream", () => {
  it.each([1, 2, 3])(
    "goes on after its owner crashed, each element once and in order, with seed %i (INV-2)",
    async (seed) => {
      const numbers = new Numbers();
      await using cluster = await createTestCluster({ runners: 3, register: [numbers.implementation], seed });
      const got: number[] = [];
      let hasCrashed = false;
      const reading = (async () => {
        for await (const n of cluster.entity(Source, "s").keep(200)) {
          got.push(n);
          if (n !== 70) continue;
          await cluster.crash(ownerOf(cluster));
          hasCrashed = true;
        }
      })();
      for (let second = 0; second < 90; second += 1) await cluster.advance("1s");
      await reading;
      expect(hasCrashed).toBe(true);
      expect(got).toEqual(upTo(200));
      expect(numbers.begun).toBe(2);
    },
  );

  it("goes on after its owner left in order", async () => {
    const numbers = new Numbers();
    await using cluster = await createTestCluster({
      runners: 3,
      register: [numbers.implementation],
      entityTerminationTimeout: "2s",
    });
    const got: number[] = [];
    const reading = (async () => {
      let leaving: Promise<void> | undefined;
      for await (const n of cluster.entity(Source, "s").keep(200)) {
        got.push(n);
        if (n === 70) leaving = cluster.runners[ownerOf(cluster)]?.shutdown();
        if (n % 20 === 0) await cluster.advance("1s");
      }
      await leaving;
    })();
    await cluster.advance("1 minute");
    await reading;
    expect(got).toEqual(upTo(200));
  });

  it("loses nothing to lost messages", async () => {
    const numbers = new Numbers();
    await using cluster = await createTestCluster({
      runners: 2,
      register: [numbers.implementation],
      seed: 9,
    });
    cluster.faults({ drop: 0.05, duplicate: 0.05, delay: ["0ms", "20ms"] });
    const reading = collect(cluster.entity(Source, "s").keep(150));
    await cluster.advance("10 minutes");
    await expect(reading).resolves.toEqual(upTo(150));
  });

  it("gives nobody an element before it is kept", async () => {
    const keeping = new Door();
    keeping.close();
    await using cluster = await createTestCluster({
      runners: 2,
      register: [new Numbers().implementation],
      tamper: tampering(({ messages }) => ({
        messages: {
          async saveChunk(...args) {
            await keeping.passed();
            return messages.saveChunk(...args);
          },
        },
      })),
    });
    const got: number[] = [];
    const reading = collect(cluster.entity(Source, "s").keep(3), got);
    await cluster.advance("5s");
    expect(got).toEqual([]);
    keeping.open();
    await cluster.advance("5s");
    expect(await reading).toEqual(upTo(3));
  });

  it("has what its first attempt kept, although its reader gets what the next one yields first", async () => {
    const doors = [new Door(), new Door()];
    for (const door of doors) door.close();
    let attempts = 0;
    const Twice = defineEntity({
      name: "Twice",
      rpcs: { read: rpc<void, number>({ stream: true, persisted: true }) },
    });
    const twice = Twice.implement({
      async *read() {
        const attempt = (attempts += 1);
        await doors[attempt - 1]?.passed();
        for (let n = 0; n < 3 * attempt; n += 1) yield attempt;
        if (attempt === 1) throw Object.assign(new Error("once more"), { retryable: true });
      },
    });
    await using cluster = await createTestCluster({ runners: 2, register: [twice] });
    const reading = collect(cluster.entity(Twice, "t").read());
    await cluster.advance("1s");
    cluster.faults({ drop: 1 });
    doors[0]?.open();
    await cluster.advance("500ms");
    expect(attempts).toBe(2);
    cluster.faults({});
    doors[1]?.open();
    await cluster.advance("1 minute");
    expect(await reading).toEqual([1, 1, 1, 2, 2, 2]);
  });

  it.each([0, 2, 4])(
    "is whole up to its handler's error although it is in doubt whether element %i was kept",
    async (at) => {
      await using cluster = await createTestCluster({
        runners: 2,
        register: [new Numbers().implementation],
        tamper: tampering(({ messages }) => {
          let isTold = false;
          return {
            messages: {
              async saveChunk(chunk, fence) {
                await messages.saveChunk(chunk, fence);
                if (chunk.index !== at || isTold) return;
                isTold = true;
                throw inDoubt("saveChunk");
              },
            },
          };
        }),
      });
      const got: number[] = [];
      const failure = collect(cluster.entity(Source, "s").keepToBreak(5), got).catch(
        (error: unknown) => error,
      );
      await cluster.advance("1 minute");
      expect(await failure).toMatchObject({ message: "the source ran dry" });
      expect(got).toEqual(upTo(5));
    },
  );

  it.each([1, 2, 3, 4])(
    "is whole up to its handler's error although messages are lost, with seed %i",
    async (seed) => {
      await using cluster = await createTestCluster({
        runners: 2,
        register: [new Numbers().implementation],
        seed,
      });
      cluster.faults({ drop: 0.1 });
      const got: number[] = [];
      const failure = collect(cluster.entity(Source, "s").keepToBreak(30), got).catch(
        (error: unknown) => error,
      );
      await cluster.advance("5 minutes");
      expect(await failure).toMatchObject({ message: "the source ran dry" });
      expect(got).toEqual(upTo(30));
    },
  );

  it.each([1, 2, 3])(
    "is whole up to its handler's error for who comes later, although that overtakes it, with seed %i",
    async (seed) => {
      await using cluster = await createTestCluster({
        runners: 2,
        register: [new Numbers().implementation],
        seed,
      });
      const read = async (into: number[]): Promise<unknown> => {
        const reading = collect(
          cluster.entity(Source, "s").keepToBreak(8, { idempotencyKey: "k" }),
          into,
        ).catch((error: unknown) => error);
        await cluster.advance("1s");
        return reading;
      };
      await read([]);
      cluster.faults({ delay: ["0ms", "100ms"] });
      const got: number[] = [];
      expect(await read(got)).toMatchObject({ message: "the source ran dry" });
      expect(got).toEqual(upTo(8));
    },
  );

  it.each([1, 2])(
    "gives its handler's error although the mailbox is full by then, with %i runners",
    async (runners) => {
      const behind = new Door();
      const Busy = defineEntity({
        name: "Busy",
        mailboxCapacity: 2,
        rpcs: {
          read: rpc<void, number>({ stream: true, persisted: true }),
          wait: rpc<void, void>({ persisted: true }),
        },
      });
      const broken = new Door();
      broken.close();
      behind.close();
      const busy = Busy.implement({
        async *read() {
          yield 0;
          await broken.passed();
          throw new Error("the source ran dry");
        },
        wait: () => behind.passed(),
      });
      await using cluster = await createTestCluster({ runners, register: [busy] });
      const got: number[] = [];
      let failure: unknown = null;
      void collect(cluster.entity(Busy, "b").read(), got).catch((error: unknown) => (failure = error));
      await cluster.advance("1s");
      const waiting = Array.from({ length: 3 }, () =>
        cluster
          .entity(Busy, "b")
          .wait()
          .catch((error: unknown) => error),
      );
      await cluster.advance("1s");
      broken.open();
      await cluster.advance("1ms");
      waiting.push(
        cluster
          .entity(Busy, "b")
          .wait()
          .catch((error: unknown) => error),
      );
      await cluster.advance("1 minute");
      expect(failure).toMatchObject({ message: "the source ran dry" });
      expect(got).toEqual([0]);
      behind.open();
      await cluster.advance("1 minute");
      await Promise.all(waiting);
    },
  );

  it("is not handled anew where its dead letter is dropped as soon as its reader has the error", async () => {
    let begun = 0;
    const Draft = defineEntity({
      name: "Draft",
      rpcs: { read: rpc<void, number>({ stream: true, persisted: true }) },
    });
    const draft = Draft.implement({
      async *read() {
        begun += 1;
        yield 0;
        throw Object.assign(new Error("the source ran dry"), { retryable: true });
      },
    });
    await using cluster = await createTestCluster({
      runners: 2,
      register: [draft],
      storageMessageMaxRetries: 0,
    });
    const got: number[] = [];
    const failure = collect(cluster.entity(Draft, "d").read(), got).catch((error: unknown) => error);
    let dropped = 0;
    while (dropped === 0) {
      await cluster.advance("1ms");
      for (const { requestId } of await cluster.deadLetters.list()) {
        await cluster.deadLetters.drop(requestId);
        dropped += 1;
      }
    }
    await cluster.advance("1 minute");
    expect(await failure).toBeInstanceOf(DeadLetteredError);
    expect(got).toEqual([0]);
    expect(begun).toBe(1);
  });

  it("gives its handler's error although storage fails from then on", async () => {
    let isAway = false;
    await using cluster = await createTestCluster({
      runners: 2,
      register: [new Numbers().implementation],
      tamper: tampering(({ messages }) => ({
        messages: {
          async saveReply(...args) {
            const reply = await messages.saveReply(...args);
            isAway = true;
            return reply;
          },
          readChunks(...args) {
            return isAway ? Promise.reject(notWritten("readChunks")) : messages.readChunks(...args);
          },
        },
      })),
    });
    const got: number[] = [];
    let failure: unknown = null;
    void collect(cluster.entity(Source, "s").keepToBreak(3), got).catch(
      (error: unknown) => (failure = error),
    );
    await cluster.advance("2 minutes");
    expect(isAway).toBe(true);
    expect(failure).toMatchObject({ message: "the source ran dry" });
    expect(got).toEqual(upTo(3));
  });

  it("is refused to one who comes when another has read its beginning, and is that one's to its end", async () => {
    const numbers = new Numbers();
    await using cluster = await createTestCluster({ runners: 2, register: [numbers.implementation] });
    const source = cluster.entity(Source, "s");
    const got: number[] = [];
    let second: Promise<unknown> | null = null;
    const readBySecond: number[] = [];
    for await (const n of source.keep(300, { idempotencyKey: "k" })) {
      got.push(n);
      if (n === 100)
        second = collect(source.keep(300, { idempotencyKey: "k" }), readBySecond).catch(
          (error: unknown) => error,
        );
      if (n % 10 === 0) await cluster.advance("1s");
    }
    await cluster.advance("1 minute");
    expect(got).toEqual(upTo(300));
    expect(await second).toBeInstanceOf(InterruptedError);
    expect(readBySecond).toEqual([]);
    expect(numbers).toMatchObject({ begun: 1, cutShort: [] });
  });

  it("is refused to one who comes when another has read it to its end", async () => {
    const numbers = new Numbers();
    await using cluster = await createTestCluster({ runners: 2, register: [numbers.implementation] });
    const source = cluster.entity(Source, "s");
    expect(await collect(source.keep(300, { idempotencyKey: "k" }))).toEqual(upTo(300));
    await cluster.advance("1s");
    const again = collect(source.keep(300, { idempotencyKey: "k" })).catch((error: unknown) => error);
    await cluster.advance("1 minute");
    expect(await again).toBeInstanceOf(InterruptedError);
    expect(await again).toMatchObject({
      message: expect.stringMatching(/its first 300 elements, .* call it under another idempotencyKey/u),
    });
    expect(numbers.begun).toBe(1);
  });

  it("is given whole, and then its error, to one who comes when it has failed and it cannot be read at first", async () => {
    let refusals = 0;
    await using cluster = await createTestCluster({
      runners: 2,
      register: [new Numbers().implementation],
      tamper: tampering(({ messages }) => ({
        messages: {
          async readChunks(...args) {
            if (refusals === 0) return messages.readChunks(...args);
            refusals -= 1;
            throw notWritten("readChunks");
          },
          // Not known to be taken by whoever read it first.
          acknowledgeChunks: async () => undefined,
        },
      })),
    });
    for (let reader = 0; reader < 2; reader += 1) {
      const got: number[] = [];
      const reading = collect(cluster.entity(Source, "s").keepToBreak(5, { idempotencyKey: "k" }), got);
      await expect(reading).rejects.toThrow("the source ran dry");
      expect(got).toEqual(upTo(5));
      expect(refusals).toBe(0);
      refusals = 2;
    }
  });

  it("is given whole to one who comes before anything of it is acknowledged", async () => {
    const numbers = new Numbers();
    await using cluster = await createTestCluster({ runners: 2, register: [numbers.implementation] });
    const source = cluster.entity(Source, "s");
    const both = [0, 1].map(() => collect(source.keep(5, { idempotencyKey: "k" })));
    await cluster.advance("1 minute");
    expect(await Promise.all(both)).toEqual([upTo(5), upTo(5)]);
    expect(numbers.begun).toBe(1);
  });
});

describe("a stream of which all is lost that is under way", () => {
  /** What comes of reading it while for half a second nothing arrives. */
  async function readThroughSilence(tag: "keep" | "count"): Promise<unknown> {
    await using cluster = await createTestCluster({
      runners: 2,
      register: [new Numbers().implementation],
      seed: 1,
    });
    const client = cluster.entity(Source, "s");
    cluster.faults({ delay: ["50ms", "50ms"] });
    const reading = collect(client[tag](500)).catch((error: unknown) => error);
    await cluster.advance("20ms");
    cluster.faults({ drop: 1 });
    await cluster.advance("500ms");
    cluster.faults({});
    await cluster.advance("5 minutes");
    return reading;
  }

  it("is given whole where it is persisted", async () => {
    expect(await readThroughSilence("keep")).toEqual(upTo(500));
  });

  it("fails where it is not", async () => {
    expect(await readThroughSilence("count")).toBeInstanceOf(RunnerUnavailableError);
  });
});
