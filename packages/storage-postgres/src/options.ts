// Options: each one's unit, default and range, checked once, before anything is opened.

import { ConfigError, milliseconds, type Duration } from "@holdfast/core/adapter";

/** What both ways to PostgreSQL take. A duration is a number of milliseconds or a string such as `"10s"`. */
export interface CommonOptions {
  /**
   * The schema that holds the tables of this package and nothing else. Made if it is not there. Lower-case letters, digits
   * and `_`, at most 40. Default: `"holdfast"`.
   */
  readonly schema?: string;
  /** How many rows one group of writes holds at most, 1 to 5000. Default: 500. */
  readonly maxGroupRows?: number;
  /** How long a statement may take, all waiting included, before its caller is told that it failed. Default: 20s. */
  readonly statementDeadline?: Duration;
  /** How long a handler's transaction may do nothing before it is rolled back. Default: 20s; on PGlite 10s. */
  readonly idleTransactionTimeout?: Duration;
  /** How long a handler waits for a connection for its transaction. Default: 10s; on PGlite 15s. */
  readonly transactionWait?: Duration;
}

/** Options of `postgres()`. */
export interface PostgresOptions extends CommonOptions {
  /**
   * The client library, a package that you install: `pg`, or `postgres`, which calls itself postgres.js. Default: that of
   * `pool` or `sql`, else `"pg"` if it is installed, else `"postgres.js"`.
   */
  readonly driver?: "pg" | "postgres.js";
  /** `postgres://user:password@host:5432/database`. Left out, and with no `pool` or `sql`: what the PG* environment variables say. */
  readonly connectionString?: string;
  /**
   * A `pg` Pool of yours, instead of `connectionString`. It stays yours: closing the cluster leaves it open. Make it with
   * `pipeline: true` to save a round trip in each handler's transaction.
   */
  readonly pool?: PgPool;
  /**
   * A postgres.js client of yours, instead of `connectionString`. Its settings are used, but for `transform`, and none of
   * its connections: postgres.js lends none out that could be given up after a loss. It stays yours.
   */
  readonly sql?: PostgresJsClient;
  /** Further options of the client library, such as `ssl`. Not with `pool` or `sql`. */
  readonly client?: Readonly<Record<string, unknown>>;
  /** Connections at most, 2 to 1000; four of them (half of fewer than eight) are kept free of handlers' transactions. Default: 16. */
  readonly poolSize?: number;
  /** How long a statement waits for a lock before the server cancels it. Default: 10s. */
  readonly lockTimeout?: Duration;
  /**
   * `"transaction"`: the server is behind PgBouncer, or the like, in transaction mode. Then nothing rests on the session:
   * settings are made in each transaction, and notifications come by `listenConnectionString` or not at all.
   */
  readonly pooler?: "transaction";
  /**
   * Whether statements are prepared by name. Default: true, and with `pooler` false: PgBouncer keeps named statements
   * apart from version 1.21 on, with `max_prepared_statements` above zero.
   */
  readonly prepare?: boolean;
  /** With `pooler`: the server's own URL, past the pooler, for the one connection that hears notifications. */
  readonly listenConnectionString?: string;
}

/** Options of `pglite()`. */
export interface PGliteOptions extends CommonOptions {
  /** The folder that keeps the data, opened by one process at a time. Left out: in memory, until the last session closes. */
  readonly dataDir?: string;
  /** A PGlite instance of yours, instead of `dataDir`. It stays yours: closing the cluster leaves it open. */
  readonly instance?: PGliteInstance;
  /** How long a handler's transaction may take in all before it is rolled back: everything else waits for it. Default: 30s. */
  readonly transactionDeadline?: Duration;
}

/** As much of a `pg` Pool as this package uses, so that any copy of `pg` will do. */
export interface PgPool {
  readonly options: object;
  connect(): Promise<unknown>;
  end(): Promise<void>;
  on(event: "error", listener: (error: Error) => void): unknown;
}

/** As much of a postgres.js client as this package uses, so that any copy of it will do. */
export interface PostgresJsClient {
  readonly options: { readonly max: number };
  reserve(): Promise<unknown>;
  end(): Promise<void>;
}

