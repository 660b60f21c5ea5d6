// Options: each one's unit, default and range, checked once, before anything is opened.

import { ConfigError, milliseconds, type Duration } from "@holdfast/core/adapter";

/** A duration is a number of milliseconds or a string such as `"5s"`. */
export interface RedisStorageOptions {
  /** `redis://user:password@host:6379/0`, or `rediss://` for TLS, without parameters. Of a Redis Cluster, any server. Default: `"redis://127.0.0.1:6379/0"`. */
  readonly url?: string;
  /**
   * A `Redis` of the package ioredis, instead of `url`: its settings are used, Sentinels included, and none of its
   * connections. It stays yours.
   */
  readonly client?: RedisClient;
  /** Further options of ioredis for the connections, such as `tls`. Not with `client`. */
  readonly connection?: Readonly<Record<string, unknown>>;
  /**
   * What all keys begin with, in braces, so that a Redis Cluster keeps them on one server. One prefix is one Holdfast
   * cluster. Letters, digits and any of `_ . : - /`, at most 100. Default: `"holdfast"`.
   */
  readonly prefix?: string;
  /**
   * How long a command may take, the wait for a connection included, before its caller is told that it failed. Then that
   * connection is given up. 100 ms to 10 minutes. Default: 5s.
   */
  readonly commandTimeout?: Duration;
  /** Told what is dangerous about the server's settings, when a session opens. Default: a warning of the process. */
  readonly onWarning?: (message: string) => void;
}

/** As much of an ioredis `Redis` as this package uses, so that any copy of it will do. */
export interface RedisClient {
  readonly options: object;
  duplicate(override?: object): unknown;
}

/** Options with their defaults, in milliseconds. */
export interface RedisSettings {
  readonly url: string;
  readonly client: RedisClient | null;
  readonly connection: Readonly<Record<string, unknown>>;
  readonly prefix: string;
  readonly commandTimeoutMs: number;
  readonly onWarning: (message: string) => void;
}

const NAMES: Readonly<Record<keyof RedisStorageOptions, true>> = {
  url: true,
  client: true,
  connection: true,
  prefix: true,
  commandTimeout: true,
  onWarning: true,
};
const DEFAULT_URL = "redis://127.0.0.1:6379/0";
const TEN_MINUTES_MS = 600_000;
const URL_FORM = '"redis://[user:password@]host[:port][/database][?prefix=NAME&tls=true&commandTimeout=5s]"';

/** @throws {ConfigError} an option is unknown, of another type or out of range; shows no credentials */
export function redisSettings(options: RedisStorageOptions = {}): RedisSettings {
  for (const name of Object.keys(options)) {
    if (!Object.hasOwn(NAMES, name)) {
      const takes = `one of the names ${Object.keys(NAMES).join(", ")}`;
      throw new ConfigError({ option: `storage.${name}`, got: "given", takes });
    }
  }
  const { url, client, connection } = options;
  if (client !== undefined && (url !== undefined || connection !== undefined)) {
    throw new ConfigError({
      option: "storage.client",
      got: "given together with url or connection",
      takes: "a Redis of the package ioredis that has them already",
    });
  }
  if (client !== undefined) checkClient(client);
  if (connection !== undefined && (typeof connection !== "object" || connection === null))
    throw new ConfigError({ option: "storage.connection", got: connection, takes: "options of ioredis" });
  return {
    url: checkUrl(url ?? DEFAULT_URL),
    client: client ?? null,
    connection: connection ?? {},
    prefix: checkPrefix(options.prefix ?? "holdfast"),
    commandTimeoutMs: checkTimeout(options.commandTimeout ?? 5_000),
    onWarning: checkOnWarning(options.onWarning ?? warn),
  };
}

/** Reads `redis://[user:password@]host[:port][/database][?prefix=...&tls=true&commandTimeout=...]`. @throws {ConfigError} shows no credentials */
export function optionsFromUrl(url: string): RedisStorageOptions {
  const place = url === "redis:" || url === "redis://" ? DEFAULT_URL : url;
  // A password with a question mark that is not encoded would be read as parameters, and shown.
  const isSplit = place.includes("?") && place.lastIndexOf("@") > place.indexOf("?");
  if (!/^rediss?:\/\//u.test(place) || !URL.canParse(place) || isSplit)
    throw new ConfigError({
      option: "storage",
      got: "redis: in a form that cannot be read",
      takes: URL_FORM,
    });
  const parsed = new URL(place);
  const query = parsed.searchParams;
  for (const name of query.keys()) {
    if (!["prefix", "tls", "commandTimeout"].includes(name))
      throw new ConfigError({
        option: "storage",
        got: `redis: with the parameter "${name}"`,
        takes: URL_FORM,
      });
  }
  const tls = query.get("tls");
  if (tls !== null && tls !== "true" && tls !== "false")
    throw new ConfigError({ option: "storage.tls", got: tls, takes: "true or false" });
  const prefix = query.get("prefix");
  const commandTimeout = query.get("commandTimeout");
  const bare = place.replace(/\?.*$/u, "");
  return {
    url: tls === "true" ? bare.replace(/^redis:/u, "rediss:") : bare,
    ...(prefix === null ? {} : { prefix }),
    ...(commandTimeout === null ? {} : { commandTimeout }),
  };
}

function checkUrl(url: unknown): string {
  // ioredis takes any of its options from a query, and lets them win over those that keep it from repeating commands.
  const isBare = typeof url === "string" && !/[?#]/u.test(url);
  if (isBare && /^rediss?:\/\//u.test(url) && URL.canParse(url)) return url;
  // What is wrong with it may be that it holds a password in the wrong place: it is not shown.
  throw new ConfigError({
    option: "storage.url",
    got: "another text",
    takes: `a URL such as "${DEFAULT_URL}", with nothing after the database`,
  });
}

function checkClient(client: RedisClient): void {
  const isRedis = typeof client.duplicate === "function" && typeof client.options === "object";
  if (isRedis && !("isCluster" in client && client.isCluster === true)) return;
  throw new ConfigError({
    option: "storage.client",
    got: isRedis ? "a Cluster" : client,
    takes: "a Redis of the package ioredis; of a Redis Cluster, give the url of any server",
  });
}

function checkPrefix(prefix: unknown): string {
  if (typeof prefix === "string" && /^[\w.:/-]{1,100}$/u.test(prefix)) return prefix;
  throw new ConfigError({
    option: "storage.prefix",
    got: prefix,
    takes: 'letters, digits, and any of _ . : - /, up to 100, as in "holdfast"',
  });
}

function checkTimeout(duration: Duration): number {
  const timeoutMs = milliseconds(duration, "storage.commandTimeout");
  if (timeoutMs >= 100 && timeoutMs <= TEN_MINUTES_MS) return timeoutMs;
  throw new ConfigError({
    option: "storage.commandTimeout",
    got: duration,
    takes: "a duration from 100 ms to 10 minutes",
  });
}

function checkOnWarning(onWarning: unknown): (message: string) => void {
  if (typeof onWarning === "function") return onWarning as (message: string) => void;
  throw new ConfigError({ option: "storage.onWarning", got: onWarning, takes: "a function" });
}

function warn(message: string): void {
  process.emitWarning(message, { type: "HoldfastWarning", code: "HOLDFAST_REDIS" });
}
