import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import { sampleRequest } from "../../test/sample-request.ts";
import { VirtualClock } from "../clock/virtual-clock.ts";
import type { Envelope } from "../data/envelope.ts";
import type { Reply } from "../data/reply.ts";
import type { DeliveryListener } from "../entity/outgoing.ts";
import { ConfigError } from "../errors/config.ts";
import { MailboxFullError } from "../errors/routing.ts";
import type { CallLimits } from "./call-limits.ts";
import { AcceptanceWait, ReplyWait } from "./call-wait.ts";

const REQUEST = sampleRequest();
const REPLY: Reply = { requestId: "r1", exit: { ok: true, value: "2" } };
const FULL = new MailboxFullError({ entity: "Counter/a", capacity: 1 });

/** What a wait stands on. `answer` is what becomes of a request while it is sent. */
class Wires {
  readonly clock = new CountingClock();
  readonly said: string[] = [];
  listener: DeliveryListener | null = null;
  readonly delivery = {
    send: (_envelope: Envelope, listener: DeliveryListener): void => {
      this.said.push("sent");
      this.listener = listener;
      this.answer(listener);
    },
    abandon: (requestId: string): void => void this.said.push(`abandoned ${requestId}`),
    done: (): void => undefined,
  };
  readonly answer: (listener: DeliveryListener) => void;

  constructor(answer: (listener: DeliveryListener) => void = () => undefined) {
    this.answer = answer;
  }
}

class CountingClock extends VirtualClock {
  timers = 0;

  override setTimer(delayMs: number, fire: () => void): ReturnType<VirtualClock["setTimer"]> {
    this.timers += 1;
    return super.setTimer(delayMs, fire);
  }
}

function limits(): CallLimits & { readonly abort: AbortController } {
  const abort = new AbortController();
  return { timeout: "1s", signal: abort.signal, abort };
}

describe("a call that is answered while it is sent", () => {
  it("has its answer at once, sets no timer, and leaves nothing at its signal", () => {
    const wires = new Wires((listener) => listener.reply(REPLY, 0, 0));
    const { timeout, signal } = limits();
    expect(new ReplyWait(wires, REQUEST, { timeout, signal }).outcome()).toBe(REPLY);
    expect(wires.clock.timers).toBe(0);
    expect(getEventListeners(signal as AbortSignal, "abort")).toEqual([]);
  });

  it("throws what it failed with", () => {
    const wires = new Wires((listener) => listener.failed(FULL));
    expect(() => new AcceptanceWait(wires, REQUEST, limits()).outcome()).toThrow(FULL);
    expect(wires.clock.timers).toBe(0);
  });

  it("is interrupted, and its request abandoned, if its signal is aborted before the answer", () => {
    const { abort, ...options } = limits();
    const wires = new Wires((listener) => {
      abort.abort();
      listener.failed(FULL);
    });
    expect(() => new ReplyWait(wires, REQUEST, options).outcome()).toThrow(
      "its signal was aborted. It may have run in part",
    );
    expect(wires.said).toEqual(["sent", "abandoned r1"]);
    expect(wires.clock.timers).toBe(0);
  });
});

describe("a call that is answered later", () => {
  it("leaves no timer and nothing at its signal", async () => {
    const wires = new Wires();
    const { timeout, signal } = limits();
    const outcome = new ReplyWait(wires, REQUEST, { timeout, signal }).outcome();
    expect(wires.clock.timers).toBe(1);
    wires.listener?.reply(REPLY, 0, 0);
    await expect(outcome).resolves.toBe(REPLY);
    expect(getEventListeners(signal as AbortSignal, "abort")).toEqual([]);
    await wires.clock.advance(2_000);
    expect(wires.said).toEqual(["sent"]);
  });

  it("fails when its time is over, with its request abandoned", async () => {
    const wires = new Wires();
    const outcome = Promise.resolve(new ReplyWait(wires, REQUEST, limits()).outcome());
    const failed = expect(outcome).rejects.toMatchObject({ code: "TIMEOUT" });
    await wires.clock.advance(999);
    expect(wires.said).toEqual(["sent"]);
    await wires.clock.advance(1);
    await failed;
    expect(wires.said).toEqual(["sent", "abandoned r1"]);
  });
});

describe("a call whose signal was aborted before", () => {
  it.each([ReplyWait, AcceptanceWait])("is not sent: %o", (Wait) => {
    const wires = new Wires((listener) => listener.failed(FULL));
    const wait = new Wait(wires, REQUEST, { signal: AbortSignal.abort() });
    expect(() => wait.outcome()).toThrow("its signal was aborted. It did not run.");
    expect(wires.said).toEqual([]);
  });
});

describe("a call with a key whose signal was aborted before", () => {
  it("is not sent, and may have run: it may have been sent under its key before", () => {
    const wires = new Wires();
    const wait = new ReplyWait(wires, sampleRequest({ deduplicationKey: "k" }), {
      signal: AbortSignal.abort(),
    });
    expect(() => wait.outcome()).toThrow("It may have run in part");
    expect(wires.said).toEqual([]);
  });
});

describe("a call with something else for a signal", () => {
  it.each([null, {}, "abort", new AbortController()])("is refused before it is sent: %o", (signal) => {
    const wires = new Wires();
    const options = { signal } as unknown as CallLimits;
    expect(() => new ReplyWait(wires, REQUEST, options).outcome()).toThrow(ConfigError);
    expect(wires.said).toEqual([]);
  });
});