/** As much of PGlite as this package uses, so that any copy of it will do. */
export interface PGliteInstance {
  query<Row>(
    text: string,
    params?: unknown[],
    options?: {
      parsers?: Record<number, (text: string) => unknown>;
      serializers?: Record<number, (value: unknown) => string>;
    },
  ): Promise<{ rows: Row[]; affectedRows?: number }>;
  exec(text: string): Promise<unknown>;
  transaction<Result>(run: (transaction: PGliteNative) => Promise<Result>): Promise<Result | undefined>;
  listen(channel: string, callback: (payload: string) => void): Promise<() => Promise<void>>;
  readonly waitReady: Promise<void>;
  close(): Promise<void>;
}

/** As much of a PGlite Transaction as this package uses. */
export interface PGliteNative {
  query<Row>(
    text: string,
    params?: unknown[],
    options?: {
      parsers?: Record<number, (text: string) => unknown>;
      serializers?: Record<number, (value: unknown) => string>;
    },
  ): Promise<{ rows: Row[]; affectedRows?: number }>;
  exec(text: string): Promise<unknown>;
  rollback(): Promise<void>;
}

/** Options with their defaults, in milliseconds. */
export interface CommonSettings {
  readonly schema: string;
  readonly maxGroupRows: number;
  readonly statementDeadlineMs: number;
  readonly idleTransactionTimeoutMs: number;
  readonly transactionWaitMs: number;
}

export interface PostgresSettings extends CommonSettings {
  /** Null: whichever is installed. */
  readonly driver: "pg" | "postgres.js" | null;
  readonly connectionString: string | undefined;
  readonly pool: PgPool | undefined;
  readonly sql: PostgresJsClient | undefined;
  readonly client: Readonly<Record<string, unknown>>;
  readonly poolSize: number;
  readonly lockTimeoutMs: number;
  readonly pooler: "transaction" | null;
  readonly prepare: boolean;
  readonly listenConnectionString: string | undefined;
}

export interface PGliteSettings extends CommonSettings {
  readonly dataDir: string | undefined;
  readonly instance: PGliteInstance | undefined;
  readonly transactionDeadlineMs: number;
}

const COMMON = ["schema", "maxGroupRows", "statementDeadline", "idleTransactionTimeout", "transactionWait"];
const SERVER = [
  "driver",
  "connectionString",
  "pool",
  "sql",
  "client",
  "poolSize",
  "lockTimeout",
  "pooler",
  "prepare",
  "listenConnectionString",
];
const ONE_HOUR_MS = 3_600_000;

/** @throws {ConfigError} an option is unknown, of another type or out of range */
export function postgresSettings(options: PostgresOptions): PostgresSettings {
  refuseUnknown(options, [...COMMON, ...SERVER]);
  const { pool, sql, pooler, listenConnectionString } = options;
  checkUrl(options.connectionString, "connectionString");
  checkUrl(listenConnectionString, "listenConnectionString");
  checkGivenClients(options);
  if (pooler !== undefined && pooler !== "transaction")
    throw new ConfigError({ option: "pooler", got: pooler, takes: '"transaction", or is left out' });
  if (listenConnectionString !== undefined && pooler === undefined) {
    throw new ConfigError({
      option: "listenConnectionString",
      got: "given without pooler",
      takes: "the server's own URL where connectionString leads to a pooler",
    });
  }
  const { prepare = pooler === undefined } = options;
  if (typeof prepare !== "boolean")
    throw new ConfigError({ option: "prepare", got: prepare, takes: "true or false" });
  const poolSize = options.poolSize ?? (sql === undefined ? 16 : Math.max(2, sql.options.max));
  return {
    ...commonSettings(options, { idle: 20_000, wait: 10_000 }),
    driver: driverOf(options),
    connectionString: options.connectionString,
    pool,
    sql,
    client: options.client ?? {},
    poolSize: integer(poolSize, "poolSize", 2, 1_000),
    lockTimeoutMs: duration(options.lockTimeout ?? 10_000, "lockTimeout"),
    pooler: pooler ?? null,
    prepare,
    listenConnectionString,
  };
}

function driverOf({ driver, pool, sql }: PostgresOptions): PostgresSettings["driver"] {
  if (driver !== undefined && driver !== "pg" && driver !== "postgres.js")
    throw new ConfigError({ option: "driver", got: driver, takes: '"pg" or "postgres.js"' });
  const given = pool !== undefined ? "pg" : sql !== undefined ? "postgres.js" : null;
  if (driver !== undefined && given !== null && driver !== given) {
    throw new ConfigError({
      option: "driver",
      got: driver,
      takes: `"${given}" with the client that was given, or is left out`,
    });
  }
  return driver ?? given;
}

