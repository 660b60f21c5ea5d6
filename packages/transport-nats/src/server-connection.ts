// ServerConnection: the one connection of a member to the NATS servers.
//
//   S1  While it is down nothing is published: `publish` says so at once. The client would keep it, and send it later or
//       never, and a request of which nobody hears again is worse than one that failed.
//   S2  It connects again for as long as it takes, with pauses that grow, and jitter.
//   S3  A member that is connected hears what it subscribed to. A client that ended for good, and one whose subscriptions the
//       server refuses once they were there, are replaced by another one.
//   S4  A callback of the client that throws would end its reading for good, so none does.
//   S5  A server that answers no ping is given up, also where what was written to it cannot leave: the client would wait for that.

import { ConfigError, type Random } from "@holdfast/core/adapter";
import {
  connect,
  errors,
  type ConnectionOptions,
  type Msg,
  type NatsConnection,
} from "@nats-io/transport-node";
import { authenticatorOf } from "./credentials.ts";
import type { NatsSettings } from "./options.ts";
import { tlsOptions } from "./tls.ts";

export interface ConnectionListener {
  /** Connected again, after it was lost. */
  restored(): void;
  /** What was on its way may be lost. */
  lost(): void;
}

const FIRST_RECONNECT_MS = 100;
const LONGEST_RECONNECT_MS = 2_000;
/** Silent servers are given up after this many pings. */
const PINGS_UNANSWERED = 2;
/** How long the client may take to hand over what it has written when it gives a server up. */
const FLUSH_MS = 1_000;

interface Parts {
  readonly settings: NatsSettings;
  readonly random: Random;
  readonly listener: ConnectionListener;
  readonly options: ConnectionOptions;
  /** How often the client tried to connect again since it last was connected. */
  readonly reconnects: { attempts: number };
}

interface Subscriptions {
  readonly subjects: readonly string[];
  readonly callback: (message: Msg) => void;
}

export class ServerConnection {
  readonly #parts: Parts;
  #client: NatsConnection;
  #subscriptions: Subscriptions = { subjects: [], callback: () => undefined };
  #isConnected = true;
  #isClosing = false;
  #maxPayload: number;
  /** How many clients there were since one last had its subscriptions. */
  #attempts = 0;
  #endPause: () => void = () => undefined;

  private constructor(parts: Parts, client: NatsConnection) {
    this.#parts = parts;
    this.#client = client;
    this.#maxPayload = client.info?.max_payload ?? 0;
  }

  /** Connects, and tries again while no server is there, for `connectTimeoutMs`. @throws {ConfigError} */
  static async open(
    settings: NatsSettings,
    random: Random,
    listener: ConnectionListener,
  ): Promise<ServerConnection> {
    const reconnects = { attempts: 0 };
    const options = clientOptions(settings, random, reconnects);
    const client = await firstConnection(settings, random, options);
    const connection = new ServerConnection({ settings, random, listener, options, reconnects }, client);
    void connection.#watch();
    return connection;
  }

  get isConnected(): boolean {
    return this.#isConnected;
  }

  /** The largest message that the server takes, in bytes. A server may say another number while it is connected. */
  get maxPayload(): number {
    // The client forgets it when it begins to connect again.
    this.#maxPayload = this.#client.info?.max_payload ?? this.#maxPayload;
    return this.#maxPayload;
  }

