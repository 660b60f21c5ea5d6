import { describe, expect, it, vi } from "vitest";
import { sampleRequest } from "../../test/sample-request.ts";
import { SeededRandom } from "../clock/seeded-random.ts";
import { VirtualClock } from "../clock/virtual-clock.ts";
import { rpc } from "../contract/rpc.ts";
import { createMemoryBackend } from "../memory/memory-backend.ts";
import { HostedRequest } from "./hosted-request.ts";
import { StreamProducer } from "./stream-producer.ts";

const envelope = sampleRequest({ tag: "lines", persisted: true });

describe("a persisted stream that is begun again", () => {
  it("reads none of the chunks that are kept of it, and goes on behind them", async () => {
    const clock = new VirtualClock();
    const { messages } = await createMemoryBackend().storage.open({ clock, random: new SeededRandom(1) });
    const [epoch = 0] = await messages.claimShards(["default:1"]);
    const fence = { shardId: "default:1", epoch } as const;
    await messages.saveRequest(envelope, 1, fence);
    for (let index = 0; index < 50; index += 1)
      await messages.saveChunk({ requestId: "r1", index, value: String(index) }, fence);

    using reads = vi.spyOn(messages, "readChunks");
    const told: number[] = [];
    const producer = new StreamProducer({
      messages,
      clock,
      maxPayloadBytes: 1_024,
      tell: (_request, message) => {
        if (message.type === "chunk") told.push(message.chunk.index);
      },
    });
    const lines = async function* (): AsyncGenerator<number> {
      for (let line = 0; line < 52; line += 1) yield line;
    };
    const request = new HostedRequest(
      { envelope, rpc: rpc<void, number>({ persisted: true, stream: true }), input: undefined },
      { attempts: 2, attemptIsRecorded: true, isAccepted: true },
    );
    // Nobody reads it now: it goes on to its end.
    request.unread();
    expect(await producer.pipe(lines(), request, fence)).toBe(52);
    expect(told).toEqual([50, 51]);
    const read = await Promise.all(reads.mock.results.map(({ value }) => value));
    expect(read).toEqual([{ chunks: [], saved: 50 }]);
  });
});
