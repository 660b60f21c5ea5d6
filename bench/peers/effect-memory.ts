// Effect's entities in memory, without a database: volatile rpcs within one process.
//
// - `simulateRemoteSerialization` is off: it copies each message within the process, as if a runner were elsewhere. So a
//   call encodes nothing, where one of Holdfast encodes and decodes both ways.
// - No message storage: a volatile rpc needs none.
//
// Callers use 64 entities, as the benchmark of Holdfast does.

import * as NodeCrypto from "@effect/platform-node/NodeCrypto";
import { Layer, ManagedRuntime } from "effect";
import {
  MessageStorage,
  RunnerHealth,
  Runners,
  RunnerStorage,
  Sharding,
  ShardingConfig,
} from "effect/cluster";
import type { OpenContestant } from "../src/contestant.ts";
import { settledMemory } from "../src/heap.ts";
import { Echo, echo } from "./lib/effect-echo.ts";
import { PAYLOAD } from "./lib/payload.ts";

const ENTITIES = 64;

export const open: OpenContestant = async () => {
  const runtime = ManagedRuntime.make(inMemory());
  const clientOf = await runtime.runPromise(Echo.client);
  const entities = Array.from({ length: ENTITIES }, (_, index) => clientOf(`e${index}`));
  return {
    workloads: {
      "volatile rpc": {
        kind: "closed loop",
        call: (caller) => runtime.runPromise(entities[caller % ENTITIES]!.Volatile({ text: PAYLOAD })),
      },
    },
    close: () => runtime.dispose(),
  };
};

/** The heap, in bytes, that an idle entity without state costs while it is in memory, after one call. */
export async function heapPerIdleEntity(count = 20_000): Promise<number> {
  const runtime = ManagedRuntime.make(inMemory());
  const clientOf = await runtime.runPromise(Echo.client);
  const callEach = async (name: string, total: number): Promise<void> => {
    for (let first = 0; first < total; first += 50)
      await Promise.all(
        Array.from({ length: 50 }, (_, index) =>
          runtime.runPromise(clientOf(`${name}${first + index}`).Volatile({ text: "x" })),
        ),
      );
  };
  await callEach("warm", 500);
  const before = await settledMemory();
  await callEach("e", count);
  const after = await settledMemory();
  await runtime.dispose();
  return (after.heap - before.heap) / count;
}

function inMemory() {
  const cluster = Sharding.layer.pipe(
    Layer.provideMerge(Runners.layerNoop),
    Layer.provideMerge(MessageStorage.layerNoop),
    Layer.provide([RunnerStorage.layerMemory, RunnerHealth.layerNoop]),
    Layer.provide(
      ShardingConfig.layer({ simulateRemoteSerialization: false, maxResidentEntities: "unbounded" }),
    ),
  );
  return echo.pipe(Layer.provideMerge(cluster), Layer.provideMerge(NodeCrypto.layer));
}
