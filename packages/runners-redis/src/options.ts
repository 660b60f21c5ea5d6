// The options of redis(), checked once.

import { readFileSync } from "node:fs";
import { ConfigError, milliseconds, type Duration } from "@holdfast/core/adapter";
import { DEFAULT_URL, readServerUrl, type RedisAuth, type RedisHost } from "./server-url.ts";

/** Where Redis is and how it is spoken to. A duration is a number of milliseconds or a string such as `"3s"`. */
export interface RedisRunnersOptions {
  /**
   * Where Redis is, as `"redis://[user:password@]host[:port][/database]"`, and with TLS `"rediss://..."`. With `sentinel` and
   * `cluster` it may name several hosts, separated by commas. Default `"redis://127.0.0.1:6379"`.
   */
  readonly url?: string;
  /**
   * A `Redis` or a `Cluster` of ioredis that you made, instead of `url`: also one that finds its server by Sentinels, and one of a Redis
   * Cluster. Connections are made as it makes them; it is neither used for commands nor closed. Its `keyPrefix` does not count.
   */
  readonly client?: RedisClient;
  /** The hosts of `url` are Sentinels, which know where the master of this name is. */
  readonly sentinel?: { readonly name: string; readonly username?: string; readonly password?: string };
  /** Whether the hosts of `url` are nodes of a Redis Cluster. Default false. */
  readonly cluster?: boolean;
  /** What all keys and channels begin with. One prefix is one Holdfast cluster. Default `"holdfast"`. */
  readonly prefix?: string;
  /** TLS, for `rediss://`. Without it, servers are checked against the system's certificate authorities. */
  readonly tls?: {
    /** The certificate authority that signed the servers' certificates: PEM, or the path of a PEM file. */
    readonly ca?: string;
    /** This client's certificate, where Redis asks for one: PEM, or the path of a PEM file. */
    readonly certificate?: string;
    /** The key of `certificate`: PEM, or the path of a PEM file. */
    readonly key?: string;
  };
  /** How long one call may take, its tries and the wait for a connection included, 100 ms to 10 minutes. Default 3s. */
  readonly commandTimeout?: Duration;
  /** How often a runner looks for changes that nobody told it of, 50 ms to 10 minutes. Default 2s. */
  readonly pollInterval?: Duration;
}

/** As much of a `Redis` or a `Cluster` of ioredis as this package uses, so that any copy of it will do. */
export interface RedisClient {
  readonly isCluster: boolean;
  readonly options: object;
  /** A `Redis` takes other options, a `Cluster` other nodes before them. */
  duplicate(override?: object, options?: object): unknown;
}

/** The options, checked. */
export interface RedisSettings {
  readonly client: RedisClient | null;
  readonly hosts: readonly RedisHost[];
  readonly database: number;
  readonly auth: RedisAuth | null;
  readonly sentinel: {
    readonly name: string;
    readonly username: string | null;
    readonly password: string | null;
  } | null;
  readonly isCluster: boolean;
  readonly prefix: string;
  /** As Node takes it. Null: no TLS. */
  readonly tls: { readonly ca?: Buffer; readonly cert?: Buffer; readonly key?: Buffer } | null;
  readonly commandTimeoutMs: number;
  readonly pollIntervalMs: number;
}

const NAMES: Readonly<Record<keyof RedisRunnersOptions, true>> = {
  url: true,
  client: true,
  sentinel: true,
  cluster: true,
  prefix: true,
  tls: true,
  commandTimeout: true,
  pollInterval: true,
};
const SENTINEL_NAMES = ["name", "username", "password"];
const TLS_NAMES = ["ca", "certificate", "key"];
/** What the client has settled already. */
const PLACES = ["url", "sentinel", "cluster", "tls"] as const;
const DEFAULT_PREFIX = "holdfast";
const DEFAULT_COMMAND_TIMEOUT_MS = 3_000;
const DEFAULT_POLL_INTERVAL_MS = 2_000;
const TEN_MINUTES_MS = 600_000;

