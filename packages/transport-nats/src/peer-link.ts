// PeerLink: what one member and one start of a peer have with each other: two subjects, and what is on its way.
//
//   opening -> open -> ending -> closed, or closed from any of them
//
// NATS drops messages without a word where a subscriber is slow, a server restarts or a route breaks, and knows no
// connection between two of its clients. Frames have numbers for that.
//
//   L1  Frames are read in the order of their numbers. One that is missing ends the link: what came after it is not read.
//       So each message arrives once, in order, or not at all. That the last ones are missing shows when the other end asks
//       for them (L7).
//   L2  No message is published before the peer said who it is. What is queued until then surely did not arrive.
//   L3  At most `maxInFlightBytes`, and one frame, are published and not acknowledged: a server cuts off a subscriber for
//       which too much waits. What may not be published yet waits in a bounded queue (Q2).
//   L4  `closed` is told once. Of what surely was not read it has the messages, in the order in which they were sent.
//   L5  Nothing is published within `send`.
//   L6  Once it is open, it reads what comes from the other end alone. Another start of the peer's may have answered, too.
//   L7  What is not acknowledged from one tick to the next is asked for, with the number of the last frame: none that could show a
//       gap may follow, where what is on its way has reached its bound.

import { SendQueue, type QueueBounds, type WireMessage } from "@holdfast/core/adapter";
import {
  encodeAck,
  encodeAsk,
  encodeBye,
  encodeData,
  encodeGreeting,
  encodeReply,
  type Frame,
  type Greeting,
} from "./frame.ts";

export interface PeerLinkOptions {
  /** Who the peer is. */
  readonly address: string;
  readonly own: Greeting;
  readonly bounds: QueueBounds;
  readonly maxInFlightBytes: number;
  readonly connectTimeoutMs: number;
  /** How large a frame's messages may be together. */
  readonly frameBytes: () => number;
  /** Whether it could be handed to the client. */
  readonly publish: (subject: string, frame: Buffer, replyTo: string) => boolean;
  readonly receive: (message: WireMessage) => void;
  readonly closed: (end: LinkEnd) => void;
}

/** Why a link is over. */
export type EndReason =
  | "ended"
  | "bye"
  | "no responders"
  | "time-out"
  | "silent"
  | "frames missing"
  | "superseded"
  | "violation"
  | "disconnected";

export interface LinkEnd {
  readonly reason: EndReason;
  /** What surely was not read by the peer. */
  readonly undelivered: readonly WireMessage[];
  /** Whether anything else may have been lost. */
  readonly wasOpen: boolean;
}

/** A frame that was published, until the peer says that it came. */
interface InFlight {
  readonly seq: number;
  readonly bytes: number;
  readonly messages: readonly WireMessage[];
}

/** What a frame counts for besides its messages: many small ones are no less to keep. */
const FRAME_COST_BYTES = 256;

export class PeerLink {
  readonly #options: PeerLinkOptions;
  readonly #queue: SendQueue;
  readonly #openTimer: NodeJS.Timeout;
  #state: "opening" | "open" | "ending" | "closed" = "opening";
  /** The peer's end of the link. */
  #remote: string | null = null;
  #inFlight: InFlight[] = [];
  #inFlightBytes = 0;
  /** The last frame that was published, and the last that came. */
  #sent = 0;
  #received = 0;
  #isFlushing = false;
  #owesAck = false;
  #isGreeting = false;
  #hasEnded = false;
  #hasHeard = true;
  #silentTicks = 0;
  /** The first frame that was not acknowledged at the last tick. */
  #unacknowledged: number | null = null;

  constructor(options: PeerLinkOptions) {
    this.#options = options;
    this.#queue = new SendQueue(options.bounds);
    this.#openTimer = setTimeout(() => this.close("time-out"), options.connectTimeoutMs);
    this.#openTimer.unref();
  }

  /** Whether new messages may be given to it. */
  get takesMessages(): boolean {
    return this.#state === "opening" || this.#state === "open";
  }

  get remote(): string | null {
    return this.#remote;
  }

  /** Asks the peer who it is. */
  greet(): void {
    this.#isGreeting = true;
    this.#flushSoon();
  }

