// NatsTransport: one member's subjects, and its links to its peers.
//
// A member hears at `prefix.name` from who does not know it yet, and at `prefix.name.start.*` from the other ends of its
// links. A start has subjects of its own, so that what is meant for a member that was started again never reaches the one
// that it stands in for, frozen as that may be.
//
//   N1  There is one link at most to each peer. Who is greeted while it has one lost the other end of it.
//   N2  Without a connection to a server nothing is sent: messages come back as undelivered at once.
//   N3  The listener hears nothing within `send`, and nothing once `close` resolved.

import {
  ProtocolViolation,
  type Random,
  type Transport,
  type TransportListener,
  type WireMessage,
} from "@holdfast/core/adapter";
import type { Msg } from "@nats-io/transport-node";
import {
  decodeFrame,
  decodeReply,
  encodeBye,
  encodeMessage,
  encodeReply,
  FRAME_OVERHEAD_BYTES,
  type Frame,
  type Greeting,
} from "./frame.ts";
import type { NatsSettings } from "./options.ts";
import { PeerLink, type LinkEnd } from "./peer-link.ts";
import { ServerConnection } from "./server-connection.ts";

/** What happened since the start. */
export interface NatsCounters {
  /** Frames that are none of this protocol. */
  violations: number;
  /** Peers at whose subject nobody was, and peers that did not answer although somebody was. */
  noResponders: number;
  timeOuts: number;
  /** Links of which frames were missing. */
  gaps: number;
  /** How often the connection to a server came back. */
  reconnects: number;
}

/** What exists between `start` and `close`. */
interface Started {
  readonly listener: TransportListener;
  readonly address: string;
  /** What the subjects of this start's links begin with. */
  readonly base: string;
  readonly connection: ServerConnection;
  readonly ticker: NodeJS.Timeout;
}

/** A frame is closed at this size, unless one message alone is larger: others would wait for long behind it. */
const FRAME_BYTES = 256 * 1_024;
const NO_RESPONDERS = 503;
const SUBJECT = /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+$/u;

export class NatsTransport implements Transport {
  readonly counters: NatsCounters = { violations: 0, noResponders: 0, timeOuts: 0, gaps: 0, reconnects: 0 };
  readonly #settings: NatsSettings;
  readonly #random: Random;
  #started: Started | null = null;
  #closing: Promise<void> | null = null;
  #linksMade = 0;
  /** The link to each peer (N1), and each link by the subject of this end. */
  readonly #links = new Map<string, PeerLink>();
  readonly #bySubject = new Map<string, PeerLink>();
  #noLinks: (() => void) | null = null;

  constructor(settings: NatsSettings, random: Random) {
    this.#settings = settings;
    this.#random = random;
  }

  async start(listener: TransportListener): Promise<string> {
    const { prefix, name, keepAliveMs } = this.#settings;
    const address = `${prefix}.${name ?? this.#random.id()}`;
    const base = `${address}.${this.#random.id()}`;
    const connection = await ServerConnection.open(this.#settings, this.#random, {
      lost: () => this.#connectionLost(),
      restored: () => {
        this.counters.reconnects += 1;
      },
    });
    // Closed while it was connecting: it started, and is over.
    if (this.#closing !== null) {
      await connection.close(0);
      return address;
    }
    const ticker = setInterval(() => {
      for (const link of this.#bySubject.values()) link.tick();
    }, keepAliveMs);
    ticker.unref();
    this.#started = { listener, address, base, connection, ticker };
    try {
      await connection.subscribe([address, `${base}.>`], (message) => this.#read(message));
    } catch (error) {
      const isClosed = this.#closing !== null;
      await this.close(0);
      if (!isClosed) throw error;
    }
    return address;
  }

  /** Does nothing before `start` and after `close`. */
  send(to: string, message: WireMessage): void {
    const started = this.#started;
    if (started === null) return;
    const bytes = encodeMessage(message, started.connection.maxPayload - FRAME_OVERHEAD_BYTES);
    const link = this.#links.get(to);
    if (link?.takesMessages === true && link.send(message, bytes)) return;
    const isRefused = link !== undefined || this.#closing !== null;
    if (isRefused || !started.connection.isConnected || !SUBJECT.test(to))
      return this.#undelivered(to, message);
    const dialed = this.#link(started, to);
    dialed.send(message, bytes);
    dialed.greet();
  }

  close(timeoutMs: number): Promise<void> {
    this.#closing ??= this.#close(timeoutMs);
    return this.#closing;
  }

  async #close(timeoutMs: number): Promise<void> {
    const started = this.#started;
    if (started === null) return;
    const until = performance.now() + timeoutMs;
    for (const link of this.#bySubject.values()) link.end();
    if (timeoutMs > 0) await this.#allEnded(timeoutMs);
    // Nobody is told any more: what is ended from here on is ended by this member.
    this.#started = null;
    clearInterval(started.ticker);
    for (const link of this.#bySubject.values()) link.close("ended");
    await started.connection.close(Math.max(0, until - performance.now()));
  }

  async #allEnded(timeoutMs: number): Promise<void> {
    if (this.#bySubject.size === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#noLinks = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Called for each message that comes. Never throws (S4). */
  #read(message: Msg): void {
    const started = this.#started;
    if (started === null) return;
    try {
      if (message.data.length === 0 && message.headers?.code === NO_RESPONDERS) this.#nobodyThere(message);
      else this.#readFrame(started, message, decodeFrame(message.data));
    } catch (error) {
      this.#violated(started, message, error);
    }
  }

  #nobodyThere({ subject }: Msg): void {
    const { link, seq } = decodeReply(subject);
    this.#bySubject.get(link)?.noResponders(seq);
  }

  #readFrame(started: Started, message: Msg, frame: Frame): void {
    if (message.subject === started.address) return this.#greeted(started, frame);
    const link = this.#bySubject.get(message.subject);
    if (link !== undefined) link.read(frame, decodeReply(message.reply ?? "").link);
    else if (frame.kind !== "bye") this.#notKnown(started, message);
  }