  /** Whether it was handed to the client. `replyTo` hears if nobody subscribes to `subject`. */
  publish(subject: string, payload: Uint8Array, replyTo: string): boolean {
    if (!this.#isConnected) return false;
    try {
      this.#client.publish(subject, payload, { reply: replyTo });
      return true;
    } catch {
      // It is closed, or the payload is larger than what this server takes: another one than the last took more.
      return false;
    }
  }

  /**
   * Resolves when the server has the subscriptions; another one gets them, too. Called once.
   *
   * @throws {ConfigError} this user may not subscribe, or the server is gone, or this is closed meanwhile
   */
  async subscribe(subjects: readonly string[], callback: (message: Msg) => void): Promise<void> {
    this.#subscriptions = { subjects, callback };
    try {
      await this.#subscribeOn(this.#client);
    } catch (cause) {
      if (!(cause instanceof errors.PermissionViolationError)) throw unreachable(this.#parts.settings, cause);
      throw new ConfigError(
        {
          option: "transport.prefix",
          got: subjects[0],
          takes: "a prefix under which this user may publish and subscribe",
        },
        { cause },
      );
    }
  }

  /** Hands everything to the server and disconnects; at once if there is none, and after `timeoutMs` in any case. */
  async close(timeoutMs: number): Promise<void> {
    const wasConnected = this.#isConnected;
    this.#isClosing = true;
    this.#isConnected = false;
    this.#endPause();
    if (wasConnected && timeoutMs > 0) {
      await within(
        this.#client.drain().catch(() => undefined),
        timeoutMs,
      );
    }
    await end(this.#client);
  }

  /** @throws {Error} the server's refusal, or the client's error */
  async #subscribeOn(client: NatsConnection): Promise<void> {
    const { subjects, callback } = this.#subscriptions;
    const refusals: Error[] = [];
    let isDone = false;
    for (const subject of subjects) {
      client.subscribe(subject, {
        callback: (error, message) => {
          if (error === null) return callback(message);
          refusals.push(error);
          // After a reconnect: the client forgets the subscription, and would never ask for it again (S3).
          if (isDone) void end(client);
        },
      });
    }
    await flushed(client);
    isDone = true;
    if (refusals[0] !== undefined) throw refusals[0];
  }

  /** Ends with `close`. Until then there is a client (S2, S3). */
  async #watch(): Promise<void> {
    for (;;) {
      await this.#follow(this.#client);
      if (this.#isClosing) return;
      this.#lost();
      const client = await this.#connectAnew();
      if (client === null) return;
      if (this.#isClosing) return end(client);
      this.#client = client;
      // Before it subscribes: who greets this member as soon as it does is to be answered.
      this.#restored();
      void this.#subscribeAnew(client);
    }
  }

  /** Resolves when the client ended for good. */
  async #follow(client: NatsConnection): Promise<void> {
    let flushing: NodeJS.Timeout | undefined;
    for await (const status of client.status()) {
      switch (status.type) {
        case "staleConnection":
          this.#lost();
          flushing = setTimeout(() => void end(client), FLUSH_MS);
          break;
        case "disconnect":
          clearTimeout(flushing);
          this.#lost();
          break;
        case "reconnecting":
          this.#parts.reconnects.attempts += 1;
          break;
        case "reconnect":
          if (!this.#isClosing) this.#restored();
          break;
        default:
        // Says nothing of whether it is connected.
      }
    }
    clearTimeout(flushing);
  }

  #lost(): void {
    if (!this.#isConnected) return;
    this.#isConnected = false;
    this.#parts.listener.lost();
  }

  #restored(): void {
    this.#parts.reconnects.attempts = 0;
    this.#isConnected = true;
    this.#parts.listener.restored();
  }

  /** A client that is connected. Null: this is closed meanwhile. */
  async #connectAnew(): Promise<NatsConnection | null> {
    let client: NatsConnection | null = null;
    while (client === null && !this.#isClosing) {
      await this.#pause(pauseMs(this.#attempts, this.#parts.random));
      this.#attempts += 1;
      if (!this.#isClosing) client = await connect(this.#parts.options).catch(() => null);
    }
    return client;
  }

  async #subscribeAnew(client: NatsConnection): Promise<void> {
    try {
      await this.#subscribeOn(client);
      this.#attempts = 0;
    } catch {
      await end(client);
    }
  }

  /** Resolves after `ms`, or with `close`. */
  async #pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#endPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

function clientOptions(
  { servers, name, credentials, tls, keepAliveMs, connectTimeoutMs }: NatsSettings,
  random: Random,
  reconnects: { readonly attempts: number },
): ConnectionOptions {
  const authenticator = authenticatorOf(credentials);
  return {
    servers: [...servers],
    name: `holdfast ${name ?? ""}`.trim(),
    ...(authenticator === null ? {} : { authenticator }),
    ...(tls === null ? {} : { tls: tlsOptions(tls, servers) }),
    noEcho: true,
    timeout: connectTimeoutMs,
    pingInterval: keepAliveMs,
    maxPingOut: PINGS_UNANSWERED,
    maxReconnectAttempts: -1,
    // Credentials may be renewed while this member waits.
    ignoreAuthErrorAbort: true,
    reconnectDelayHandler: () => pauseMs(reconnects.attempts, random),
  };
}

function pauseMs(attempts: number, random: Random): number {
  const longest = Math.min(FIRST_RECONNECT_MS * 2 ** Math.min(attempts, 8), LONGEST_RECONNECT_MS);
  return Math.ceil(longest * (0.5 + random.next() / 2));
}

async function firstConnection(
  settings: NatsSettings,
  random: Random,
  options: ConnectionOptions,
): Promise<NatsConnection> {
  const until = performance.now() + settings.connectTimeoutMs;
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await connect(options);
    } catch (cause) {
      const pause = pauseMs(attempt, random);
      if (isRefusal(cause)) throw notLetIn(settings, cause);
      if (performance.now() + pause > until) throw unreachable(settings, cause);
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
}

/** Whether trying again would not help. */
function isRefusal(error: unknown): boolean {
  return error instanceof errors.AuthorizationError || error instanceof errors.UserAuthenticationExpiredError;
}

function notLetIn({ credentials }: NatsSettings, cause: unknown): ConfigError {
  return new ConfigError(
    {
      option: `transport.${credentials.kind === "none" ? "token" : credentials.kind}`,
      got: credentials.kind === "none" ? undefined : "refused by the server",
      takes: "what the NATS server asks for: token, user and pass, nkeySeed, or credentialsFile",
    },
    { cause },
  );
}

function unreachable({ servers }: NatsSettings, cause: unknown): ConfigError {
  return new ConfigError(
    {
      option: "transport.servers",
      got: servers.join(", "),
      takes: "NATS servers that this member reaches",
      hint: cause instanceof Error ? `The last error: ${cause.message}` : "",
    },
    { cause },
  );
}

/** Resolves when the server has read what was written until now. @throws {Error} the client's: it has no server any more */
async function flushed(client: NatsConnection): Promise<void> {
  // One that is closed leaves its promises open.
  const closed = client.closed().then((error) => {
    throw error instanceof Error ? error : new errors.ClosedConnectionError();
  });
  await Promise.race([client.flush(), closed]);
}

/** Ends it for good, and does not throw. */
async function end(client: NatsConnection): Promise<void> {
  await client.close().catch(() => undefined);
}

async function within(work: Promise<unknown>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work, late]);
  clearTimeout(timer);
}
