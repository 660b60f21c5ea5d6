import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SystemClock } from "../clock/system-clock.ts";
import { CHUNK_WINDOW, CHUNK_WINDOW_CHARACTERS, ChunkQueue, ChunkWindow } from "./stream.ts";

const turn = (): Promise<void> => new SystemClock().nextTurn();
const chunk = (index: number): { requestId: string; index: number; value: string } => ({
  requestId: "r",
  index,
  value: `value ${index}`,
});

function queueOf(): { queue: ChunkQueue; acknowledged: number[] } {
  const acknowledged: number[] = [];
  return { queue: new ChunkQueue((upTo) => acknowledged.push(upTo)), acknowledged };
}

async function takeAll(queue: ChunkQueue): Promise<readonly string[]> {
  const taken: string[] = [];
  for (;;) {
    const value = await queue.take();
    if (value === undefined) return taken;
    taken.push(value);
  }
}

describe("the producer of a stream", () => {
  it("has so much under way that its consumer acknowledges, and one chunk more", async () => {
    const window = new ChunkWindow();
    const half = CHUNK_WINDOW_CHARACTERS / 2;
    let sent = 0;
    const producing = (async () => {
      for (; sent < 4; sent += 1) await window.room(sent, half + 1);
    })();
    await turn();
    expect(sent).toBe(1);
    window.acknowledge(1);
    await turn();
    expect(sent).toBe(2);
    // It was told of number 2 again, for which there was no room yet, and takes both at once.
    window.acknowledge(2);
    window.acknowledge(3);
    await turn();
    expect(sent, "what it has does not take up room").toBe(4);
    await producing;
  });

  it("has room again for as much as its consumer took, and no more", async () => {
    const window = new ChunkWindow();
    const quarter = CHUNK_WINDOW_CHARACTERS / 4;
    let sent = 0;
    void (async () => {
      for (; sent < 20; sent += 1) await window.room(sent, quarter);
    })();
    for (const taken of [0, 1, 2, 3, 7]) {
      window.acknowledge(taken);
      await turn();
      expect(sent).toBe(taken + 4);
    }
    window.close();
  });

  it("waits for none of what it sent while nobody read", async () => {
    const window = new ChunkWindow();
    let sent = 0;
    const produce = async (upTo: number): Promise<void> => {
      for (; sent < upTo; sent += 1) await window.room(sent, CHUNK_WINDOW_CHARACTERS);
    };
    const producing = produce(3);
    await turn();
    expect(sent).toBe(1);
    window.unread();
    await producing;
    // Who comes asks for what is kept, and has taken nothing yet.
    window.acknowledge(0);
    await produce(4);
  });

  it("does not wait for who does not read, until a consumer is heard of", async () => {
    const window = new ChunkWindow();
    let sent = 0;
    const produce = async (upTo: number): Promise<void> => {
      for (; sent < upTo; sent += 1) await window.room(sent);
    };
    const producing = produce(3 * CHUNK_WINDOW);
    await turn();
    expect(sent).toBe(CHUNK_WINDOW);
    expect(window.heardStill()).toBe(false);
    window.unread();
    await producing;
    window.acknowledge(CHUNK_WINDOW);
    expect([window.heardStill(), window.heardStill()]).toEqual([true, false]);
    void produce(4 * CHUNK_WINDOW);
    await turn();
    expect(sent).toBe(3 * CHUNK_WINDOW);
    window.close();
  });

  it("may run ahead by a window, and waits then", async () => {
    const window = new ChunkWindow();
    let sent = 0;
    const producing = (async () => {
      for (; sent < 2 * CHUNK_WINDOW + 5; sent += 1) await window.room(sent);
    })();
    await turn();
    expect(sent).toBe(CHUNK_WINDOW);
    window.acknowledge(1);
    await turn();
    expect(sent).toBe(CHUNK_WINDOW + 1);
    window.acknowledge(CHUNK_WINDOW);
    await turn();
    expect(sent).toBe(2 * CHUNK_WINDOW);
    window.acknowledge(2 * CHUNK_WINDOW);
    await producing;
  });

  it("is not moved by an older acknowledgement that comes late", async () => {
    const window = new ChunkWindow();
    window.acknowledge(10);
    window.acknowledge(3);
    let hasRoom = false;
    void window.room(CHUNK_WINDOW + 9).then(() => (hasRoom = true));
    await turn();
    expect(hasRoom).toBe(true);
  });

  it("waits no more once the window was closed", async () => {
    const window = new ChunkWindow();
    const waiting = window.room(5 * CHUNK_WINDOW);
    await turn();
    window.close();
    await waiting;
    await window.room(10 * CHUNK_WINDOW);
  });
});

