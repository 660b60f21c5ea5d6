// GrpcTransport: the links of one member to its peers, and its port.
//
//   G1  A member sends to a peer on one link until that ends, so that the order holds also where both opened one at once. Where
//       it cannot open one, it sends on one that the peer opened.
//   G2  `undelivered` is told only of what was never written; what was written on a link that ended may have arrived,
//       and `disconnected` says that it may not have.
//   G3  The listener hears nothing within `send`, and nothing once `close` resolved.
//   G4  The links of a start of a peer end before anything of its next start is read: should one end later, what is awaited from
//       that one would be taken for lost.

import { status } from "@grpc/grpc-js";
import type {
  ProtocolViolation,
  Random,
  Transport,
  TransportListener,
  WireMessage,
} from "@holdfast/core/adapter";
import { encodeMessage } from "./codec.ts";
import { Link, type LinkOptions } from "./link.ts";
import { ListeningServer, type IncomingStream } from "./listening-server.ts";
import { formatHostPort, type GrpcSettings } from "./options.ts";
import { PeerChannels } from "./peer-channels.ts";
import { PROTOCOL_VERSION, type Hello } from "./protocol.ts";

/** What came here and was sent away, since the start. */
export interface GrpcCounters {
  /** Calls without the token. */
  refused: number;
  /** Streams that were ended for what was sent on them. */
  violations: number;
  /** Streams beyond `maxConnections`. */
  overLimit: number;
}

/** What exists between `start` and `close`. */
interface Started {
  readonly listener: TransportListener;
  readonly own: Hello;
  readonly server: ListeningServer;
  readonly channels: PeerChannels;
}

export class GrpcTransport implements Transport {
  readonly counters: GrpcCounters = { refused: 0, violations: 0, overLimit: 0 };
  readonly #settings: GrpcSettings;
  readonly #random: Random;
  #started: Started | null = null;
  #closing: Promise<void> | null = null;
  /** The link on which is sent to each peer (G1). */
  readonly #current = new Map<string, Link>();
  /** The last link that each peer opened to this member, while it is open. */
  readonly #accepted = new Map<string, Link>();
  readonly #links = new Set<Link>();
  #incoming = 0;
  #noLinks: (() => void) | null = null;

  constructor(settings: GrpcSettings, random: Random) {
    this.#settings = settings;
    this.#random = random;
  }

  async start(listener: TransportListener): Promise<string> {
    const server = new ListeningServer(this.#settings, {
      incoming: (stream) => this.#accept(stream),
      refused: () => {
        this.counters.refused += 1;
      },
    });
    const port = await server.listen();
    const address = formatHostPort(this.#settings.advertise ?? { ...this.#settings.listen, port });
    const own = {
      protocolVersion: PROTOCOL_VERSION,
      address,
      instanceId: this.#random.id(),
      maxMessageBytes: this.#settings.maxMessageBytes,
    };
    this.#started = { listener, own, server, channels: new PeerChannels(this.#settings) };
    return address;
  }

