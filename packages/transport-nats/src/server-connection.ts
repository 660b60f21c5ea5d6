// ServerConnection: the one connection of a member to the NATS servers.
//
//   S1  While it is down nothing is published: `publish` says so at once. The client would keep it, and send it later or
//       never, and a request of which nobody hears again is worse than one that failed.
//   S2  It connects again for as long as it takes, with pauses that grow, and jitter.
//   S3  A callback of the client that throws would end its reading for good, so none does.

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

export class ServerConnection {
  readonly #client: NatsConnection;
  #isConnected = true;
  #maxPayload: number;

  private constructor(client: NatsConnection) {
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
    const connection = new ServerConnection(client);
    void connection.#watch(listener, reconnects);
    return connection;
  }

  get isConnected(): boolean {
    return this.#isConnected;
  }

  /** The largest message that the server takes, in bytes. */
  get maxPayload(): number {
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

  /** Resolves when the server has the subscriptions. @throws {ConfigError} this user may not subscribe */
  async subscribe(subjects: readonly string[], callback: (message: Msg) => void): Promise<void> {
    let refused: Error | null = null;
    for (const subject of subjects) {
      this.#client.subscribe(subject, {
        callback: (error, message) => {
          if (error === null) callback(message);
          else refused = error;
        },
      });
    }
    await this.#client.flush();
    if (refused !== null)
      throw new ConfigError(
        {
          option: "transport.prefix",
          got: subjects[0],
          takes: "a prefix under which this user may publish and subscribe",
        },
        { cause: refused },
      );
  }

  /** Hands everything to the server and disconnects; at once if there is none, and after `timeoutMs` in any case. */
  async close(timeoutMs: number): Promise<void> {
    const wasConnected = this.#isConnected;
    this.#isConnected = false;
    if (wasConnected && timeoutMs > 0) {
      await within(
        this.#client.drain().catch(() => undefined),
        timeoutMs,
      );
    }
    await this.#client.close().catch(() => undefined);
  }

  async #watch(listener: ConnectionListener, reconnects: { attempts: number }): Promise<void> {
    for await (const status of this.#client.status()) {
      switch (status.type) {
        case "reconnecting":
          reconnects.attempts += 1;
          break;
        case "disconnect":
        case "close":
          if (!this.#isConnected) break;
          this.#isConnected = false;
          listener.lost();
          break;
        case "reconnect":
          reconnects.attempts = 0;
          this.#maxPayload = this.#client.info?.max_payload ?? this.#maxPayload;
          this.#isConnected = true;
          listener.restored();
          break;
        default:
      }
    }
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

async function within(work: Promise<unknown>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work, late]);
  clearTimeout(timer);
}
