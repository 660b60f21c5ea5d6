// EtcdWatch: tells that something under the prefix changed.
//
// After each gap it tells so, whatever happened in it: a list is the truth, the watch only says when to look. So it needs
// no revision to resume from, and no event is lost or out of order.

import type { Etcd3 } from "etcd3";
import { renewingTokens, type EtcdSession } from "./etcd-session.ts";

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 2_000;

type WatchOptions = NonNullable<Parameters<Etcd3["watchClient"]["watch"]>[0]>;
type Interceptor = NonNullable<WatchOptions["interceptors"]>[number];

/**
 * Has a member of etcd end the watch when it has no leader: cut off from the others it would stand, and hear nothing. The client
 * takes no metadata for a stream.
 */
const withLeader: Interceptor = (options, nextCall) => {
  const call = nextCall(options);
  const start = call.start.bind(call);
  call.start = (metadata, listener) => {
    metadata.set("hasleader", "true");
    start(metadata, listener);
  };
  // Its type asks for the library's own class, which only wraps such a call.
  return call as ReturnType<Interceptor>;
};

/** As much of the client's stream as is used. */
interface WatchStream {
  on(
    event: "data",
    heard: (response: { readonly created?: boolean; readonly canceled?: boolean }) => void,
  ): unknown;
  on(event: "error" | "end", over: () => void): unknown;
  write(request: object): unknown;
  cancel(): void;
}

export class EtcdWatch {
  readonly #session: EtcdSession;
  readonly #changed: () => void;
  #stream: WatchStream | null = null;
  #timer: NodeJS.Timeout | undefined;
  /** Ends a stream that is not begun in time. */
  #late: NodeJS.Timeout | undefined;
  #pauseMs = FIRST_PAUSE_MS;
  #isOver = false;

  constructor(session: EtcdSession, changed: () => void) {
    this.#session = session;
    this.#changed = changed;
  }

  /** Resolves once it watches, or once it is sure that it does not yet, and goes on trying. */
  start(): Promise<void> {
    return this.#connect();
  }

  stop(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#late?.unref();
    this.#stream?.cancel();
    this.#stream = null;
  }

  async #connect(): Promise<void> {
    try {
      const stream: WatchStream = await this.#session.call("watch", "read", () =>
        this.#session.client.watchClient.watch({ interceptors: [withLeader, renewingTokens] }),
      );
      if (this.#isOver) return stream.cancel();
      this.#stream = stream;
      await this.#listen(stream);
    } catch {
      this.#reconnectSoon();
    }
  }

  /** Resolves when etcd says that the watch stands, or when the stream is over. */
  #listen(stream: WatchStream): Promise<void> {
    return new Promise((resolve) => {
      const over = (): void => {
        clearTimeout(late);
        resolve();
        if (this.#stream !== stream) return;
        this.#stream = null;
        stream.cancel();
        this.#reconnectSoon();
      };
      // A stream to a member that took the connection and says nothing would stay: no keepalive begins before that answers.
      const late = setTimeout(over, this.#session.timeoutMs);
      this.#late = late;
      stream.on("error", over);
      stream.on("end", over);
      stream.on("data", (response) => {
        if (response.canceled === true) {
          // Its token may be over, and the client gets a new one only when a call is refused: who is told of a change reads.
          if (!this.#isOver) this.#changed();
          return over();
        }
        if (response.created === true) {
          this.#pauseMs = FIRST_PAUSE_MS;
          clearTimeout(late);
          resolve();
        }
        // The first word after a gap tells, too: what happened in it is not known.
        if (!this.#isOver) this.#changed();
      });
      const prefix = Buffer.from(this.#session.prefix);
      stream.write({ create_request: { key: prefix, range_end: endOf(prefix) } });
    });
  }

  #reconnectSoon(): void {
    if (this.#isOver || this.#session.isClosed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#connect(), this.#pauseMs);
    this.#timer.unref();
    this.#pauseMs = Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS);
  }
}

/** The first key after all that begin with `prefix`, which ends with a slash. */
export function endOf(prefix: Buffer): Buffer {
  const end = Buffer.from(prefix);
  end[end.length - 1] = (end.at(-1) ?? 0) + 1;
  return end;
}
