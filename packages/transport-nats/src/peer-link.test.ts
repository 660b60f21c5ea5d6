import type { WireMessage } from "@holdfast/core/adapter";
import { describe, expect, it } from "vitest";
import { decodeFrame, decodeReply, encodeMessage, type Frame } from "./frame.ts";
import { PeerLink, type LinkEnd } from "./peer-link.ts";

const LIMIT = 1_000_000;
const REMOTE = "test.peer.1.1";

function ping(nonce: number | string): WireMessage {
  return { type: "ping", nonce: String(nonce) };
}

/** A link, and what it published and was told. */
class Bench {
  readonly published: { readonly subject: string; readonly frame: Frame; readonly replyTo: string }[] = [];
  readonly received: WireMessage[] = [];
  readonly ends: LinkEnd[] = [];
  isConnected = true;
  readonly link: PeerLink;

  constructor({ frameBytes = 1_000, maxInFlightBytes = 4_000, maxMessages = 100 } = {}) {
    this.link = new PeerLink({
      address: "test.peer",
      own: { address: "test.own", link: "test.own.1.1" },
      bounds: { maxMessages, maxBytes: LIMIT },
      maxInFlightBytes,
      connectTimeoutMs: 60_000,
      frameBytes: () => frameBytes,
      publish: (subject, frame, replyTo) => {
        if (this.isConnected) this.published.push({ subject, frame: decodeFrame(frame), replyTo });
        return this.isConnected;
      },
      receive: (message) => this.received.push(message),
      closed: (end) => this.ends.push(end),
    });
  }

  send(message: WireMessage): boolean {
    return this.link.send(message, encodeMessage(message, LIMIT));
  }

  welcome(): void {
    this.read({ kind: "welcome", greeting: { address: "test.peer", link: REMOTE } });
  }

  frames(): readonly Extract<Frame, { kind: "data" }>[] {
    return this.published.flatMap(({ frame }) => (frame.kind === "data" ? [frame] : []));
  }

  /** Frame `seq` of the peer. */
  data(seq: number, ...messages: readonly WireMessage[]): void {
    this.read({ kind: "data", seq, ack: 0, asks: false, messages });
  }

  /** The server says that nobody was there when the frame came that was published as number `index` of all, from 0. */
  nobodyHeard(index: number): void {
    this.link.noResponders(decodeReply(this.published[index]?.replyTo ?? "").seq);
  }

  /** The peer has every frame up to `ack`. */
  ack(ack: number, asks = false, sent: number | null = null): void {
    this.read({ kind: "ack", ack, asks, sent });
  }

  read(frame: Frame, from: string = REMOTE): void {
    this.link.read(frame, from);
  }
}

/** What was put off to the end of this turn has been done. */
async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