  /** Somebody who has no link wants one. @throws {ProtocolViolation} */
  #greeted(started: Started, frame: Frame): void {
    if (frame.kind !== "hello") throw new ProtocolViolation("no greeting");
    const { address, link: remote } = frame.greeting;
    // Answers go to subjects of members only, whoever asks.
    if (!isMember(this.#settings.prefix, frame.greeting)) throw new ProtocolViolation("a name of no member");
    const known = this.#links.get(address);
    if (known?.remote === remote) return;
    // Both asked at once: one link serves both.
    if (known?.remote === null) return known.accept(remote);
    // One that was frozen while its successor of the same name took its place goes on for a moment.
    const isOutdated = known?.remote != null && startOf(address, remote) < startOf(address, known.remote);
    if (this.#closing !== null || isOutdated) return this.#sayBye(started, remote, started.address);
    // It is there before the listener hears of the old one: what that sends at once goes on it, and dials no other (N1).
    const link = this.#link(started, address);
    known?.close("superseded");
    link.accept(remote);
  }

  /** What is no frame ends the link that it came on, and nothing else. */
  #violated(started: Started, message: Msg, error: unknown): void {
    this.counters.violations += 1;
    const link = this.#bySubject.get(message.subject);
    if (link !== undefined) link.close("violation");
    // Of another version, it is to learn at once that it gets no answer.
    else if (error instanceof ProtocolViolation && error.isVersion) this.#notKnown(started, message);
  }

  #notKnown(started: Started, { subject, reply = "" }: Msg): void {
    const { link } = decodeReply(reply);
    if (link.startsWith(`${this.#settings.prefix}.`)) this.#sayBye(started, link, subject);
  }

  /** `from` is where the other end believes this one to be. */
  #sayBye({ connection }: Started, to: string, from: string): void {
    connection.publish(to, encodeBye(null), encodeReply({ link: from, seq: null }));
  }

  #connectionLost(): void {
    for (const link of this.#bySubject.values()) link.close("disconnected");
  }

  #link({ connection, address, base }: Started, to: string): PeerLink {
    this.#linksMade += 1;
    const own: Greeting = { address, link: `${base}.${this.#linksMade}` };
    const { maxQueuedMessages, maxQueuedBytes, maxInFlightBytes, connectTimeoutMs } = this.#settings;
    const link = new PeerLink({
      address: to,
      own,
      bounds: { maxMessages: maxQueuedMessages, maxBytes: maxQueuedBytes },
      maxInFlightBytes,
      connectTimeoutMs,
      frameBytes: () => Math.min(FRAME_BYTES, connection.maxPayload - FRAME_OVERHEAD_BYTES),
      publish: (subject, frame, replyTo) => connection.publish(subject, frame, replyTo),
      receive: (message) => this.#started?.listener.receive(to, message),
      closed: (end) => {
        this.#bySubject.delete(own.link);
        if (this.#links.get(to) === link) this.#links.delete(to);
        this.#ended(to, end);
      },
    });
    this.#links.set(to, link);
    this.#bySubject.set(own.link, link);
    return link;
  }

  #ended(peer: string, { reason, undelivered, wasOpen }: LinkEnd): void {
    if (reason === "no responders") this.counters.noResponders += 1;
    else if (reason === "time-out") this.counters.timeOuts += 1;
    else if (reason === "frames missing") this.counters.gaps += 1;
    for (const message of undelivered) this.#started?.listener.undelivered(peer, message);
    if (wasOpen) this.#started?.listener.disconnected(peer);
    if (this.#bySubject.size === 0) this.#noLinks?.();
  }

  #undelivered(to: string, message: WireMessage): void {
    setImmediate(() => this.#started?.listener.undelivered(to, message));
  }
}

/** Which start of a member an end of a link is of. Of two the later is the greater. */
function startOf(address: string, link: string): string {
  return link.slice(address.length + 1).replace(/\..*$/u, "");
}

function isMember(prefix: string, { address, link }: Greeting): boolean {
  return (
    address.startsWith(`${prefix}.`) &&
    link.startsWith(`${address}.`) &&
    SUBJECT.test(link) &&
    link.length < 512
  );
}
