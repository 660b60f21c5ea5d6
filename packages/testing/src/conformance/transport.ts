import {
  PayloadTooLargeError,
  shardIdOf,
  type Envelope,
  type Transport,
  type TransportListener,
  type WireMessage,
} from "@holdfast/core/adapter";
import { failure } from "./storage-case.ts";
import type { TransportBackend, TransportFactory } from "./transport-backend.ts";
import { suiteArguments } from "./suite-arguments.ts";
import { vitest } from "./vitest-api.ts";

/** Defines the vitest cases that every Transport must pass: one for each sentence of the interface, and more. */
export function transportConformance(factory: TransportFactory): void;
export function transportConformance(name: string, factory: TransportFactory): void;
export function transportConformance(
  nameOrFactory: string | TransportFactory,
  factory?: TransportFactory,
): void {
  const { describe } = vitest();
  const [name, make] = suiteArguments("transportConformance", "a Transport", nameOrFactory, factory);
  describe(name, () => {
    delivery(make);
    failures(make);
    closing(make);
  });
}

type Heard =
  | { readonly type: "received"; readonly from: string; readonly message: WireMessage }
  | { readonly type: "undelivered"; readonly to: string; readonly message: WireMessage }
  | { readonly type: "disconnected"; readonly peer: string };

/** A member of the network: its transport, and what its listener was told. */
class Member implements TransportListener {
  readonly transport: Transport;
  address = "";
  readonly heard: Heard[] = [];
  /** Called with each message that came. */
  answer: ((from: string, message: WireMessage) => void) | null = null;
  readonly #waiting: { readonly enough: () => boolean; readonly resolve: () => void }[] = [];

  constructor(transport: Transport) {
    this.transport = transport;
  }

  receive(from: string, message: WireMessage): void {
    this.#tell({ type: "received", from, message });
    this.answer?.(from, message);
  }

  undelivered(to: string, message: WireMessage): void {
    this.#tell({ type: "undelivered", to, message });
  }

  disconnected(peer: string): void {
    this.#tell({ type: "disconnected", peer });
  }

  received(): WireMessage[] {
    return this.heard.flatMap((event) => (event.type === "received" ? [event.message] : []));
  }

  /** Resolves when what was heard is `enough`. The case's time-out is the limit. */
  async until(enough: (heard: readonly Heard[]) => boolean): Promise<void> {
    if (enough(this.heard)) return;
    await new Promise<void>((resolve) => this.#waiting.push({ enough: () => enough(this.heard), resolve }));
  }

  async untilReceived(count: number): Promise<void> {
    await this.until(() => this.received().length >= count);
  }

  #tell(event: Heard): void {
    this.heard.push(event);
    for (const { enough, resolve } of this.#waiting) if (enough()) resolve();
  }
}

class TransportCase {
  readonly backend: TransportBackend;
  readonly #members: Member[] = [];

  constructor(backend: TransportBackend) {
    this.backend = backend;
  }

  async join(): Promise<Member> {
    const member = new Member(await this.backend.open());
    this.#members.push(member);
    member.address = await member.transport.start(member);
    return member;
  }

