// Link: one stream to one peer, whichever end opened it.
//
//   opening -> open -> ending -> closed, or closed from any of them
//
//   L1  Nothing but the Hello is written before the peer's Hello was read, so that what is queued until then surely did
//       not arrive if the stream fails.
//   L2  What the stream does not take yet waits in a bounded queue (Q2), and goes on with `drain`.
//   L3  `closed` is told once, and after everything that was read before.
//   L4  Nothing is written that is larger than the peer reads: gRPC would end the stream for it, with all that is under way.

import {
  inPlaceOf,
  ProtocolViolation,
  SendQueue,
  type QueueBounds,
  type WireMessage,
} from "@holdfast/core/adapter";
import { decodeMessage, encodeMessage } from "./codec.ts";
import {
  decodeFrame,
  encodeHello,
  LEAST_MESSAGE_BYTES,
  packFrame,
  PROTOCOL_VERSION,
  UNSAID_MESSAGE_BYTES,
  type Hello,
} from "./protocol.ts";
import { tooLarge } from "./too-large.ts";

/** A frame is closed at this size, or what the peer reads, unless one message alone is larger: others would wait for long behind it. */
const FRAME_BYTES = 256 * 1_024;

/** As much of a gRPC stream as is used; of either end. */
export interface FrameStream {
  write(frame: Buffer): boolean;
  end(): void;
  on(event: "data", listener: (frame: Buffer) => void): unknown;
  on(event: "drain" | "end", listener: () => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
}

export interface LinkOptions {
  readonly stream: FrameStream;
  readonly own: Hello;
  readonly bounds: QueueBounds;
  readonly helloTimeoutMs: number;
  /** Ends the stream at once. The violation, if there was one, is why. */
  readonly cancel: (violation: ProtocolViolation | null) => void;
  /** The peer said who it is: messages may come and go. */
  readonly opened: (hello: Hello) => void;
  readonly receive: (message: WireMessage) => void;
  /** Messages that were queued before the peer said how much it reads, and are larger than that. Of an answer its error is sent. */
  readonly tooLarge: (messages: readonly WireMessage[]) => void;
  /** It is over. `unsent` was never written; `wasOpen` whether anything else may have been lost. */
  readonly closed: (end: { readonly unsent: readonly WireMessage[]; readonly wasOpen: boolean }) => void;
}

export class Link {
  readonly #options: LinkOptions;
  readonly #queue: SendQueue;
  readonly #helloTimer: NodeJS.Timeout;
  #state: "opening" | "open" | "ending" | "closed" = "opening";
  /** Which start of which member the peer is, and since when that is known (monotonic, in ms). */
  #peer: { readonly instanceId: string; readonly since: number } | null = null;
  #limitBytes: number;
  #wasOpen = false;
  #isFlushing = false;
  #isBlocked = false;
  #hasEnded = false;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#queue = new SendQueue(options.bounds);
    this.#limitBytes = options.own.maxMessageBytes;
    const { stream } = options;
    stream.on("data", (frame) => this.#read(frame));
    stream.on("drain", () => {
      this.#isBlocked = false;
      this.#flush();
    });
    stream.on("end", () => this.close());
    stream.on("error", () => this.close());
    this.#helloTimer = setTimeout(
      () => this.close(new ProtocolViolation("no Hello in time")),
      options.helloTimeoutMs,
    );
    this.#helloTimer.unref();
    stream.write(encodeHello(options.own));
  }

  /** Whether new messages may be given to it. */
  get takesMessages(): boolean {
    return this.#state === "opening" || this.#state === "open";
  }

  /** The largest message that both ends take, as far as that is known: before it is open, this end alone. */
  get limitBytes(): number {
    return this.#limitBytes;
  }

  /** Whether it is known to be of another start of the member than this one, so that nothing comes of it any more. */
  isOfAnotherStart({ instanceId }: Hello): boolean {
    return this.#peer !== null && this.#peer.instanceId !== instanceId;
  }