describe("the consumer of a stream", () => {
  it("gets each chunk once and in order, however they come", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 40 }).chain((count) => {
          const indexes = Array.from({ length: count }, (_, index) => index);
          return fc.tuple(
            fc.constant(count),
            fc.shuffledSubarray(indexes, { minLength: count }),
            fc.array(fc.nat(Math.max(0, count - 1)), { maxLength: count === 0 ? 0 : 20 }),
            fc.nat(count),
          );
        }),
        async ([count, order, repeats, finishAt]) => {
          const { queue } = queueOf();
          const taking = takeAll(queue);
          const coming = [...order.slice(0, finishAt), ...repeats, ...order.slice(finishAt)];
          for (const [at, index] of coming.entries()) {
            if (at === finishAt) queue.finish(count);
            queue.push(chunk(index));
            if (at % 3 === 0) await turn();
          }
          queue.finish(count);
          expect(await taking).toEqual(Array.from({ length: count }, (_, index) => `value ${index}`));
        },
      ),
      { numRuns: 50 },
    );
  });

  it("acknowledges every half window, so that a producer never waits for long", async () => {
    const { queue, acknowledged } = queueOf();
    for (let index = 0; index < CHUNK_WINDOW; index += 1) queue.push(chunk(index));
    for (let taken = 0; taken < CHUNK_WINDOW; taken += 1) await queue.take();
    expect(acknowledged).toEqual([CHUNK_WINDOW / 2, CHUNK_WINDOW]);
    queue.acknowledgeAgain();
    expect(acknowledged.at(-1)).toBe(CHUNK_WINDOW);
  });

  it("acknowledges at once what is half of what may be under way, and counts anew from there", async () => {
    const { queue, acknowledged } = queueOf();
    const large = "x".repeat(CHUNK_WINDOW_CHARACTERS / 4);
    for (let index = 0; index < 5; index += 1) queue.push({ requestId: "r", index, value: large });
    for (let taken = 0; taken < 5; taken += 1) await queue.take();
    expect(acknowledged).toEqual([2, 4]);
  });

  it("does not acknowledge what nobody took", async () => {
    const { queue, acknowledged } = queueOf();
    for (let index = 0; index < 3 * CHUNK_WINDOW; index += 1) queue.push(chunk(index));
    await turn();
    expect(acknowledged).toEqual([]);
  });

  it("ends at once where there is nothing", async () => {
    const { queue } = queueOf();
    queue.finish(0);
    expect(await queue.take()).toBeUndefined();
    expect(queue.hasGap).toBe(false);
  });

  it("knows that chunks were lost once the end is known", async () => {
    const { queue } = queueOf();
    queue.push(chunk(0));
    queue.push(chunk(2));
    expect(queue.hasGap).toBe(false);
    queue.finish(3);
    expect(queue.hasGap).toBe(true);
    expect(await queue.take()).toBe("value 0");
    queue.push(chunk(1));
    expect(queue.hasGap).toBe(false);
    expect(await takeAll(queue)).toEqual(["value 1", "value 2"]);
  });

  it("knows that a chunk was lost when it is missing twice while later ones are here, and that a late one was not", async () => {
    const { queue } = queueOf();
    queue.push(chunk(1));
    expect(queue.hasGapStill(), "it may be late").toBe(false);
    expect(queue.hasGapStill()).toBe(true);
    queue.push(chunk(0));
    queue.push(chunk(3));
    expect(queue.hasGapStill(), "its reader is slow").toBe(false);
    expect([await queue.take(), await queue.take()]).toEqual(["value 0", "value 1"]);
    expect(queue.hasGapStill()).toBe(false);
    queue.push(chunk(2));
    expect(queue.hasGapStill()).toBe(false);
    expect([await queue.take(), await queue.take()]).toEqual(["value 2", "value 3"]);
    queue.push(chunk(3));
    expect(queue.hasGapStill()).toBe(false);
    expect(queue.hasGapStill(), "what it has taken came twice").toBe(false);
  });

  it("waits no more once its reader left, and has nothing more for it", async () => {
    const { queue } = queueOf();
    const waiting = queue.take();
    await turn();
    queue.leave();
    expect(await waiting).toBeUndefined();
    queue.push(chunk(0));
    expect(await queue.take()).toBeUndefined();
  });

  it("gets the chunks that came before a failure, then the first failure", async () => {
    const { queue } = queueOf();
    queue.push(chunk(0));
    queue.fail(new Error("first"));
    queue.fail(new Error("second"));
    expect(await queue.take()).toBe("value 0");
    await expect(queue.take()).rejects.toThrow("first");
  });

  it("gets all chunks that came before the error with which its producer ended, late ones too, then the error", async () => {
    const { queue } = queueOf();
    queue.push(chunk(1));
    queue.finish(2, new Error("out of paper"));
    expect(queue.hasGap).toBe(true);
    queue.push(chunk(0));
    expect([await queue.take(), await queue.take()]).toEqual(["value 0", "value 1"]);
    await expect(queue.take()).rejects.toThrow("out of paper");
  });

  it("gets the error with which its producer ended where what came before cannot be had any more", async () => {
    const { queue } = queueOf();
    queue.finish(2, new Error("out of paper"));
    queue.fail(new Error("gone"));
    await expect(queue.take()).rejects.toThrow("out of paper");
  });

  it("is woken by a failure while it waits", async () => {
    const { queue } = queueOf();
    const taking = queue.take();
    await turn();
    queue.fail(new Error("gone"));
    await expect(taking).rejects.toThrow("gone");
  });
});