  /** The peer asked, or both did at once: answers, and takes it for this link's other end. */
  accept(remote: string): void {
    if (this.#state !== "opening") return;
    this.#isGreeting = false;
    this.#publish(remote, encodeGreeting("welcome", this.#options.own));
    // It could not be published, and the link is over.
    if (this.#isClosed()) return;
    this.#open(remote);
  }

  /** Whether the queue had room. */
  send(message: WireMessage, bytes: Uint8Array): boolean {
    if (!this.#queue.add(message, bytes)) return false;
    this.#flushSoon();
    return true;
  }

  /** `from` is where the frame comes from: the other end, or the peer's address if it has none. */
  read(frame: Frame, from: string): void {
    if (this.#state === "closed") return;
    if (this.#state === "opening") return this.#readAnswer(frame, from);
    if (from !== this.#remote) return;
    this.#hasHeard = true;
    switch (frame.kind) {
      case "hello":
      case "welcome":
        // Said before a link is open, and never after.
        return;
      case "bye":
        return this.#end("bye", frame.ack === null ? null : frame.ack + 1);
      case "ack":
        // Frames come in the order in which they were published: what was before this one is lost by now.
        if (frame.sent !== null && frame.sent > this.#received) return this.close("frames missing");
        this.#acknowledged(frame.ack);
        if (frame.asks) this.#oweAck();
        return;
      case "data":
        return this.#readMessages(frame);
    }
  }

  /**
   * The server knew nobody at the other end when a frame came. `seq` is the number of that frame, so neither it nor one
   * after it was read; null: it had none, and a frame that was published after it may have been read all the same.
   */
  noResponders(seq: number | null): void {
    this.#end("no responders", seq);
  }

  /**
   * Called every `keepAliveMs`: a peer of which nothing came is asked once, and given up at the next tick. One that did not say
   * that a frame came is asked, too (L7).
   */
  tick(): void {
    if (this.#state !== "open" && this.#state !== "ending") return;
    if (this.#hasHeard) this.#silentTicks = 0;
    else this.#silentTicks += 1;
    this.#hasHeard = false;
    const before = this.#unacknowledged;
    this.#unacknowledged = this.#inFlight[0]?.seq ?? null;
    const isWaiting = before !== null && before === this.#unacknowledged;
    if (this.#silentTicks >= 2) this.close("silent");
    else if (this.#silentTicks === 1 || isWaiting) this.#publishAck(true);
  }

  /** Sends what is queued, then ends. */
  end(): void {
    this.#hasEnded = true;
    if (this.#state === "open") {
      this.#state = "ending";
      this.#flushSoon();
    } else if (this.#state === "opening" && this.#queue.isEmpty) this.close("ended");
  }

  /** Ends the link now. Tells the peer, unless there is nothing to tell it with. */
  close(reason: Exclude<EndReason, "bye" | "no responders">): void {
    if (this.#state === "closed") return;
    if (this.#remote !== null && reason !== "disconnected") {
      const replyTo = encodeReply({ link: this.#options.own.link, seq: null });
      this.#options.publish(this.#remote, encodeBye(this.#received), replyTo);
    }
    this.#end(reason, null);
  }

  #readAnswer(frame: Frame, from: string): void {
    if (frame.kind === "welcome" && from === frame.greeting.link) this.#open(from);
    else if (frame.kind === "bye" && from === this.#options.address) this.#end("bye", null);
  }

  #open(remote: string): void {
    clearTimeout(this.#openTimer);
    this.#remote = remote;
    this.#state = this.#hasEnded ? "ending" : "open";
    this.#hasHeard = true;
    this.#flushSoon();
  }

  #readMessages({ seq, ack, asks, messages }: Extract<Frame, { kind: "data" }>): void {
    if (seq !== this.#received + 1) return this.close("frames missing");
    this.#received = seq;
    this.#acknowledged(ack);
    if (asks) this.#oweAck();
    for (const message of messages) this.#options.receive(message);
  }

  #acknowledged(ack: number): void {
    let count = 0;
    for (const { seq, bytes } of this.#inFlight) {
      if (seq > ack) break;
      this.#inFlightBytes -= bytes;
      count += 1;
    }
    if (count === 0) return;
    this.#inFlight.splice(0, count);
    if (!this.#queue.isEmpty) this.#flushSoon();
  }

  #oweAck(): void {
    this.#owesAck = true;
    this.#flushSoon();
  }

  /** Once in a turn of the event loop: what is sent in the same turn shares a frame. */
  #flushSoon(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    setImmediate(() => {
      this.#isFlushing = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#isGreeting && this.#state === "opening") {
      this.#isGreeting = false;
      return this.#publish(this.#options.address, encodeGreeting("hello", this.#options.own));
    }
    if (this.#state !== "open" && this.#state !== "ending") return;
    while (this.#inFlightBytes < this.#options.maxInFlightBytes) {
      const messages = this.#queue.take(this.#options.frameBytes());
      if (messages.length === 0) break;
      this.#publishMessages(messages);
      if (this.#isClosed()) return;
    }
    if (this.#owesAck) this.#publishAck(false);
    if (this.#state === "ending" && this.#queue.isEmpty) this.close("ended");
  }

  #publishMessages(queued: ReturnType<SendQueue["take"]>): void {
    const seq = (this.#sent += 1);
    const bytes = queued.reduce((sum, entry) => sum + entry.bytes.length, FRAME_COST_BYTES);
    this.#inFlight.push({ seq, bytes, messages: queued.map(({ message }) => message) });
    this.#inFlightBytes += bytes;
    this.#owesAck = false;
    const asks = this.#inFlightBytes * 2 >= this.#options.maxInFlightBytes;
    const frame = encodeData(
      { seq, ack: this.#received, asks },
      queued.map((entry) => entry.bytes),
    );
    this.#publish(this.#remote ?? "", frame, seq);
  }

  #publishAck(asks: boolean): void {
    this.#owesAck = false;
    const frame = asks ? encodeAsk(this.#received, this.#sent) : encodeAck(this.#received);
    this.#publish(this.#remote ?? "", frame);
  }

  /** `seq` is the number of a frame with messages: it and what comes after it was not read if nobody is there. */
  #publish(subject: string, frame: Buffer, seq: number | null = null): void {
    const replyTo = encodeReply({ link: this.#options.own.link, seq });
    if (!this.#options.publish(subject, frame, replyTo)) this.#end("disconnected", seq);
  }

  #isClosed(): boolean {
    return this.#state === "closed";
  }

  /** `unread` is the first frame that surely was not read, null: that is not known of any. */
  #end(reason: EndReason, unread: number | null): void {
    if (this.#state === "closed") return;
    const wasOpen = this.#state !== "opening";
    this.#state = "closed";
    clearTimeout(this.#openTimer);
    const unreadFrames = unread === null ? [] : this.#inFlight.filter(({ seq }) => seq >= unread);
    const undelivered = [...unreadFrames.flatMap(({ messages }) => messages), ...this.#queue.takeAll()];
    this.#inFlight = [];
    this.#options.closed({ reason, undelivered, wasOpen });
  }
}
