// PgPool: sessions through the package `pg`, in a pool that this makes or that the user gave.

import { hash } from "node:crypto";
import type { Duplex } from "node:stream";
import type {
  Client,
  ClientConfig,
  CustomTypesConfig,
  Pool,
  PoolClient,
  PoolConfig,
  QueryConfig,
  QueryResult,
} from "pg";
import type { LaterNative, SqlStatement } from "./driver.ts";
import { laterClient } from "./later-client.ts";
import { isOutdated, UnreadValue } from "./errors.ts";
import { guardedClient, transactionOver } from "./guarded-client.ts";
import type { PostgresSettings } from "./options.ts";
import type {
  ListenerEvents,
  ServerConnection,
  ServerListener,
  ServerPool,
  ServerResult,
} from "./server-connection.ts";
import { connectDeadline, sessionSettings } from "./session-settings.ts";
import { StatementNames } from "./statement-names.ts";
import { within } from "./within.ts";

/** As much of the package `pg` as is used here. */
export interface PgModule {
  readonly Pool: new (config: PoolConfig) => Pool;
  readonly Client: new (config: ClientConfig) => Client;
}

const CLIENT_METHODS: readonly string[] = ["query"];
/** Connections whose error event is listened to: one without a listener would end the process. */
const GUARDED = new WeakSet<PoolClient>();
/** What each connection ended with that ended while nothing was under way on it, as when a transaction did nothing for too long. */
const ENDED_WITH = new WeakMap<PoolClient, Error>();
/** A session that only listens learns from this that it is lost; the systems' own delay is two hours. */
const KEEP_ALIVE_MS = 30_000;

export class PgPool implements ServerPool {
  readonly size: number;
  readonly laterNative: LaterNative = (begin) => laterClient(CLIENT_METHODS, begin);
  readonly #pg: PgModule;
  readonly #settings: PostgresSettings;
  readonly #pool: Pool;
  /** In which generation each was first seen: those of an earlier one are not lent out. */
  readonly #seenIn = new WeakMap<PoolClient, number>();
  #generation = 0;
  readonly #names = new StatementNames();
  readonly #prepared: PreparedConfigs;

  constructor(pg: PgModule, settings: PostgresSettings) {
    this.#pg = pg;
    this.#settings = settings;
    this.#prepared = new PreparedConfigs(settings.statementDeadlineMs);
    this.#pool = settings.pool === undefined ? new pg.Pool(poolConfig(settings)) : (settings.pool as Pool);
    // A pool of the user's may have no listener, and would end the process with its first idle connection that is lost.
    this.#pool.on("error", ignore);
    // At once: a server that shuts down may say so in the very data that made the connection.
    this.#pool.on("connect", this.#see);
    const { max }: PoolConfig = this.#pool.options;
    this.size = max ?? settings.poolSize;
  }

