// Streams whose elements are more than the queue to one peer takes.

import {
  createCluster,
  defineEntity,
  memoryRunners,
  memoryStorage,
  rpc,
  type Cluster,
  type EntityImplementation,
} from "@holdfast/core";
import { describe, expect, it } from "vitest";
import { grpc, type GrpcOptions } from "../src/index.ts";

interface Asked {
  readonly count: number;
  readonly size: number;
}

const Files = defineEntity({
  name: "Files",
  rpcs: {
    download: rpc<Asked, string>({ stream: true }),
    keep: rpc<Asked, string>({ stream: true, persisted: true, uninterruptible: true }),
  },
});

function* elements({ count, size }: Asked): Generator<string, void, undefined> {
  for (let n = 0; n < count; n += 1) yield String(n).padEnd(size);
}

/** A runner and a client of it, which have all but memory in common. */
async function pair(options: GrpcOptions, files: EntityImplementation) {
  const shared = {
    storage: memoryStorage(),
    runners: memoryRunners(),
    shardsPerGroup: 8,
    shardRebalanceDebounce: 0,
  };
  const members: Cluster[] = [
    await createCluster({ ...shared, transport: grpc(options), register: [files] }),
    await createCluster({ ...shared, transport: grpc(options), role: "client" }),
  ];
  for (const member of members) await member.start();
  const [, client] = members as [Cluster, Cluster];
  return {
    files: client.entity(Files, "f"),
    async [Symbol.asyncDispose]() {
      for (const member of members.toReversed()) await member.shutdown();
    },
  };
}

async function numbersOf(stream: AsyncIterable<string>): Promise<readonly number[]> {
  const read: number[] = [];
  for await (const element of stream) read.push(Number(element));
  return read;
}

describe("a stream over gRPC", () => {
  it("arrives whole although its elements are as large as they may be", async () => {
    const files = Files.implement({
      async *download(asked) {
        yield* elements(asked);
      },
      async *keep(asked) {
        yield* elements(asked);
      },
    });
    await using test = await pair({}, files);
    const asked = { count: 18, size: 4_000_000 };
    expect(await numbersOf(test.files.download(asked))).toEqual(
      [...elements({ ...asked, size: 0 })].map(Number),
    );
  });

  it("that is kept is read whole by who joins it, although all of it is more than the queue takes at once", async () => {
    const whole = Promise.withResolvers<void>();
    const files = Files.implement({
      async *download(asked) {
        yield* elements(asked);
      },
      async *keep(asked) {
        yield* elements(asked);
        whole.resolve();
      },
    });
    await using test = await pair({ maxQueuedMessages: 300 }, files);
    const asked = { count: 500, size: 10 };
    const options = { idempotencyKey: "k" };
    for await (const _ of test.files.keep(asked, options)) break;
    await whole.promise;
    expect(await numbersOf(test.files.keep(asked, options))).toEqual(
      [...elements({ ...asked, size: 0 })].map(Number),
    );
  });
});