  /**
   * Whether a stream that this peer opened now shows that this one is of no use any more: it comes from another start of
   * the member, or from a peer that had this one to send on, and still opened another.
   */
  isSupersededBy(hello: Hello): boolean {
    if (this.#peer === null) return false;
    // Both ends may have opened one at once. A stream that is opened at that moment is here within the time-out.
    return (
      this.isOfAnotherStart(hello) || performance.now() - this.#peer.since > this.#options.helloTimeoutMs
    );
  }

  /** Whether the queue had room. `bytes` is no more than `limitBytes` of now. */
  send(message: WireMessage, bytes: Buffer): boolean {
    if (!this.#queue.add(message, bytes)) return false;
    this.#flushSoon();
    return true;
  }

  /** What was never written, and will not be any more. */
  takeUnsent(): readonly WireMessage[] {
    return this.#queue.takeAll();
  }

  /** Sends what is queued, then ends this half; the peer ends the other. */
  end(): void {
    if (this.#state === "closed" || this.#state === "ending") return;
    // Before it was open nothing may be written (L1): it goes on opening, and ends then.
    this.#hasEnded = true;
    if (this.#state === "open") {
      this.#state = "ending";
      this.#flush();
    } else if (this.#queue.isEmpty) this.close();
  }

  /** Ends the stream now. */
  close(violation: ProtocolViolation | null = null): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    clearTimeout(this.#helloTimer);
    this.#options.cancel(violation);
    this.#options.closed({ unsent: this.takeUnsent(), wasOpen: this.#wasOpen });
  }

  #read(bytes: Buffer): void {
    if (this.#state === "closed") return;
    try {
      const { hello, messages } = decodeFrame(bytes);
      if ((hello === undefined || hello === null) === !this.#wasOpen)
        throw new ProtocolViolation(this.#wasOpen ? "a second Hello" : "no Hello in the first frame");
      if (hello !== undefined && hello !== null) this.#open(hello);
      for (const message of messages) {
        const read = decodeMessage(message);
        if (this.#isClosed()) return;
        this.#options.receive(read);
      }
    } catch (error) {
      this.close(
        error instanceof ProtocolViolation
          ? error
          : new ProtocolViolation("a frame that cannot be read", { cause: error }),
      );
    }
  }

  /** The state may have changed in a call that TypeScript does not follow. */
  #isClosed(): boolean {
    return this.#state === "closed";
  }

  #open(hello: Hello): void {
    if (hello.protocolVersion !== PROTOCOL_VERSION)
      throw new ProtocolViolation(`protocol version ${hello.protocolVersion}, this is ${PROTOCOL_VERSION}`, {
        isVersion: true,
      });
    if (hello.address === "" || hello.instanceId === "")
      throw new ProtocolViolation("a Hello without a name");
    const peerBytes = hello.maxMessageBytes === 0 ? UNSAID_MESSAGE_BYTES : hello.maxMessageBytes;
    // With less there would be no room for the error that takes the place of a reply that is too large.
    if (peerBytes < LEAST_MESSAGE_BYTES)
      throw new ProtocolViolation(`a Hello with a limit below ${LEAST_MESSAGE_BYTES} bytes`);
    clearTimeout(this.#helloTimer);
    this.#wasOpen = true;
    this.#peer = { instanceId: hello.instanceId, since: performance.now() };
    this.#state = this.#hasEnded ? "ending" : "open";
    this.#limitBytes = Math.min(this.#limitBytes, peerBytes);
    this.#removeTooLarge();
    this.#options.opened(hello);
    this.#flushSoon();
  }

  #removeTooLarge(): void {
    const limitBytes = this.#limitBytes;
    const removed: WireMessage[] = [];
    for (const { message, bytes } of this.#queue.take(Number.POSITIVE_INFINITY)) {
      if (bytes.length <= limitBytes) {
        this.#queue.add(message, bytes);
        continue;
      }
      removed.push(message);
      const instead = inPlaceOf(message, tooLarge(message, bytes.length, limitBytes));
      if (instead !== null) this.#queue.add(instead, encodeMessage(instead, limitBytes));
    }
    if (removed.length > 0) this.#options.tooLarge(removed);
  }

  /** Once in a turn of the event loop: what is sent in the same turn shares a frame. */
  #flushSoon(): void {
    if (this.#isFlushing || this.#state === "opening") return;
    this.#isFlushing = true;
    setImmediate(() => {
      this.#isFlushing = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#state !== "open" && this.#state !== "ending") return;
    while (!this.#isBlocked) {
      const messages = this.#queue.take(Math.min(FRAME_BYTES, this.#limitBytes));
      if (messages.length === 0) break;
      this.#isBlocked = !this.#options.stream.write(packFrame(messages.map(({ bytes }) => bytes)));
    }
    if (this.#state === "ending" && this.#queue.isEmpty) this.#options.stream.end();
  }
}