  async connect(): Promise<ServerConnection> {
    const { statementDeadlineMs } = this.#settings;
    for (;;) {
      const client = await within(
        this.#pool.connect(),
        statementDeadlineMs,
        "no connection became free",
        (late) => late.release(),
      );
      // A pool of the user's had connections before.
      this.#see(client);
      const connection = new PgConnection(client, this.#settings, this.#names, this.#prepared);
      if (this.#seenIn.get(client) === this.#generation) return connection;
      connection.release(false);
    }
  }

  renew(): void {
    this.#generation += 1;
  }

  async openListener({ heard, lost }: ListenerEvents): Promise<ServerListener> {
    const { statementDeadlineMs } = this.#settings;
    const options: PoolConfig = this.#pool.options;
    const client = new this.#pg.Client({ ...options, ...withPassword(options), pipeline: false });
    let isEnded = false;
    const end = (): void => {
      isEnded = true;
      void client.end().catch(ignore);
      streamOf(client)?.destroy?.();
    };
    client.on("error", ignore);
    client.on("notification", ({ channel, payload }) => heard(channel, payload ?? ""));
    client.once("end", () => {
      if (!isEnded) lost();
    });
    try {
      await within(client.connect(), connectDeadline(this.#settings), "no connection was made");
    } catch (error) {
      end();
      throw error;
    }
    return {
      // Channel names are made of checked identifiers.
      listen: async (channel) => {
        const query = { text: `LISTEN "${channel}"`, query_timeout: statementDeadlineMs };
        await client.query(query);
      },
      end,
    };
  }

  async end(): Promise<void> {
    if (this.#settings.pool === undefined) {
      if (!this.#pool.ending) await this.#pool.end();
      return;
    }
    this.#pool.removeListener("connect", this.#see);
    this.#pool.removeListener("error", ignore);
  }

  readonly #see = (client: PoolClient): void => {
    if (!this.#seenIn.has(client)) this.#seenIn.set(client, this.#generation);
    if (GUARDED.has(client)) return;
    GUARDED.add(client);
    client.on("error", (error) => {
      if (!ENDED_WITH.has(client)) ENDED_WITH.set(client, error);
    });
  };
}

class PgConnection implements ServerConnection {
  readonly #client: PoolClient;
  readonly isPipelined: boolean;
  readonly processId: number | null;
  readonly #settings: PostgresSettings;
  readonly #names: StatementNames;
  readonly #prepared: PreparedConfigs;
  #native: PoolClient | null = null;
  #refusal: (() => Error) | null = null;

  constructor(
    client: PoolClient,
    settings: PostgresSettings,
    names: StatementNames,
    prepared: PreparedConfigs,
  ) {
    this.#client = client;
    this.#settings = settings;
    this.#names = names;
    this.#prepared = prepared;
    const { pipeline, processID } = client as unknown as { pipeline?: unknown; processID?: unknown };
    this.isPipelined = pipeline === true;
    this.processId = typeof processID === "number" && processID > 0 ? processID : null;
  }

  get native(): PoolClient {
    this.#native ??= guardedClient(this.#client, CLIENT_METHODS, () => this.#refusal?.() ?? null);
    return this.#native;
  }

  seal(why: () => Error = transactionOver): void {
    this.#refusal ??= why;
  }

  async script<Row>(text: string, deadlineMs?: number): Promise<ServerResult<Row>> {
    return this.#send({ text, query_timeout: deadlineMs ?? this.#settings.statementDeadlineMs });
  }

  async query<Row>(text: string, params: readonly unknown[]): Promise<ServerResult<Row>> {
    const name = this.#settings.prepare && params.length > 0 ? this.#names.of(text) : undefined;
    const parsers = new KeptParsers(this.#client);
    const config = this.#configOf(text, name);
    config.types = parsers;
    try {
      const result = await this.#send<Row>(config, [...params]);
      if (parsers.unread !== null) throw parsers.unread;
      return result;
    } catch (error) {
      if (name !== undefined && isOutdated(error)) {
        this.#names.renew();
        this.#prepared.clear();
      }
      throw error;
    }
  }

  isPrepared(text: string): boolean {
    const name = this.#settings.prepare ? this.#names.of(text) : undefined;
    if (name === undefined) return false;
    const { connection } = this.#client as unknown as { connection?: { parsedStatements?: object } };
    return String(this.#prepared.of(name, text).name) in (connection?.parsedStatements ?? {});
  }

  async run<Row>({ name, text, values }: SqlStatement): Promise<ServerResult<Row>> {
    return this.#send(this.#configOf(text, this.#settings.prepare ? name : undefined), [...values]);
  }

  /**
   * What is sent within a turn leaves in one write, such as BEGIN with the first statement and the last one with COMMIT: a
   * write takes the longest of all that is done here for a statement.
   */
  #gather(): void {
    if (!this.isPipelined) return;
    const stream = streamOf(this.#client);
    if (stream?.cork === undefined || stream.writableCorked !== 0) return;
    stream.cork();
    process.nextTick(() => stream.uncork?.());
  }

  release(isUsable: boolean): void {
    if (isUsable) {
      this.#client.release();
      return;
    }
    // One that does not answer would not say good-bye, either.
    streamOf(this.#client)?.destroy?.();
    this.#client.release(true);
  }

  /** @param name under which it is prepared */
  #configOf(text: string, name: string | undefined): TimedConfig {
    return name === undefined
      ? { text, query_timeout: this.#settings.statementDeadlineMs }
      : this.#prepared.of(name, text);
  }

  async #send<Row>(config: TimedConfig, values?: unknown[]): Promise<ServerResult<Row>> {
    this.#gather();
    let results: QueryResult | QueryResult[];
    try {
      results = await this.#client.query(config, values);
    } catch (error) {
      // Of what is sent after that `pg` says no more than that it could not be.
      throw hasSeverity(error) ? error : (ENDED_WITH.get(this.#client) ?? error);
    }
    const result = Array.isArray(results) ? results.at(-1) : results;
    return {
      rows: (result?.rows ?? []) as Row[],
      rowCount: result?.rowCount ?? 0,
      command: result?.command ?? "",
    };
  }
}

/**
 * A session's parsers for one statement. What one throws is kept until the server has answered: that it refused the statement, or
 * is gone, `pg` would not say any more.
 */
class KeptParsers implements CustomTypesConfig {
  unread: UnreadValue | null = null;
  readonly getTypeParser: CustomTypesConfig["getTypeParser"];

  constructor(client: PoolClient) {
    this.getTypeParser = (type, format) => {
      const parse = client.getTypeParser(type, format);
      return (value: string) => {
        try {
          return parse(value);
        } catch (error) {
          this.unread ??= new UnreadValue(error);
          return null;
        }
      };
    };
  }
}

/** The types of `pg` do not know the last. */
type TimedConfig = QueryConfig & { readonly query_timeout: number };

/** What `pg` is told of prepared statements, the same for each run of one. */
class PreparedConfigs {
  readonly #timeoutMs: number;
  readonly #shared = new Map<string, TimedConfig>();

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Each run has an object of its own, since tracers write to what they see, and has its properties from its prototype: `pg`
   * copies an object's own, which takes longer than all else that it does before it sends.
   */
  of(name: string, text: string): TimedConfig {
    let shared = this.#shared.get(name);
    if (shared === undefined) {
      // A pool of the user's may serve another storage, too: on a session one name must have one text.
      const unique = `${name}_${hash("sha256", text).slice(0, 16)}`;
      this.#shared.set(name, (shared = { name: unique, text, query_timeout: this.#timeoutMs }));
    }
    return Object.create(shared) as TimedConfig;
  }

  /** Names that nobody uses any more do not pile up. */
  clear(): void {
    this.#shared.clear();
  }
}

function poolConfig(settings: PostgresSettings): PoolConfig {
  return {
    application_name: "holdfast",
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
    connectionTimeoutMillis: connectDeadline(settings),
    idleTimeoutMillis: 60_000,
    ...settings.client,
    ...(settings.connectionString === undefined ? {} : { connectionString: settings.connectionString }),
    max: settings.poolSize,
    pipeline: true,
    ...(settings.pooler === null ? sessionSettings(settings) : {}),
  };
}

/** A pool hides its password from enumeration, so that a copy of its options lacks it. */
function withPassword(options: PoolConfig): PoolConfig {
  return options.password === undefined ? {} : { password: options.password };
}

/** A client's socket, or undefined for a client that has none. */
function streamOf(client: object): Partial<Duplex> | undefined {
  return (client as { connection?: { stream?: Partial<Duplex> } }).connection?.stream;
}

/** Whether the server said it. */
function hasSeverity(error: unknown): boolean {
  return error instanceof Error && "severity" in error;
}

function ignore(): void {
  // Whoever uses the connection next finds out; the pool has dropped it already.
}
