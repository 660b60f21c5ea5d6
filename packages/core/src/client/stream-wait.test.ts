import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import { sampleRequest } from "../../test/sample-request.ts";
import { VirtualClock } from "../clock/virtual-clock.ts";
import type { EncodedError } from "../data/encoded-error.ts";
import type { Exit } from "../data/reply.ts";
import type { DeliveryListener } from "../entity/outgoing.ts";
import {
  InterruptedError,
  MailboxFullError,
  RunnerUnavailableError,
  TimeoutError,
} from "../errors/routing.ts";
import { SerializationError } from "../errors/storage.ts";
import type { CallLimits } from "./call-limits.ts";
import { StreamWait } from "./stream-wait.ts";

const FULL = new MailboxFullError({ entity: "Counter/a", capacity: 1 });

/** A wait that was begun, what comes to it, and what it says meanwhile. */
function begun(persisted: boolean, limits: CallLimits = {}, answer?: (listener: DeliveryListener) => void) {
  const clock = new VirtualClock();
  const said: string[] = [];
  const delivery = {
    send: (_envelope: unknown, listener: DeliveryListener): void => answer?.(listener),
    abandon: (): void => void said.push("abandoned"),
    done: (): void => void said.push("done"),
    acknowledge: (_requestId: string, upTo: number): void => void said.push(`took ${upTo}`),
    resume: (): void => void said.push("resumed"),
  };
  const request = sampleRequest({ persisted, expects: "stream" });
  const wait = new StreamWait({ delivery, clock }, request, limits, {}, []);
  wait.begin();
  const chunk = (index: number, keptFrom = 0): void =>
    wait.chunk({ requestId: "r1", index, value: `${index}` }, keptFrom);
  const ends = (count: string, keptFrom = 0): void =>
    wait.reply({ requestId: "r1", exit: { ok: true, value: count } }, keptFrom, 0);
  return { clock, said, wait, chunk, ends };
}

function errorWith(data: string): EncodedError {
  return { name: "Error", message: "m", code: null, stack: null, data, cause: null, own: false };
}

describe("the elements of a stream that wait for their reader", () => {
  it("are given out before the error where delivery fails, and nothing limits the wait after that", async () => {
    const { signal } = new AbortController();
    const { clock, said, wait, chunk } = begun(false, { timeout: "1s", signal });
    chunk(0);
    wait.failed(FULL);
    expect(getEventListeners(signal, "abort")).toEqual([]);
    await clock.advance(1_000);
    expect(await wait.take()).toBe("0");
    await expect(wait.take()).rejects.toBe(FULL);
    expect(said).toEqual([]);
  });

  it("are given out before the error where the time is over", async () => {
    const { clock, said, wait, chunk } = begun(false, { timeout: "1s" });
    chunk(0);
    await clock.advance(1_000);
    expect(said).toEqual(["abandoned"]);
    wait.failed(FULL);
    expect(await wait.take()).toBe("0");
    await expect(wait.take()).rejects.toThrow(TimeoutError);
  });

  it.each(["delivery fails", "the time is over"])(
    "keep nothing busy once %s, also where their reader never comes for them",
    async (why) => {
      const { clock, said, chunk, wait } = begun(true, { timeout: "1s" });
      chunk(0);
      if (why === "delivery fails") wait.failed(FULL);
      await clock.advance(1_000);
      said.length = 0;
      await clock.advance(60_000);
      expect(said).toEqual([]);
    },
  );

  it("are all given out where the end came in time", async () => {
    const { clock, wait, chunk, ends } = begun(true, { timeout: "1s" });
    chunk(0);
    ends("1");
    await clock.advance(1_000);
    expect(await wait.take()).toBe("0");
    expect(await wait.take()).toBeUndefined();
  });
});

describe("the wait for a stream", () => {
  it.each([
    ["has its request abandoned", false, ["abandoned"]],
    ["forgets its request where the end is known", true, ["done"]],
  ])("%s and leaves no timer and no listener, once its reader left", async (_what, hasEnd, expected) => {
    const { signal } = new AbortController();
    const { clock, said, wait, chunk, ends } = begun(false, { timeout: "1h", signal });
    const waiting = wait.take();
    wait.leave();
    expect(await waiting).toBeUndefined();
    chunk(0);
    if (hasEnd) ends("2");
    wait.end(false);
    expect(said).toEqual(expected);
    expect(clock.pending()).toBe(0);
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });

  it("fails where it is refused while it is sent, and sets no timer for its limit", async () => {
    const { clock, wait } = begun(false, { timeout: "1h" }, (listener) => listener.failed(FULL));
    await expect(wait.take()).rejects.toBe(FULL);
    wait.end(false);
    expect(clock.pending()).toBe(0);
  });

  it("says at each look how far its reader came, and of a volatile one no more after the end", async () => {
    const { clock, said, wait, chunk, ends } = begun(false);
    chunk(0);
    await wait.take();
    await clock.advance(4_000);
    expect(said).toEqual(["took 1", "took 1"]);
    ends("1");
    await clock.advance(2_000);
    wait.end(true);
    expect(said).toEqual(["took 1", "took 1", "done"]);
  });

  it("fails at the second look at the same gap, or asks for what is missing where it is persisted", async () => {
    const volatile = begun(false);
    const persisted = begun(true);
    for (const { chunk, clock } of [volatile, persisted]) {
      chunk(1);
      await clock.advance(2_000);
      await clock.advance(2_000);
    }
    await expect(volatile.wait.take()).rejects.toThrow(RunnerUnavailableError);
    expect(persisted.said).toEqual(["took 0", "took 0", "resumed"]);
    persisted.chunk(0);
    expect([await persisted.wait.take(), await persisted.wait.take()]).toEqual(["0", "1"]);
  });

  it("interrupts nothing of what another reader took", async () => {
    const { said, wait, chunk } = begun(true);
    chunk(3, 3);
    await expect(wait.take()).rejects.toThrow(InterruptedError);
    wait.end(false);
    expect(said).toEqual(["done"]);
  });

  it("fails where the end is no count", async () => {
    const { wait, ends } = begun(false);
    ends('"three"');
    await expect(wait.take()).rejects.toThrow(SerializationError);
  });

  it.each<[string, Exit]>([
    ["no JSON", { ok: true, value: "{" }],
    ["something that a later release escaped", { ok: true, value: '{"$":["Temporal",1]}' }],
    ["an error whose fields are none", { ok: false, error: errorWith("null") }],
    ["an error whose fields cannot be read", { ok: false, error: errorWith('{"at":{"$":["Temporal",1]}}') }],
  ])("fails where the end is %s, and tells nobody else", async (_what, exit) => {
    const { wait, chunk } = begun(false);
    chunk(0);
    wait.reply({ requestId: "r1", exit }, 0, 1);
    expect(await wait.take()).toBe("0");
    await expect(wait.take()).rejects.toThrow(SerializationError);
  });

  it("gives out what came late before an error that cannot be read", async () => {
    const { said, wait, chunk } = begun(true);
    wait.reply({ requestId: "r1", exit: { ok: false, error: errorWith("null") } }, 0, 1);
    const first = wait.take();
    chunk(0);
    expect(await first).toBe("0");
    await expect(wait.take()).rejects.toThrow(SerializationError);
    wait.end(false);
    expect(said.at(-1)).toBe("done");
  });
});
