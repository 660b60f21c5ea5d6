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

export interface PostgresOptions extends CommonOptions {
  /** `postgres://user:password@host:5432/database`. Left out, and with no `pool`: what the PG* environment variables say. */
  readonly connectionString?: string;
  /**
   * A `pg` Pool of yours, instead of `connectionString`. It stays yours: closing the cluster leaves it open. Make it with
   * `pipeline: true` to save a round trip in each handler's transaction.
   */
  readonly pool?: PgPool;
  /** Further options of the `pg` client, such as `ssl`. Not with `pool`. */
  readonly client?: Readonly<Record<string, unknown>>;
  /** Connections at most, 2 to 1000; four of them (half of fewer than eight) are kept free of handlers' transactions. Default: 16. */
  readonly poolSize?: number;
  /** How long a statement waits for a lock before the server cancels it. Default: 10s. */
  readonly lockTimeout?: Duration;
}

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

/** As much of PGlite as this package uses, so that any copy of it will do. */
export interface PGliteInstance {
  query<Row>(text: string, params?: unknown[]): Promise<{ rows: Row[]; affectedRows?: number }>;
  exec(text: string): Promise<unknown>;
  transaction<Result>(run: (transaction: PGliteNative) => Promise<Result>): Promise<Result | undefined>;
  listen(channel: string, callback: (payload: string) => void): Promise<() => Promise<void>>;
  readonly waitReady: Promise<void>;
  close(): Promise<void>;
}

/** As much of a PGlite Transaction as this package uses. */
export interface PGliteNative {
  query<Row>(text: string, params?: unknown[]): Promise<{ rows: Row[]; affectedRows?: number }>;
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
  readonly connectionString: string | undefined;
  readonly pool: PgPool | undefined;
  readonly client: Readonly<Record<string, unknown>>;
  readonly poolSize: number;
  readonly lockTimeoutMs: number;
}

export interface PGliteSettings extends CommonSettings {
  readonly dataDir: string | undefined;
  readonly instance: PGliteInstance | undefined;
  readonly transactionDeadlineMs: number;
}

const COMMON = ["schema", "maxGroupRows", "statementDeadline", "idleTransactionTimeout", "transactionWait"];
const ONE_HOUR_MS = 3_600_000;

/** @throws {ConfigError} an option is unknown, of another type or out of range */
export function postgresSettings(options: PostgresOptions): PostgresSettings {
  refuseUnknown(options, [...COMMON, "connectionString", "pool", "client", "poolSize", "lockTimeout"]);
  const { connectionString, pool, client } = options;
  if (
    connectionString !== undefined &&
    !(/^postgres(?:ql)?:\/\//.test(connectionString) && URL.canParse(connectionString))
  ) {
    // What is wrong with it may be that it holds a password in the wrong place: it is not shown.
    throw new ConfigError({
      option: "connectionString",
      got: "another text",
      takes: 'a URL such as "postgres://user@host:5432/database"',
    });
  }
  if (
    pool !== undefined &&
    (connectionString !== undefined || client !== undefined || options.poolSize !== undefined)
  ) {
    throw new ConfigError({
      option: "pool",
      got: "given together with connectionString, client or poolSize",
      takes: "a pg Pool that has them already",
    });
  }
  if (pool !== undefined && typeof pool.connect !== "function") {
    throw new ConfigError({ option: "pool", got: pool, takes: "a Pool of the package pg" });
  }
  return {
    ...commonSettings(options, { idle: 20_000, wait: 10_000 }),
    connectionString,
    pool,
    client: client ?? {},
    poolSize: integer(options.poolSize ?? 16, "poolSize", 2, 1_000),
    lockTimeoutMs: duration(options.lockTimeout ?? 10_000, "lockTimeout"),
  };
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
