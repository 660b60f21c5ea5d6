// Listener: the one session that hears notifications.
//
// A session that was lost hears nothing: this opens another, listens again, and tells its listeners that they may have
// missed something. It connects when the first one listens.

import type { SqlListener } from "./driver.ts";
import { failureOf } from "./errors.ts";
import type { ListenerEvents, ServerListener } from "./server-connection.ts";

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 5_000;

export class Listener {
  readonly #open: (events: ListenerEvents) => Promise<ServerListener>;
  readonly #channels = new Map<string, Set<SqlListener>>();
  #session: ServerListener | null = null;
  #opening: Promise<ServerListener> | null = null;
  #retry: NodeJS.Timeout | undefined;
  #failures = 0;
  #isClosed = false;

  constructor(open: (events: ListenerEvents) => Promise<ServerListener>) {
    this.#open = open;
  }

  async listen(channel: string, listener: SqlListener): Promise<() => Promise<void>> {
    const listeners = this.#channels.get(channel) ?? new Set();
    this.#channels.set(channel, listeners.add(listener));
    try {
      const session = await this.#connected();
      await session.listen(channel);
    } catch (error) {
      listeners.delete(listener);
      throw failureOf(error, false);
    }
    return async () => {
      listeners.delete(listener);
    };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#channels.clear();
    clearTimeout(this.#retry);
    await this.#opening?.catch(() => undefined);
    this.#session?.end();
    this.#session = null;
  }

  #connected(): Promise<ServerListener> {
    if (this.#session !== null) return Promise.resolve(this.#session);
    this.#opening ??= this.#connect().finally(() => {
      this.#opening = null;
    });
    return this.#opening;
  }

  async #connect(): Promise<ServerListener> {
    let isLost = false;
    const session = await this.#open({
      heard: (channel, payload) => {
        for (const listener of this.#channels.get(channel) ?? []) listener.heard(payload);
      },
      lost: () => {
        isLost = true;
        if (this.#session === null || this.#session !== session) return;
        this.#session = null;
        this.#failures = 0;
        this.#reconnectSoon();
      },
    });
    if (this.#isClosed || isLost) {
      session.end();
      throw new Error(isLost ? "the connection was lost" : "the session was closed");
    }
    this.#session = session;
    return session;
  }

  #reconnectSoon(): void {
    if (this.#isClosed) return;
    const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** this.#failures, LONGEST_PAUSE_MS);
    this.#failures += 1;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => void this.#reconnect(), pauseMs);
    this.#retry.unref();
  }

  async #reconnect(): Promise<void> {
    try {
      const session = await this.#connected();
      for (const channel of this.#channels.keys()) await session.listen(channel);
      this.#failures = 0;
      for (const listeners of this.#channels.values()) {
        for (const listener of listeners) listener.resumed();
      }
    } catch {
      this.#session?.end();
      this.#session = null;
      this.#reconnectSoon();
    }
  }
}
