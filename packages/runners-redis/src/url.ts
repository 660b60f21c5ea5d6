// The URLs of Redis: where the servers are, and all options in one line.

import { ConfigError } from "@holdfast/core/adapter";
import type { RedisRunnersOptions } from "./options.ts";

export const DEFAULT_URL = "redis://127.0.0.1:6379";

export interface RedisHost {
  readonly host: string;
  readonly port: number;
}

export interface RedisAuth {
  /** Null: Redis's user `default`. */
  readonly username: string | null;
  readonly password: string;
}

/** What `redis://[user:password@]host[:port][,host[:port]...][/database]` says. */
export interface ServerUrl {
  readonly isSecure: boolean;
  readonly hosts: readonly RedisHost[];
  readonly auth: RedisAuth | null;
  readonly database: number;
}

const SERVER =
  /^redis(?<secure>s)?:(?:\/\/)?(?:(?<user>[^@/?#]*)@)?(?<hosts>[^@/?#\s]*)(?:\/(?<database>\d{0,6}))?$/u;
const HOST = /^(?<host>\[[\da-f:.]+\]|[^:[\]]+)(?::(?<port>\d{1,5}))?$/iu;
const SERVER_FORM =
  '"redis://[user:password@]host[:port][,host[:port]...][/database]", or with rediss:// for TLS';
const PARAMETERS = [
  "prefix",
  "sentinel",
  "sentinelUsername",
  "sentinelPassword",
  "cluster",
  "ca",
  "certificate",
  "key",
  "timeoutMs",
  "pollIntervalMs",
];
const FORM = `${SERVER_FORM}, and after a question mark any of ${PARAMETERS.join(", ")}`;

/** @throws {ConfigError} shows no credentials */
export function readServerUrl(url: unknown, defaultPort: number): ServerUrl {
  const parts = typeof url === "string" ? SERVER.exec(url)?.groups : undefined;
  if (parts === undefined) throw refusal("in a form that cannot be read");
  const names = (parts["hosts"] ?? "").split(",").filter((host) => host !== "");
  const hosts = (names.length === 0 ? ["127.0.0.1"] : names).map((name) => {
    const { host = "", port } = HOST.exec(name)?.groups ?? {};
    if (host === "" || Number(port ?? defaultPort) > 65_535) throw refusal("with a host that cannot be read");
    return { host: host.replaceAll(/[[\]]/gu, ""), port: Number(port ?? defaultPort) };
  });
  return {
    isSecure: parts["secure"] !== undefined,
    hosts,
    auth: readUser(parts["user"] ?? ""),
    database: Number(parts["database"] ?? 0),
  };
}

/**
 * Reads `redis://...` and `rediss://...` with all other options as parameters.
 *
 * @throws {ConfigError} shows no credentials
 */
export function optionsFromUrl(url: string): RedisRunnersOptions {
  const [server = "", ...rest] = url.split("?");
  const query = new URLSearchParams(rest.join("?"));
  for (const name of query.keys()) {
    if (!PARAMETERS.includes(name))
      throw new ConfigError({ option: "runners", got: `redis: with the parameter "${name}"`, takes: FORM });
  }
  const given = (name: string): string | undefined => query.get(name) ?? undefined;
  const sentinel = texts({
    name: given("sentinel"),
    username: given("sentinelUsername"),
    password: given("sentinelPassword"),
  });
  const tls = texts({ ca: given("ca"), certificate: given("certificate"), key: given("key") });
  return {
    url: server,
    ...texts({ prefix: given("prefix") }),
    // A name that is missing is named by the check of the options.
    ...(Object.keys(sentinel).length === 0 ? {} : { sentinel: { name: "", ...sentinel } }),
    ...(query.has("cluster") ? { cluster: readFlag("cluster", given("cluster")) } : {}),
    ...(Object.keys(tls).length === 0 ? {} : { tls }),
    ...(query.has("timeoutMs") ? { timeoutMs: Number(given("timeoutMs")) } : {}),
    ...(query.has("pollIntervalMs") ? { pollIntervalMs: Number(given("pollIntervalMs")) } : {}),
  };
}

/** The URL may hold a password, also where it is wrong: it is not shown. */
function refusal(got: string): ConfigError {
  return new ConfigError({ option: "runners.url", got, takes: SERVER_FORM });
}

/** `user:password`, or `:password` for the user `default`. */
function readUser(text: string): RedisAuth | null {
  if (text === "") return null;
  const [username = "", ...password] = text.split(":");
  if (password.length === 0) throw refusal("with a user and without a password");
  try {
    return {
      username: username === "" ? null : decodeURIComponent(username),
      password: decodeURIComponent(password.join(":")),
    };
  } catch {
    throw refusal("with a user or a password that is not percent-encoded as it should be");
  }
}

function readFlag(name: string, value: string | undefined): boolean {
  if (value === "true" || value === "false") return value === "true";
  throw new ConfigError({ option: `runners.${name}`, got: value, takes: "true or false" });
}

/** Those that were given. */
function texts<Name extends string>(
  values: Readonly<Record<Name, string | undefined>>,
): Partial<Record<Name, string>> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Partial<
    Record<Name, string>
  >;
}