function checkGivenClients({ connectionString, pool, sql, client, poolSize }: PostgresOptions): void {
  if (
    pool !== undefined &&
    (connectionString !== undefined || client !== undefined || poolSize !== undefined || sql !== undefined)
  ) {
    throw new ConfigError({
      option: "pool",
      got: "given together with connectionString, client, sql or poolSize",
      takes: "a pg Pool that has them already",
    });
  }
  if (pool !== undefined && typeof pool.connect !== "function")
    throw new ConfigError({ option: "pool", got: pool, takes: "a Pool of the package pg" });
  if (sql !== undefined && (connectionString !== undefined || client !== undefined)) {
    throw new ConfigError({
      option: "sql",
      got: "given together with connectionString or client",
      takes: "a postgres.js client that has them already",
    });
  }
  if (sql !== undefined && (typeof sql.reserve !== "function" || typeof sql.options?.max !== "number")) {
    throw new ConfigError({
      option: "sql",
      got: sql,
      takes: "a client made by postgres() of the package postgres",
    });
  }
}

function checkUrl(url: string | undefined, option: string): void {
  if (url === undefined || (/^postgres(?:ql)?:\/\//.test(url) && URL.canParse(url))) return;
  // What is wrong with it may be that it holds a password in the wrong place: it is not shown.
  throw new ConfigError({
    option,
    got: "another text",
    takes: 'a URL such as "postgres://user@host:5432/database"',
  });
}

/** @throws {ConfigError} an option is unknown, of another type or out of range */
export function pgliteSettings(options: PGliteOptions): PGliteSettings {
  refuseUnknown(options, [...COMMON, "dataDir", "instance", "transactionDeadline"]);
  const { dataDir, instance } = options;
  if (dataDir !== undefined && (typeof dataDir !== "string" || dataDir === "")) {
    throw new ConfigError({
      option: "dataDir",
      got: dataDir,
      takes: "the path of a folder, or nothing for a database in memory",
    });
  }
  if (instance !== undefined && (dataDir !== undefined || typeof instance.transaction !== "function")) {
    throw new ConfigError({
      option: "instance",
      got: dataDir === undefined ? instance : "given together with dataDir",
      takes: "a PGlite",
    });
  }
  return {
    ...commonSettings(options, { idle: 10_000, wait: 15_000 }),
    dataDir,
    instance,
    transactionDeadlineMs: duration(options.transactionDeadline ?? 30_000, "transactionDeadline"),
  };
}

function commonSettings(options: CommonOptions, defaults: { idle: number; wait: number }): CommonSettings {
  return {
    schema: schemaName(options.schema ?? "holdfast"),
    maxGroupRows: integer(options.maxGroupRows ?? 500, "maxGroupRows", 1, 5_000),
    statementDeadlineMs: duration(options.statementDeadline ?? 20_000, "statementDeadline"),
    idleTransactionTimeoutMs: duration(
      options.idleTransactionTimeout ?? defaults.idle,
      "idleTransactionTimeout",
    ),
    transactionWaitMs: duration(options.transactionWait ?? defaults.wait, "transactionWait"),
  };
}

/** The name goes into statements and channel names as it is: nothing that would need quoting passes. */
function schemaName(schema: string): string {
  if (typeof schema === "string" && /^[a-z_][a-z0-9_]{0,39}$/.test(schema) && !schema.startsWith("pg_"))
    return schema;
  throw new ConfigError({
    option: "schema",
    got: schema,
    takes: 'lower-case letters, digits and "_", at most 40, beginning with no digit and not with "pg_"',
  });
}

function integer(value: number, option: string, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new ConfigError({ option, got: value, takes: `a whole number from ${least} to ${most}` });
}

function duration(value: Duration, option: string): number {
  const ms = milliseconds(value, option);
  if (ms >= 10 && ms <= ONE_HOUR_MS) return Math.ceil(ms);
  throw new ConfigError({ option, got: value, takes: "a duration from 10ms to 1h" });
}

function refuseUnknown(options: object, known: readonly string[]): void {
  for (const option of Object.keys(options)) {
    if (!known.includes(option))
      throw new ConfigError({ option, got: "unknown", takes: `one of ${known.join(", ")}` });
  }
}