describe("a link", () => {
  it("publishes nothing within `send` (L5), and nothing but the greeting before the peer answered (L2)", async () => {
    const bench = new Bench();
    bench.send(ping(1));
    bench.link.greet();
    expect(bench.published).toEqual([]);
    await turn();
    expect(bench.published.map(({ subject, frame }) => [subject, frame.kind])).toEqual([
      ["test.peer", "hello"],
    ]);
    bench.welcome();
    await turn();
    expect(bench.published[1]).toMatchObject({ subject: REMOTE, replyTo: "test.own.1.1.1" });
  });

  it("sends in one frame what is sent in one turn, as far as it fits", async () => {
    const bench = new Bench({ frameBytes: 200 });
    bench.welcome();
    for (let index = 0; index < 10; index += 1) bench.send(ping(index));
    await turn();
    expect(bench.frames().length).toBeLessThan(5);
    expect(bench.frames().flatMap(({ messages }) => messages)).toEqual(
      Array.from({ length: 10 }, (_, index) => ping(index)),
    );
    expect(bench.frames().map(({ seq }) => seq)).toEqual(bench.frames().map((_, index) => index + 1));
  });

  it("publishes no more than its bound before the peer says what came, and goes on then (L3)", async () => {
    const bench = new Bench({ frameBytes: 500, maxInFlightBytes: 2_000 });
    bench.welcome();
    for (let index = 0; index < 20; index += 1) bench.send(ping(`${index}`.padEnd(400)));
    await turn();
    const before = bench.frames().length;
    expect(before).toBeLessThan(5);
    expect(bench.frames().at(-1)?.asks).toBe(true);
    bench.ack(2);
    await turn();
    expect(bench.frames()).toHaveLength(before + 2);
  });

  it("refuses what does not fit into its queue", async () => {
    const bench = new Bench({ maxMessages: 2 });
    expect([bench.send(ping(1)), bench.send(ping(2)), bench.send(ping(3))]).toEqual([true, true, false]);
  });

  it("ends where a frame is missing, without reading what came after it (L1)", () => {
    const bench = new Bench();
    bench.welcome();
    bench.data(1, ping(1));
    bench.data(3, ping(3));
    bench.data(2, ping(2));
    expect(bench.received).toEqual([ping(1)]);
    expect(bench.ends).toMatchObject([{ reason: "frames missing", wasOpen: true }]);
    expect(bench.published.at(-1)).toMatchObject({ subject: REMOTE, frame: { kind: "bye", ack: 1 } });
  });

  it("reads nothing of another start of the peer's, which answered as well (L6)", async () => {
    const bench = new Bench();
    const other = "test.peer.0.1";
    bench.welcome();
    bench.read({ kind: "welcome", greeting: { address: "test.peer", link: other } }, other);
    bench.send(ping(1));
    await turn();
    bench.read({ kind: "data", seq: 1, ack: 0, asks: false, messages: [ping(9)] }, other);
    bench.read({ kind: "bye", ack: 0 }, other);
    expect(bench.published.at(-1)?.subject).toBe(REMOTE);
    expect([bench.received, bench.ends]).toEqual([[], []]);
  });

  it("is refused by who has the peer's address, before it is open", () => {
    const bench = new Bench();
    bench.send(ping(1));
    bench.read({ kind: "bye", ack: null }, "test.peer");
    expect(bench.ends).toEqual([{ reason: "bye", wasOpen: false, undelivered: [ping(1)] }]);
  });

  it("reads no frame twice", () => {
    const bench = new Bench();
    bench.welcome();
    bench.data(1, ping(1));
    bench.data(1, ping(1));
    expect(bench.received).toEqual([ping(1)]);
  });

  it("gives back what surely was not read: from where nobody was, and what was queued, in order (L4)", async () => {
    const bench = new Bench({ frameBytes: 1, maxInFlightBytes: 1_200 });
    bench.welcome();
    for (let index = 1; index <= 8; index += 1) bench.send(ping(index));
    await turn();
    expect(bench.frames().length).toBeGreaterThan(2);
    bench.nobodyHeard(1);
    bench.nobodyHeard(2);
    const undelivered = Array.from({ length: 7 }, (_, index) => ping(index + 2));
    expect(bench.ends).toEqual([{ reason: "no responders", wasOpen: true, undelivered }]);
  });

  it("does not take an ack that nobody heard for proof that what was published after it was not read (L4)", async () => {
    const bench = new Bench();
    bench.welcome();
    bench.data(1, ping("theirs"));
    bench.ack(0, true);
    await turn();
    bench.send(ping(1));
    await turn();
    expect(bench.published.map(({ frame }) => frame.kind)).toEqual(["ack", "data"]);
    bench.send(ping(2));
    // By the time that this is read the peer may be there again, and have read frame 1.
    bench.nobodyHeard(0);
    expect(bench.ends).toEqual([{ reason: "no responders", wasOpen: true, undelivered: [ping(2)] }]);
  });

  it("does not take a welcome that nobody heard for such proof: the peer may have taken a greeting of this end's", async () => {
    const bench = new Bench();
    bench.link.greet();
    await turn();
    bench.link.accept(REMOTE);
    bench.send(ping(1));
    await turn();
    expect(bench.published.map(({ frame }) => frame.kind)).toEqual(["hello", "welcome", "data"]);
    bench.nobodyHeard(1);
    expect(bench.ends).toEqual([{ reason: "no responders", wasOpen: true, undelivered: [] }]);
  });

  it("gives back what waits where nobody heard its greeting", async () => {
    const bench = new Bench();
    bench.send(ping(1));
    bench.link.greet();
    await turn();
    bench.nobodyHeard(0);
    expect(bench.ends).toEqual([{ reason: "no responders", wasOpen: false, undelivered: [ping(1)] }]);
  });

  it("gives back what came after the last frame that a peer read that says goodbye, and nothing if it does not say", async () => {
    for (const [ack, undelivered] of [
      [1, [ping(2)]],
      [null, []],
    ] as const) {
      const bench = new Bench({ frameBytes: 1 });
      bench.welcome();
      bench.send(ping(1));
      bench.send(ping(2));
      await turn();
      bench.read({ kind: "bye", ack });
      expect(bench.ends).toEqual([{ reason: "bye", wasOpen: true, undelivered }]);
    }
  });

  it("asks a silent peer once, and gives it up at the next tick", async () => {
    const bench = new Bench();
    bench.welcome();
    bench.link.tick();
    expect(bench.published).toEqual([]);
    bench.link.tick();
    expect(bench.published).toMatchObject([{ subject: REMOTE, frame: { kind: "ack", asks: true } }]);
    bench.ack(0);
    bench.link.tick();
    expect(bench.ends).toEqual([]);
    bench.link.tick();
    bench.link.tick();
    expect(bench.ends).toMatchObject([{ reason: "silent" }]);
  });

  it("asks for what was not acknowledged since the last tick, although other frames come, and only for that (L7)", async () => {
    const bench = new Bench();
    bench.welcome();
    bench.send(ping(1));
    await turn();
    bench.link.tick();
    bench.data(1, ping(1));
    bench.link.tick();
    expect(bench.published.at(-1)).toMatchObject({ frame: { kind: "ack", ack: 1, asks: true, sent: 1 } });
    bench.ack(1);
    bench.send(ping(2));
    await turn();
    const before = bench.published.length;
    bench.link.tick();
    expect(bench.published).toHaveLength(before);
    expect(bench.ends).toEqual([]);
  });

  it("ends where the last frames are missing, of which none that follows tells", async () => {
    const bench = new Bench();
    bench.welcome();
    bench.data(1, ping(1));
    bench.ack(0, true, 1);
    expect(bench.ends).toEqual([]);
    bench.ack(0, true, 3);
    expect(bench.ends).toMatchObject([{ reason: "frames missing" }]);
    expect(bench.published.at(-1)).toMatchObject({ frame: { kind: "bye", ack: 1 } });
  });

  it("is free again after all that was on its way was lost, and says what surely was not read", async () => {
    // Two ends, and a path between them that loses what one of them sends for a while.
    let isWhole = true;
    const received: WireMessage[] = [];
    const ends: LinkEnd[] = [];
    const links = new Map<string, PeerLink>();
    const end = (own: string, peer: string): PeerLink => {
      const link = new PeerLink({
        address: peer,
        own: { address: own, link: `${own}.1` },
        bounds: { maxMessages: 100, maxBytes: LIMIT },
        maxInFlightBytes: 4_000,
        connectTimeoutMs: 60_000,
        frameBytes: () => 1_000,
        publish: (subject, frame, replyTo) => {
          const from = decodeReply(replyTo).link;
          if (isWhole || own !== "a") links.get(subject)?.read(decodeFrame(frame), from);
          return true;
        },
        receive: (message) => received.push(message),
        closed: (each) => ends.push(each),
      });
      links.set(`${own}.1`, link);
      return link;
    };
    const [a, b] = [end("a", "b"), end("b", "a")];
    b.accept("a.1");
    const messages = Array.from({ length: 30 }, (_, index) => ping(`${index}`.padEnd(400)));
    isWhole = false;
    for (const message of messages) a.send(message, encodeMessage(message, LIMIT));
    await turn();
    isWhole = true;
    for (let ticks = 0; ticks < 4; ticks += 1) {
      // The other direction is busy, so neither end is silent.
      b.send(ping("b"), encodeMessage(ping("b"), LIMIT));
      await turn();
      a.tick();
      b.tick();
      await turn();
    }
    expect(received.filter(({ type }) => type === "ping")).not.toContainEqual(messages[0]);
    expect(ends.map(({ reason }) => reason).toSorted()).toEqual(["bye", "frames missing"]);
    expect(ends.flatMap(({ undelivered }) => undelivered)).toEqual(messages);
  });

  it("answers who asks", async () => {
    const bench = new Bench();
    bench.welcome();
    bench.data(1, ping(1));
    bench.ack(0, true);
    await turn();
    expect(bench.published).toMatchObject([{ subject: REMOTE, frame: { kind: "ack", ack: 1, asks: false } }]);
  });

  it("sends what is queued before it says goodbye", async () => {
    const bench = new Bench();
    bench.send(ping(1));
    bench.link.greet();
    bench.link.end();
    expect(bench.link.takesMessages).toBe(true);
    bench.welcome();
    expect(bench.link.takesMessages).toBe(false);
    await turn();
    expect(bench.published.map(({ frame }) => frame.kind)).toEqual(["data", "bye"]);
    expect(bench.ends).toMatchObject([{ reason: "ended" }]);
  });

  it("stays closed that could not answer who greeted it", async () => {
    const bench = new Bench();
    bench.send(ping(1));
    bench.isConnected = false;
    bench.link.accept(REMOTE);
    bench.isConnected = true;
    await turn();
    expect(bench.link.takesMessages).toBe(false);
    expect(bench.published).toEqual([]);
    expect(bench.ends).toEqual([{ reason: "disconnected", wasOpen: false, undelivered: [ping(1)] }]);
  });

  it("gives back what the client did not take any more", async () => {
    const bench = new Bench();
    bench.welcome();
    bench.isConnected = false;
    bench.send(ping(1));
    await turn();
    expect(bench.ends).toEqual([{ reason: "disconnected", wasOpen: true, undelivered: [ping(1)] }]);
  });
});