  /** Does nothing before `start` and after `close`. */
  send(to: string, message: WireMessage): void {
    const started = this.#started;
    if (started === null) return;
    const current = this.#current.get(to);
    const link = current?.takesMessages === true ? current : null;
    const bytes = encodeMessage(message, link?.limitBytes ?? this.#settings.maxMessageBytes);
    if (link?.send(message, bytes) === true) return;
    if (link !== null || this.#closing !== null) return this.#undelivered(to, [message]);
    this.#dial(started, to).send(message, bytes);
  }

  close(timeoutMs: number): Promise<void> {
    this.#closing ??= this.#close(timeoutMs);
    return this.#closing;
  }

  async #close(timeoutMs: number): Promise<void> {
    const started = this.#started;
    if (started === null) return;
    started.server.stopServing();
    for (const link of this.#links) link.end();
    const ended = Promise.all([this.#allEnded(), started.server.finish()]);
    if (timeoutMs > 0) await within(ended, timeoutMs);
    // Nobody is told any more: what is ended from here on is ended by this member.
    this.#started = null;
    for (const link of this.#links) link.close();
    started.channels.close();
    started.server.kill();
  }

  async #allEnded(): Promise<void> {
    if (this.#links.size > 0) await new Promise<void>((resolve) => (this.#noLinks = resolve));
  }

  /** A stream of this member's to a peer. */
  #dial({ channels, own }: Started, to: string): Link {
    const { stream, released } = channels.open(to);
    const link: Link = this.#link(to, {
      stream,
      own,
      cancel: () => {
        stream.cancel();
        released();
      },
      opened: (hello) => {
        // What comes on this link is the peer's, under the name that it goes by itself.
        peer = hello.address;
        this.#endOutlived(hello);
      },
      peer: () => peer,
    });
    let peer = to;
    this.#current.set(to, link);
    return link;
  }

  /** A stream of a peer's to this member. */
  #accept(stream: IncomingStream): void {
    const started = this.#started;
    stream.on("error", () => undefined);
    if (started === null || this.#closing !== null)
      return refuse(stream, status.UNAVAILABLE, "This member is closing.");
    if (this.#incoming >= this.#settings.maxConnections) {
      this.counters.overLimit += 1;
      return refuse(stream, status.RESOURCE_EXHAUSTED, "This member has as many connections as it takes.");
    }
    this.#incoming += 1;
    let peer = "";
    const link: Link = this.#link("", {
      stream,
      own: started.own,
      cancel: (violation) => {
        this.#incoming -= 1;
        if (violation === null) stream.end();
        else if (violation.isVersion)
          refuse(
            stream,
            status.FAILED_PRECONDITION,
            `This member cannot talk to yours: ${violation.message}.`,
          );
        else refuse(stream, status.INVALID_ARGUMENT, `This is not the protocol: ${violation.message}.`);
      },
      opened: (hello) => {
        peer = hello.address;
        this.#endOutlived(hello);
        this.#accepted.set(peer, link);
        const current = this.#current.get(peer);
        // One that this member opened and sends on already stays (G1), unless the peer has given it up.
        if (current?.takesMessages === true && !current.isSupersededBy(hello)) return;
        this.#current.set(peer, link);
        current?.close();
      },
      peer: () => peer,
    });
    stream.on("cancelled", () => link.close());
    stream.on("close", () => link.close());
  }

  #link(
    to: string,
    {
      stream,
      own,
      cancel,
      opened,
      peer,
    }: Pick<LinkOptions, "own" | "cancel" | "opened"> & {
      readonly stream: IncomingStream | ReturnType<PeerChannels["open"]>["stream"];
      readonly peer: () => string;
    },
  ): Link {
    const { maxQueuedMessages, maxQueuedBytes, connectTimeoutMs } = this.#settings;
    const link: Link = new Link({
      stream,
      own,
      bounds: { maxMessages: maxQueuedMessages, maxBytes: maxQueuedBytes },
      helloTimeoutMs: connectTimeoutMs,
      cancel: (violation: ProtocolViolation | null) => {
        if (violation !== null) this.counters.violations += 1;
        cancel(violation);
      },
      opened,
      receive: (message) => this.#started?.listener.receive(peer(), message),
      // Nothing waits for a peer's own stream before it is open: `to` is a name.
      tooLarge: (messages) => this.#undelivered(to, messages),
      closed: ({ unsent, wasOpen }) => {
        const name = to === "" ? peer() : to;
        this.#links.delete(link);
        if (this.#accepted.get(name) === link) this.#accepted.delete(name);
        if (this.#current.get(name) === link) {
          this.#current.delete(name);
          if (!wasOpen) this.#sendOnAccepted(name);
        }
        for (const message of unsent) this.#started?.listener.undelivered(name, message);
        if (wasOpen) this.#started?.listener.disconnected(name);
        if (this.#links.size === 0) this.#noLinks?.();
      },
    });
    this.#links.add(link);
    return link;
  }

  /** Ends the link that a former start of this peer opened (G4). */
  #endOutlived(hello: Hello): void {
    const { address } = hello;
    const accepted = this.#accepted.get(address);
    if (accepted?.isOfAnotherStart(hello) !== true) return;
    // What waits to be written, as for the next start, would be taken for lost with what is awaited from the former one (G2).
    for (const message of this.#current.get(address)?.takeUnsent() ?? [])
      this.#started?.listener.undelivered(address, message);
    accepted.close();
  }

  /** The peer may reach this member where this one does not reach it. */
  #sendOnAccepted(name: string): void {
    const accepted = this.#accepted.get(name);
    if (accepted?.takesMessages === true) this.#current.set(name, accepted);
  }

  #undelivered(to: string, messages: readonly WireMessage[]): void {
    setImmediate(() => {
      for (const message of messages) this.#started?.listener.undelivered(to, message);
    });
  }
}

function refuse(stream: IncomingStream, code: status, details: string): void {
  stream.emit("error", { code, details });
}

async function within(work: Promise<unknown>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work, late]);
  clearTimeout(timer);
}