/** @throws {ConfigError} names the option, what it got and what it takes; shows no credentials */
export function checkOptions(options: RedisRunnersOptions): RedisSettings {
  checkNames("", options, Object.keys(NAMES));
  const client = checkClient(options);
  const isCluster = options.cluster ?? false;
  if (typeof isCluster !== "boolean") throw refusal("cluster", isCluster, "true or false");
  const sentinel = checkSentinel(options.sentinel);
  if (isCluster && sentinel !== null)
    throw refusal("sentinel", "given for a cluster", "a Redis that is no cluster");
  const server = readServerUrl(options.url ?? DEFAULT_URL, sentinel === null ? 6379 : 26_379);
  if (server.hosts.length > 1 && !isCluster && sentinel === null)
    throw refusal("url", `${server.hosts.length} hosts`, `one host, or several with "sentinel" or "cluster"`);
  if (isCluster && server.database !== 0)
    throw refusal("url", `database ${server.database} of a cluster`, "no other database than 0");
  if (options.tls !== undefined && !server.isSecure)
    throw refusal("tls", "given for a URL without rediss://", `a URL that begins with "rediss://"`);
  return {
    client,
    hosts: server.hosts,
    database: server.database,
    auth: server.auth,
    sentinel,
    isCluster,
    prefix: checkPrefix(options.prefix ?? DEFAULT_PREFIX),
    tls: server.isSecure ? checkTls(options.tls ?? {}) : null,
    commandTimeoutMs: checkDuration(
      "commandTimeout",
      options.commandTimeout ?? DEFAULT_COMMAND_TIMEOUT_MS,
      100,
    ),
    pollIntervalMs: checkDuration("pollInterval", options.pollInterval ?? DEFAULT_POLL_INTERVAL_MS, 50),
  };
}

function refusal(option: string, got: unknown, takes: string, options?: ErrorOptions): ConfigError {
  return new ConfigError({ option: `runners.${option}`, got, takes }, options);
}

function checkClient(options: RedisRunnersOptions): RedisClient | null {
  const { client } = options;
  if (client === undefined) return null;
  // Not by its class: the user's ioredis may be another copy.
  const isClient =
    typeof client === "object" &&
    client !== null &&
    typeof client.duplicate === "function" &&
    typeof client.options === "object" &&
    typeof client.isCluster === "boolean";
  if (!isClient) throw refusal("client", client, "a Redis or a Cluster of ioredis");
  for (const name of PLACES) {
    if (options[name] !== undefined)
      throw refusal(name, `given beside "client"`, "nothing then: the client knows");
  }
  return client;
}

function checkSentinel(sentinel: RedisRunnersOptions["sentinel"]): RedisSettings["sentinel"] {
  if (sentinel === undefined) return null;
  const takes = "{ name, username, password }, with the name of the master";
  if (typeof sentinel !== "object" || sentinel === null) throw refusal("sentinel", "no object", takes);
  checkNames("sentinel.", sentinel, SENTINEL_NAMES);
  const { name, username = null, password = null } = sentinel;
  if (typeof name !== "string" || name === "") throw refusal("sentinel.name", name, "the name of the master");
  if (username !== null && typeof username !== "string") throw refusal("sentinel.username", username, takes);
  if (password !== null && typeof password !== "string") throw refusal("sentinel.password", "no text", takes);
  return { name, username, password };
}

function checkPrefix(prefix: unknown): string {
  if (typeof prefix !== "string" || !/^[\w.:/-]{1,256}$/u.test(prefix))
    throw refusal(
      "prefix",
      prefix,
      `letters, digits, and any of _ . : - /, up to 256, as in "${DEFAULT_PREFIX}"`,
    );
  return prefix;
}

function checkTls(tls: NonNullable<RedisRunnersOptions["tls"]>): NonNullable<RedisSettings["tls"]> {
  if (typeof tls !== "object" || tls === null) throw refusal("tls", tls, "{ ca, certificate, key }");
  checkNames("tls.", tls, TLS_NAMES);
  const { ca, certificate, key } = tls;
  if ((certificate === undefined) !== (key === undefined))
    throw refusal("tls", "one of certificate and key", "both or none");
  return {
    ...(ca === undefined ? {} : { ca: pem("ca", ca) }),
    ...(certificate === undefined ? {} : { cert: pem("certificate", certificate) }),
    ...(key === undefined ? {} : { key: pem("key", key) }),
  };
}

/** A PEM as it is, or what the file holds. */
function pem(name: string, given: unknown): Buffer {
  if (typeof given !== "string") throw refusal(`tls.${name}`, given, "PEM, or the path of a PEM file");
  if (given.includes("-----BEGIN")) return Buffer.from(given);
  try {
    return readFileSync(given);
  } catch (cause) {
    throw refusal(`tls.${name}`, "a file that cannot be read", "PEM, or the path of a PEM file", { cause });
  }
}

/** Beyond ten minutes somebody mixed up units; beyond 25 days a timer of Node would fire at once. */
function checkDuration(name: string, duration: unknown, leastMs: number): number {
  const takes = `a duration from ${leastMs} ms to 10 minutes, as 3000 or "3s"`;
  if (typeof duration !== "number" && typeof duration !== "string") throw refusal(name, duration, takes);
  const ms = milliseconds(duration, `runners.${name}`);
  if (ms < leastMs || ms > TEN_MINUTES_MS) throw refusal(name, duration, takes);
  return ms;
}

/** A name that is misspelt would leave out what it stands for. */
function checkNames(of: string, given: object, names: readonly string[]): void {
  for (const name of Object.keys(given)) {
    if (!names.includes(name)) throw refusal(`${of}${name}`, "given", `one of the names ${names.join(", ")}`);
  }
}
