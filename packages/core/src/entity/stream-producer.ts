// StreamProducer: sends what a streaming handler yields as chunks, no faster than they are consumed.
//
//   P1  A chunk of a persisted stream is durable before anybody gets it. What an earlier attempt recorded stays as it was,
//       and is not sent twice.
//   P2  A volatile stream whose consumer is gone ends, also where nobody heard of it: its word was lost, or it spoke to an
//       owner before this one. A persisted one goes on to its end, since its chunks stay with storage, and so does one that
//       is not to be interrupted.

import type { Clock } from "../adapter/clock.ts";
import type { MessageStorage } from "../adapter/message-storage.ts";
import { disregardAll } from "../contract/call-back.ts";
import { encodeBoundedPayload } from "../contract/payload.ts";
import { parse } from "../contract/schema.ts";
import { describeCall } from "../data/envelope.ts";
import type { Fence } from "../data/epoch.ts";
import type { Chunk } from "../data/reply.ts";
import type { WireMessage } from "../data/wire-message.ts";
import { SerializationError } from "../errors/storage.ts";
import { interruption } from "./failed-exit.ts";
import type { HostedRequest } from "./hosted-request.ts";
import { ChunkWindow } from "./stream.ts";

export interface StreamProducerOptions {
  readonly messages: MessageStorage;
  readonly clock: Clock;
  readonly maxPayloadBytes: number;
  /** Sends to all who wait for this request. */
  readonly tell: (request: HostedRequest, message: WireMessage) => void;
}

/** A consumer says how far it is every 2 s: one that says nothing for so long does not read any more. */
const CONSUMER_SILENT_MS = 10_000;
/** No chunk has this index: who reads from here on is told how many are kept, and gets none of them. Storages have 32 bits for it. */
const BEHIND_ALL = 2 ** 31 - 1;

export class StreamProducer {
  readonly #options: StreamProducerOptions;

  constructor(options: StreamProducerOptions) {
    this.#options = options;
  }

  /**
   * Sends the elements of what the handler returned. Resolves to how many there were.
   *
   * @throws what the handler throws, and what an element's schema refuses it with
   * @throws {InterruptedError} the request was to end before the handler did
   * @throws {SerializationError} it is no generator, or an element cannot be encoded
   * @throws {FencedError} the shard of a persisted stream was claimed again
   * @throws {PersistenceError} a chunk of a persisted stream could not be kept, or read
   */
  async pipe(returned: unknown, request: HostedRequest, fence: Fence): Promise<number> {
    const { messages, maxPayloadBytes, tell } = this.#options;
    const what = `A chunk of ${describeCall(request.envelope)}`;
    if (!isAsyncIterable(returned)) {
      disregardAll(returned);
      throw new SerializationError({
        what,
        path: "",
        problem: "not an async iterable: write the handler of a streaming rpc as async *",
      });
    }
    const window = (request.window ??= new ChunkWindow());
    let latest: Chunk | null = null;
    // It is more than the window, by one, and who has it already does not take it twice.
    window.whenStalled = () => {
      if (latest !== null) tell(request, { type: "chunk", chunk: latest });
    };
    const saved = request.envelope.persisted ? (await messages.readChunks(request.id, BEHIND_ALL)).saved : 0;
    request.chunkCount = saved;
    let index = 0;
    const stopWatching = this.#watchReader(request, window);
    try {
      for await (const element of returned) {
        if (request.ended !== null) break;
        await parse(request.rpc.output, element, what);
        const chunk = {
          requestId: request.id,
          index,
          value: encodeBoundedPayload(element, what, maxPayloadBytes),
        };
        if (index >= saved) {
          if (request.envelope.persisted) {
            await messages.saveChunk(chunk, fence);
            request.chunkCount = index + 1;
          }
          latest = chunk;
          await window.room(index, chunk.value.length);
          if (request.ended !== null) break;
          tell(request, { type: "chunk", chunk });
        }
        index += 1;
      }
    } finally {
      stopWatching();
      window.whenStalled = null;
    }
    const ended = request.ended;
    if (ended !== null) throw interruption(request, ended.why);
    return index;
  }

  /** Finds out that the consumer is gone (P2). Returns what ends the watch. */
  #watchReader(request: HostedRequest, window: ChunkWindow): () => void {
    const { clock } = this.#options;
    const goesOn = request.envelope.persisted || request.isUninterruptible;
    const look = (): void => {
      timer = clock.setTimer(CONSUMER_SILENT_MS, look);
      if (window.heardStill()) return;
      if (goesOn) window.unread();
      else request.end("interrupted", "its reader is gone");
    };
    let timer = clock.setTimer(CONSUMER_SILENT_MS, look);
    return () => timer.cancel();
  }
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}
