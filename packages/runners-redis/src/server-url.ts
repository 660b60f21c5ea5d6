// The URL of servers: where they are, and who asks.

import { ConfigError } from "@holdfast/core/adapter";

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
export const SERVER_FORM =
  '"redis://[user:password@]host[:port][,host[:port]...][/database]", or with rediss:// for TLS';

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
