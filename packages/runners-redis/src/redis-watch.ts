// RedisWatch: tells that something changed: at once if it hears it, and after a while if it does not.
//
// What is published is lost on those who are not connected, and nobody publishes when a lease runs out. So it looks now and
// then, after each gap, and when the first lease may be over. A list is the truth, the watch only says when to look.

import type { Connection } from "./connection.ts";
import type { RedisSession } from "./redis-session.ts";
import { LOOK } from "./scripts.ts";

const SHORTEST_PAUSE_MS = 20;

export class RedisWatch {
  readonly #session: RedisSession;
  readonly #changed: () => void;
  readonly #subscriber: Connection;
  /** The version told last. */
  #known: string | null = null;
  #subscription: "none" | "asked for" | "there" = "none";
  #timer: NodeJS.Timeout | undefined;
  #isOver = false;

  constructor(session: RedisSession, changed: () => void) {
    this.#session = session;
    this.#changed = changed;
    this.#subscriber = session.newSubscriber();
    // It reconnects by itself, and until then there are the looks.
    this.#subscriber.on("error", () => undefined);
    this.#subscriber.on("node error", () => undefined);
    this.#subscriber.on("close", () => {
      this.#subscription = "none";
    });
    this.#subscriber.on("ready", () => void this.#subscribe());
    this.#subscriber.on("message", (_channel: string, version: string) => this.#hear(version));
  }

  /** Resolves once it looks. Whether it hears, too, may come later. */
  async start(): Promise<void> {
    this.#subscriber.connect().catch(() => undefined);
    await this.#look();
  }

  stop(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#subscriber.disconnect();
  }

  async #subscribe(): Promise<void> {
    if (this.#subscription !== "none" || this.#subscriber.status !== "ready") return;
    this.#subscription = "asked for";
    try {
      await this.#subscriber.subscribe(this.#session.channel);
      this.#subscription = "there";
    } catch {
      // With the next look it tries again.
      this.#subscription = "none";
    }
    // What was published before is not heard any more.
    await this.#look();
  }

  async #look(): Promise<void> {
    let pauseMs = this.#session.pollIntervalMs;
    try {
      const [version, firstMs] = (await this.#session.run("watch", "read", LOOK)) as [string, number];
      if (this.#isOver) return;
      this.#hear(version);
      if (firstMs >= 0) pauseMs = Math.min(pauseMs, firstMs + 1);
    } catch {
      // The next look finds what this one missed.
    }
    if (this.#isOver || this.#session.isClosed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(
      () => {
        // Neither waits for the other: a connection that hangs must not keep it from looking over the other one.
        void this.#look();
        void this.#subscribe();
      },
      Math.max(SHORTEST_PAUSE_MS, pauseMs),
    );
    this.#timer.unref();
  }

  #hear(version: string): void {
    if (this.#isOver || version === this.#known) return;
    this.#known = version;
    this.#changed();
  }
}
