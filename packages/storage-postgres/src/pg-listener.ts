// PgListener: the one connection that hears notifications.
//
// `pg` does not come back by itself after a loss: this does, listens again, and tells its listeners that they may have
// missed something. It connects when the first one listens.

import type { Client } from "pg";
import type { SqlListener } from "./driver.ts";
import { failureOf } from "./errors.ts";

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 5_000;

export class PgListener {
  readonly #makeClient: () => Client;
  readonly #deadlineMs: number;
  readonly #channels = new Map<string, Set<SqlListener>>();
  #client: Client | null = null;
  #connecting: Promise<Client> | null = null;
  #retry: NodeJS.Timeout | undefined;
  #failures = 0;
  #isClosed = false;

  constructor(makeClient: () => Client, deadlineMs: number) {
    this.#makeClient = makeClient;
    this.#deadlineMs = deadlineMs;
  }

  async listen(channel: string, listener: SqlListener): Promise<() => Promise<void>> {
    const listeners = this.#channels.get(channel) ?? new Set();
    this.#channels.set(channel, listeners.add(listener));
    try {
      const client = await this.#connected();
      await this.#listenOn(client, channel);
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
    const client = this.#client;
    this.#client = null;
    this.#connecting = null;
    await client?.end().catch(() => undefined);
  }

  #connected(): Promise<Client> {
    if (this.#client !== null) return Promise.resolve(this.#client);
    this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = null;
    });
    return this.#connecting;
  }

  async #connect(): Promise<Client> {
    const client = this.#makeClient();
    client.on("error", () => undefined);
    client.on("notification", ({ channel, payload }) => {
      for (const listener of this.#channels.get(channel) ?? []) listener.heard(payload ?? "");
    });
    await client.connect();
    if (this.#isClosed) {
      await client.end();
      throw new Error("the session was closed");
    }
    client.once("end", () => this.#lost(client));
    this.#client = client;
    return client;
  }

  #lost(client: Client): void {
    if (this.#client !== client) return;
    this.#client = null;
    this.#failures = 0;
    this.#reconnectSoon();
  }

  #reconnectSoon(): void {
    if (this.#isClosed) return;
    const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** this.#failures, LONGEST_PAUSE_MS);
    this.#failures += 1;
    this.#retry = setTimeout(() => void this.#reconnect(), pauseMs);
    this.#retry.unref();
  }

  async #reconnect(): Promise<void> {
    try {
      const client = await this.#connected();
      for (const channel of this.#channels.keys()) await this.#listenOn(client, channel);
      this.#failures = 0;
      for (const listeners of this.#channels.values()) {
        for (const listener of listeners) listener.resumed();
      }
    } catch {
      const client = this.#client;
      this.#client = null;
      void client?.end().catch(() => undefined);
      this.#reconnectSoon();
    }
  }

  /** Channel names are made of checked identifiers. */
  async #listenOn(client: Client, channel: string): Promise<void> {
    const query = { text: `LISTEN "${channel}"`, query_timeout: this.#deadlineMs };
    await client.query(query);
  }
}