  async end(): Promise<void> {
    for (const { transport } of this.#members) await transport.close(1_000);
    await this.backend.dispose();
  }
}

function transportCases(
  factory: TransportFactory,
): (body: (context: TransportCase) => Promise<void>) => () => Promise<void> {
  return (body) => async () => {
    const context = new TransportCase(await factory());
    try {
      await body(context);
    } finally {
      await context.end();
    }
  };
}

function ping(nonce: number | string): WireMessage {
  return { type: "ping", nonce: String(nonce) };
}

function request(payload: string): WireMessage {
  const envelope: Envelope = {
    requestId: "0190b2c0a3e07fff8000000000000001",
    address: { entityType: "Counter", entityId: "a/ü 🚀", shardId: shardIdOf("a:group", 7) },
    tag: "increment",
    payload,
    headers: { tenant: "ä\n'\"", empty: "" },
    persisted: true,
    expects: "stream",
    deduplicationKey: "key",
    deliverAt: 1_893_456_000_123,
    uninterruptible: true,
    fromInside: true,
    sender: "memory://1",
    readPendingFirst: true,
  };
  return { type: "request", envelope };
}

function delivery(factory: TransportFactory): void {
  const { describe, expect, it } = vitest();
  const run = transportCases(factory);

  describe("a message", () => {
    it(
      "reaches the member at the address that `start` returned, which can answer to where it came from",
      run(async (context) => {
        const [first, second] = [await context.join(), await context.join()];
        expect(first.address).not.toBe(second.address);
        second.answer = (from, message) => {
          if (message.type === "ping") second.transport.send(from, { type: "pong", nonce: message.nonce });
        };
        first.transport.send(second.address, ping(7));
        await first.untilReceived(1);
        expect(first.received()).toEqual([{ type: "pong", nonce: "7" }]);
      }),
    );

    it(
      "of every type arrives as it was sent",
      run(async (context) => {
        const [first, second] = [await context.join(), await context.join()];
        const { envelope } = request('{"text":"\\u0000 ü 🚀"}') as { envelope: Envelope };
        const bare: Envelope = {
          ...envelope,
          payload: "",
          headers: {},
          persisted: false,
          deduplicationKey: null,
          deliverAt: null,
        };
        const requestId = envelope.requestId;
        const error = {
          ...failure("no\n"),
          code: "E1",
          stack: "at x",
          data: "{}",
          own: true,
          cause: failure(""),
        };
        const messages: WireMessage[] = [
          { type: "request", envelope },
          {
            type: "request",
            envelope: { ...bare, expects: "reply", uninterruptible: false, fromInside: false },
          },
          {
            type: "request",
            envelope: { ...bare, expects: "acceptance", readPendingFirst: false, deliverAt: 0 },
          },
          { type: "request", envelope, sending: 3 },
          { type: "request", envelope, sending: 1, readFrom: 2 ** 31 },
          { type: "accepted", requestId },
          { type: "rejected", requestId, code: "MAILBOX_FULL", detail: "ünder" },
          { type: "rejected", requestId, code: "NOT_ASSIGNED", detail: "" },
          { type: "reply", reply: { requestId, exit: { ok: true, value: "[1]" } } },
          { type: "reply", reply: { requestId, exit: { ok: true, value: "" } } },
          { type: "reply", reply: { requestId, exit: { ok: false, error } } },
          { type: "reply", reply: { requestId, exit: { ok: true, value: "300" } }, keptFrom: 300 },
          {
            type: "reply",
            reply: { requestId, exit: { ok: false, error } },
            keptFrom: 1,
            chunkCount: 2 ** 31,
          },
          { type: "chunk", chunk: { requestId, index: 0, value: "" } },
          { type: "chunk", chunk: { requestId, index: 2 ** 31, value: "x" } },
          { type: "chunk", chunk: { requestId, index: 2 ** 31, value: "x" }, keptFrom: 2 ** 31 },
          { type: "acknowledge", requestId, upTo: 0 },
          { type: "interrupt", requestId, shardId: shardIdOf("a:group", 7) },
          { type: "probe", requestId },
          { type: "known", requestId, known: false },
          { type: "known", requestId, known: true },
          { type: "wake", shardIds: [] },
          { type: "wake", shardIds: ["default:1", "other:2"] },
          { type: "released", shardIds: ["default:0"] },
          { type: "ping", nonce: "" },
          { type: "pong", nonce: "n" },
        ];
        for (const message of messages) first.transport.send(second.address, message);
        await second.untilReceived(messages.length);
        expect(second.received()).toEqual(messages);
      }),
    );

    it(
      "is not handed over within the call that sends it",
      run(async (context) => {
        const [first, second] = [await context.join(), await context.join()];
        first.transport.send(second.address, ping(1));
        first.transport.send(context.backend.deadAddress, ping(2));
        expect([...first.heard, ...second.heard]).toEqual([]);
        await second.untilReceived(1);
      }),
    );

    it(
      "arrives after those sent to the same member before it, and none arrives twice",
      run(async (context) => {
        const [first, second, third] = [await context.join(), await context.join(), await context.join()];
        const count = 2_000;
        for (let index = 0; index < count; index += 1) {
          // Some are large, so that they would be overtaken where size decides.
          const message =
            index % 500 === 0
              ? { type: "accepted" as const, requestId: `${index}`.padEnd(100_000) }
              : ping(index);
          first.transport.send(second.address, message);
          if (index % 10 === 0) third.transport.send(second.address, { type: "pong", nonce: String(index) });
          if (index % 700 === 0) await context.backend.settle();
        }
        await second.untilReceived(count + count / 10);
        await context.backend.settle();
        const numbers = (type: string): number[] =>
          second.heard.flatMap((event) => {
            if (event.type !== "received") return [];
            const { message } = event;
            if (message.type === "accepted") return type === "ping" ? Number(message.requestId) : [];
            return message.type === type && "nonce" in message ? Number(message.nonce) : [];
          });
        expect(numbers("ping")).toEqual(Array.from({ length: count }, (_, index) => index));
        expect(numbers("pong")).toEqual(Array.from({ length: count / 10 }, (_, index) => index * 10));
        expect(first.heard).toEqual([]);
      }),
    );

    it(
      "crosses one that comes the other way, also on the first contact of both",
      run(async (context) => {
        const [first, second] = [await context.join(), await context.join()];
        for (let index = 0; index < 50; index += 1) {
          first.transport.send(second.address, ping(index));
          second.transport.send(first.address, ping(index));
        }
        await Promise.all([first.untilReceived(50), second.untilReceived(50)]);
        const all = Array.from({ length: 50 }, (_, index) => ping(index));
        expect([first.received(), second.received()]).toEqual([all, all]);
      }),
    );

    it(
      "of a megabyte arrives whole, where nothing less is the limit",
      run(async (context) => {
        const [first, second] = [await context.join(), await context.join()];
        const limit = context.backend.maxMessageBytes ?? Number.POSITIVE_INFINITY;
        const message = request("x".repeat(Math.min(1_048_576, Math.floor(limit * 0.9) - 2_048)));
        first.transport.send(second.address, message);
        await second.untilReceived(1);
        expect(JSON.stringify(second.received()[0]) === JSON.stringify(message)).toBe(true);
      }),
    );
  });
}

function failures(factory: TransportFactory): void {
  const { describe, expect, it } = vitest();
  const run = transportCases(factory);

  describe("a message that cannot arrive", () => {
    it(
      "because nobody listens there comes back as undelivered, as it was given to `send`",
      run(async (context) => {
        const member = await context.join();
        const messages = [ping(1), request("{}"), ping(2)];
        for (const message of messages) member.transport.send(context.backend.deadAddress, message);
        await member.until(
          (heard) => heard.filter(({ type }) => type === "undelivered").length >= messages.length,
        );
        expect(member.heard.filter(({ type }) => type === "undelivered")).toEqual(
          messages.map((message) => ({ type: "undelivered", to: context.backend.deadAddress, message })),
        );
      }),
    );

    it(
      "because its member closed is told of, by undelivered or by disconnected",
      run(async (context) => {
        const [first, second] = [await context.join(), await context.join()];
        first.transport.send(second.address, ping(1));
        await second.untilReceived(1);
        await second.transport.close(1_000);
        await first.until((heard) => heard.some(({ type }) => type === "disconnected"));
        first.transport.send(second.address, ping(2));
        await first.until(
          (heard) =>
            heard.some(({ type }) => type === "undelivered") ||
            heard.filter(({ type }) => type === "disconnected").length > 1,
        );
      }),
    );

    it(
      "is never one that did: what was received is not said to be undelivered, whatever becomes of its member",
      run(async (context) => {
        const [first, second] = [await context.join(), await context.join()];
        first.transport.send(second.address, ping("contact"));
        await second.untilReceived(1);
        // On a connection that is there already.
        for (let index = 0; index < 20; index += 1) first.transport.send(second.address, ping(index));
        await second.untilReceived(21);
        await second.transport.close(0);
        await first.until(gone);
        await context.backend.settle();
        expect(first.heard.filter(({ type }) => type === "undelivered")).toEqual([]);
      }),
    );

    it(
      "does not hold up those to other members",
      run(async (context) => {
        const [first, second] = [await context.join(), await context.join()];
        for (let index = 0; index < 20; index += 1) {
          first.transport.send(context.backend.deadAddress, ping("lost"));
          first.transport.send(second.address, ping(index));
        }
        await second.untilReceived(20);
        expect(second.received()).toEqual(Array.from({ length: 20 }, (_, index) => ping(index)));
      }),
    );

    it(
      "because it is too large is refused by `send` with PayloadTooLargeError, and was not sent",
      run(async (context) => {
        const limit = context.backend.maxMessageBytes;
        if (limit === null) return;
        const [first, second] = [await context.join(), await context.join()];
        expect(() => first.transport.send(second.address, request("x".repeat(limit + 1)))).toThrow(
          PayloadTooLargeError,
        );
        first.transport.send(second.address, ping(1));
        await second.untilReceived(1);
        await context.backend.settle();
        expect(second.received()).toEqual([ping(1)]);
        expect(first.heard).toEqual([]);
      }),
    );
  });
}

function closing(factory: TransportFactory): void {
  const { describe, expect, it } = vitest();
  const run = transportCases(factory);

  describe("a member that closes", () => {
    it(
      "has sent what was queued, and its peers are told that it is gone, after that",
      run(async (context) => {
        const [leaving, sender, receiver] = [
          await context.join(),
          await context.join(),
          await context.join(),
        ];
        sender.transport.send(leaving.address, ping("contact"));
        await leaving.untilReceived(1);
        for (let index = 0; index < 200; index += 1) {
          leaving.transport.send(receiver.address, ping(index));
        }
        await leaving.transport.close(5_000);
        await Promise.all([sender.until(gone), receiver.until(gone)]);
        expect(receiver.received()).toEqual(Array.from({ length: 200 }, (_, index) => ping(index)));
        expect(receiver.heard.at(-1)?.type).toBe("disconnected");
        expect(sender.heard).toEqual([{ type: "disconnected", peer: leaving.address }]);
      }),
    );

    it(
      "is told nothing any more once `close` resolved, and may close twice",
      run(async (context) => {
        const [leaving, other] = [await context.join(), await context.join()];
        other.transport.send(leaving.address, ping(1));
        await leaving.untilReceived(1);
        leaving.transport.send(context.backend.deadAddress, ping(2));
        other.transport.send(leaving.address, ping(3));
        await leaving.transport.close(0);
        const heard = leaving.heard.length;
        await leaving.transport.close(0);
        other.transport.send(leaving.address, ping(4));
        await context.backend.settle();
        expect(leaving.heard).toHaveLength(heard);
      }),
    );

    it(
      "leaves the others connected",
      run(async (context) => {
        const [leaving, first, second] = [await context.join(), await context.join(), await context.join()];
        first.transport.send(second.address, ping(1));
        first.transport.send(leaving.address, ping(1));
        await Promise.all([second.untilReceived(1), leaving.untilReceived(1)]);
        await leaving.transport.close(0);
        first.transport.send(second.address, ping(2));
        await second.untilReceived(2);
        expect(second.heard.filter(({ type }) => type !== "received")).toEqual([]);
      }),
    );
  });
}

function gone(heard: readonly Heard[]): boolean {
  return heard.some(({ type }) => type === "disconnected");
}
