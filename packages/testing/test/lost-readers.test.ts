import { once } from "node:events";
import { Readable } from "node:stream";
import { defineEntity, rpc } from "@holdfast/core";
import { expect, it } from "vitest";
import * as z from "zod";
import { createTestCluster } from "../src/index.ts";
import { notWritten, tampering } from "./tampering.ts";

const Source = defineEntity({
  name: "Source",
  rpcs: {
    count: rpc<number, number>({ stream: true }),
    finish: rpc<number, number>({ stream: true, uninterruptible: true }),
    keep: rpc<number, number>({ stream: true, persisted: true }),
    listen: rpc<void, number>({ stream: true }),
    touch: rpc<void, string>({ persisted: true }),
  },
});

async function* upTo(to: number): AsyncGenerator<number, void, undefined> {
  for (let n = 0; n < to; n += 1) yield n;
}

const finished: number[] = [];
const source = Source.implement({
  count: upTo,
  keep: upTo,
  async *finish(to) {
    yield* upTo(to);
    finished.push(to);
  },
  /** Says one thing, and then waits for news that never come. */
  async *listen(_input, ctx) {
    yield 0;
    await new Promise((_resolve, reject) => {
      ctx.signal.addEventListener("abort", () => reject(ctx.signal.reason as Error), { once: true });
    });
  },
  touch: () => "touched",
});

it.each(["count", "keep", "finish"] as const)(
  "keeps no request waiting behind a stream (%s) whose reader left, and whose word of that was lost",
  async (kind) => {
    await using cluster = await createTestCluster({ register: [source] });
    for await (const n of cluster.entity(Source, "s")[kind](300)) {
      if (n < 70) continue;
      cluster.faults({ drop: 1 });
      break;
    }
    await cluster.advance("100ms");
    cluster.faults({});
    const touched = cluster.entity(Source, "s").touch();
    await cluster.advance("1 minute");
    expect(await touched).toBe("touched");
    // What is not to be interrupted comes to its end.
    expect(finished.splice(0)).toEqual(kind === "finish" ? [300] : []);
  },
);

it("ends a stream that has nothing to say, and whose reader leaves while it waits", async () => {
  await using cluster = await createTestCluster({ runners: 2, register: [source] });
  const news = cluster.entity(Source, "s").listen();
  expect(await news.next()).toEqual({ done: false, value: 0 });
  const waiting = news.next();
  await cluster.advance("1s");
  await news.return?.();
  expect(await waiting).toEqual({ done: true, value: undefined });
  expect(await news.next()).toEqual({ done: true, value: undefined });
  expect(await cluster.entity(Source, "s").touch()).toBe("touched");
});

it("does not begin a stream whose reader leaves while its input is parsed", async () => {
  const parsing = Promise.withResolvers<boolean>();
  const Shelf = defineEntity({
    name: "Shelf",
    rpcs: {
      list: rpc({ stream: true, input: z.string().refine(() => parsing.promise), output: z.string() }),
    },
  });
  const listed: string[] = [];
  const shelf = Shelf.implement({
    async *list(text) {
      listed.push(text);
      yield text;
    },
  });
  await using cluster = await createTestCluster({ register: [shelf] });
  const list = cluster.entity(Shelf, "s").list("x");
  const first = list.next();
  await list.return?.();
  expect(await first).toEqual({ done: true, value: undefined });
  parsing.resolve(true);
  await cluster.advance("1s");
  expect(listed).toEqual([]);
});

it("ends a stream whose reader is a Readable that is destroyed, as that of a response whose client hung up", async () => {
  await using cluster = await createTestCluster({ runners: 2, register: [source] });
  const body = Readable.from(cluster.entity(Source, "s").listen());
  const [closed] = [once(body, "close"), await once(body, "data")];
  body.destroy();
  await closed;
  expect(await cluster.entity(Source, "s").touch()).toBe("touched");
});

it("ends a stream that has nothing to say and whose reader left, and whose word of that was lost", async () => {
  await using cluster = await createTestCluster({ register: [source] });
  for await (const _ of cluster.entity(Source, "s").listen()) {
    cluster.faults({ drop: 1 });
    break;
  }
  await cluster.advance("100ms");
  cluster.faults({});
  const touched = cluster.entity(Source, "s").touch();
  await cluster.advance("1 minute");
  expect(await touched).toBe("touched");
});

it("keeps no request waiting behind a persisted stream whose reader left while its owner was dead", async () => {
  await using cluster = await createTestCluster({ register: [source] });
  for await (const n of cluster.entity(Source, "s").keep(300)) {
    if (n < 70) continue;
    await cluster.crash(0);
    break;
  }
  await cluster.restart(0);
  const touched = cluster.entity(Source, "s").touch();
  await cluster.advance("1 minute");
  expect(await touched).toBe("touched");
});

it("hands a persisted stream to its reader although its new owner found it in storage, and heard nothing of the reader", async () => {
  await using cluster = await createTestCluster({
    register: [source],
    runnerLockTtl: "1500ms",
    shardRebalanceDebounce: "200ms",
  });
  const got: number[] = [];
  const reading = (async () => {
    for await (const n of cluster.entity(Source, "s").keep(300)) {
      got.push(n);
      if (n === 70) await cluster.crash(0);
    }
  })();
  await cluster.advance("2s");
  cluster.faults({ drop: 1 });
  const restarting = cluster.restart(0);
  await cluster.advance("700ms");
  await restarting;
  cluster.faults({});
  await cluster.advance("1 minute");
  expect(got).toHaveLength(300);
  await reading;
});

it("hands a persisted stream to a reader who joined it while storage could not be read", async () => {
  let fails = false;
  let failures = 0;
  await using cluster = await createTestCluster({
    register: [source],
    runnerLockTtl: "1500ms",
    shardRebalanceDebounce: "200ms",
    tamper: tampering(({ messages }) => ({
      messages: {
        async readChunks(...args) {
          if (!fails) return messages.readChunks(...args);
          failures += 1;
          throw notWritten("readChunks");
        },
      },
    })),
  });
  await cluster.crash(0);
  const got: number[] = [];
  const reading = (async () => {
    for await (const n of cluster.entity(Source, "s").keep(300)) got.push(n);
  })();
  // Its new owner finds it in storage, and begins it before it hears of the reader.
  await cluster.advance("5s");
  cluster.faults({ drop: 1 });
  cluster.revive(0);
  await cluster.advance("5s");
  fails = true;
  cluster.faults({});
  await cluster.advance("30s");
  expect(failures).toBeGreaterThan(0);
  expect(got).toEqual([]);
  fails = false;
  await cluster.advance("1 minute");
  expect(got).toHaveLength(300);
  await reading;
});
