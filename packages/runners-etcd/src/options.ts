// The options of etcd(), checked once, and their form as a URL.

import { readFileSync } from "node:fs";
import { ConfigError } from "@holdfast/core/adapter";

/** Where etcd is and how it is spoken to. */
export interface EtcdOptions {
  /** The members of the etcd cluster, as `"http://host:port"`, `"https://host:port"` or `"host:port"`. Default `["http://127.0.0.1:2379"]`. */
  readonly hosts?: string | readonly string[];
  /** What all keys begin with. One prefix is one Holdfast cluster. Default `"/holdfast/"`. */
  readonly prefix?: string;
  /** A user of etcd, where authentication is enabled. It needs to read and write the prefix. */
  readonly auth?: { readonly username: string; readonly password: string };
  /** TLS. Without it, `https://` hosts are checked against the system's certificate authorities. */
  readonly tls?: {
    /** The certificate authority that signed the servers' certificates: PEM, or the path of a PEM file. */
    readonly ca?: string;
    /** This client's certificate, where etcd asks for one: PEM, or the path of a PEM file. */
    readonly certificate?: string;
    /** The key of `certificate`: PEM, or the path of a PEM file. */
    readonly key?: string;
  };
  /** How long one call may take, tries of it included, in ms, 100 to 600,000. Default 3,000. */
  readonly timeoutMs?: number;
}

/** The options, checked. */
export interface EtcdSettings {
  readonly hosts: readonly string[];
  /** Ends with a slash. */
  readonly prefix: string;
  readonly auth: { readonly username: string; readonly password: string } | null;
  readonly tls: {
    readonly ca: Buffer | null;
    readonly certificate: Buffer | null;
    readonly key: Buffer | null;
  } | null;
  readonly timeoutMs: number;
}

const NAMES: Readonly<Record<keyof EtcdOptions, true>> = {
  hosts: true,
  prefix: true,
  auth: true,
  tls: true,
  timeoutMs: true,
};
const DEFAULT_HOST = "http://127.0.0.1:2379";
const DEFAULT_PREFIX = "/holdfast/";
const DEFAULT_TIMEOUT_MS = 3_000;
const TEN_MINUTES_MS = 600_000;

/** @throws {ConfigError} names the option, what it got and what it takes; shows no credentials */
export function checkOptions(options: EtcdOptions): EtcdSettings {
  checkNames("", options, Object.keys(NAMES));
  const hosts = typeof options.hosts === "string" ? [options.hosts] : (options.hosts ?? [DEFAULT_HOST]);
  if (hosts.length === 0)
    throw new ConfigError({
      option: "runners.hosts",
      got: hosts,
      takes: `at least one host, as in "${DEFAULT_HOST}"`,
    });
  for (const host of hosts) checkHost(host);
  const secureCount = hosts.filter((host) => host.startsWith("https://")).length;
  if (secureCount > 0 && secureCount < hosts.length)
    throw new ConfigError({
      option: "runners.hosts",
      got: "both http:// and https://",
      takes: "hosts of one kind",
    });
  const tls = options.tls === undefined ? null : checkTls(options.tls);
  if (tls !== null && secureCount === 0)
    throw new ConfigError({
      option: "runners.tls",
      got: "given for hosts without https://",
      takes: "hosts that begin with https://",
    });
  return {
    hosts,
    prefix: checkPrefix(options.prefix ?? DEFAULT_PREFIX),
    auth: checkAuth(options.auth),
    tls,
    timeoutMs: checkTimeout(options.timeoutMs ?? DEFAULT_TIMEOUT_MS),
  };
}

/**
 * Reads `etcd://[user:password@]host[:port][,host[:port]...][/prefix][?tls=true&ca=...&certificate=...&key=...&timeoutMs=...]`.
 *
 * @throws {ConfigError} shows no credentials
 */
export function optionsFromUrl(url: string): EtcdOptions {
  const parts =
    /^etcd:(?:\/\/)?(?:(?<user>[^@/?]*)@)?(?<hosts>[^/?]*)(?<path>\/[^?]*)?(?:\?(?<query>.*))?$/u.exec(
      url,
    )?.groups;
  if (parts === undefined)
    throw new ConfigError({ option: "runners", got: "etcd: in a form that cannot be read", takes: FORM });
  const query = new URLSearchParams(parts["query"] ?? "");
  const unknown = [...query.keys()].find((name) => !PARAMETERS.has(name));
  // The @ belongs to a password that holds one of / and ?: what seems to be a prefix or a parameter is a piece of it.
  if (holdsAt(parts["path"]) || (unknown !== undefined && holdsAt(parts["query"])))
    throw new ConfigError({
      option: "runners",
      got: "etcd: with an @ after a / or a ?",
      takes: FORM,
      hint: "Write those of a password as %2F and %3F.",
    });
  if (unknown !== undefined)
    throw new ConfigError({ option: "runners", got: `etcd: with the parameter "${unknown}"`, takes: FORM });
  for (const name of query.keys()) {
    // One of two that differ would turn TLS on, the other off.
    if (query.getAll(name).length > 1)
      throw new ConfigError({ option: "runners", got: `etcd: with "${name}" more than once`, takes: FORM });
  }
  const files = Object.fromEntries(
    ["ca", "certificate", "key"].flatMap((name) =>
      query.get(name) === null ? [] : [[name, query.get(name) ?? ""]],
    ),
  );
  const tls = query.get("tls");
  const isSecured = Object.keys(files).length > 0;
  // Whoever means TLS and writes it otherwise must not send a password without it.
  if (tls !== null && tls !== "true" && (tls !== "false" || isSecured))
    throw new ConfigError({
      option: "runners",
      got: isSecured ? 'etcd: with certificates and another "tls" than true' : 'etcd: with another "tls"',
      takes: FORM,
    });
  const hasTls = tls === "true" || isSecured;
  const hosts = (parts["hosts"] ?? "").split(",").filter((host) => host !== "");
  const timeout = query.get("timeoutMs");
  return {
    ...(hosts.length === 0
      ? {}
      : {
          hosts: hosts.map(
            (host) => `${hasTls ? "https" : "http"}://${/:\d+$/u.test(host) ? host : `${host}:2379`}`,
          ),
        }),
    ...(parts["path"] === undefined || parts["path"] === "/" ? {} : { prefix: decoded(parts["path"]) }),
    ...(parts["user"] === undefined ? {} : { auth: credentials(parts["user"]) }),
    ...(hasTls ? { tls: files } : {}),
    ...(timeout === null ? {} : { timeoutMs: Number(timeout) }),
  };
}

const PARAMETERS: ReadonlySet<string> = new Set(["tls", "ca", "certificate", "key", "timeoutMs"]);
const FORM =
  '"etcd://[user:password@]host[:port][,host[:port]...][/prefix][?tls=true&ca=FILE&certificate=FILE&key=FILE&timeoutMs=N]"';

function holdsAt(text: string | undefined): boolean {
  return text?.includes("@") === true;
}

function credentials(text: string): { username: string; password: string } {
  const [username = "", ...password] = text.split(":");
  return { username: decoded(username), password: decoded(password.join(":")) };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // It may be a password: not shown.
    throw new ConfigError({
      option: "runners",
      got: "etcd: with a % that is no escape",
      takes: "%25 for a percent sign",
    });
  }
}

/** A name that is none may be one of those that secure it, written otherwise. */
function checkNames(within: string, given: object, names: readonly string[]): void {
  const unknown = Object.keys(given).find((name) => !names.includes(name));
  if (unknown === undefined) return;
  throw new ConfigError({
    option: `runners.${within}${unknown}`,
    got: "given",
    takes: `one of the names ${names.join(", ")}`,
  });
}

function checkHost(host: unknown): void {
  const isHost = typeof host === "string" && /^(?:https?:\/\/)?[^/?#@\s]+:\d{1,5}$/u.test(host);
  // A host with a user in it may hold a password: it is not shown.
  if (!isHost)
    throw new ConfigError({
      option: "runners.hosts",
      got: typeof host === "string" && host.includes("@") ? "a host with a user" : host,
      takes: `hosts with a port, as in "${DEFAULT_HOST}"; users go into "auth"`,
    });
}

function checkPrefix(prefix: unknown): string {
  if (typeof prefix !== "string" || prefix.length > 256 || !/^[\w./:-]*[\w.:-][\w./:-]*$/u.test(prefix))
    throw new ConfigError({
      option: "runners.prefix",
      got: prefix,
      takes: `letters, digits, and any of _ . : - /, up to 256, as in "${DEFAULT_PREFIX}"`,
    });
  return prefix.endsWith("/") ? prefix : `${prefix}/`;
}

function checkAuth(auth: EtcdOptions["auth"]): EtcdSettings["auth"] {
  if (auth === undefined) return null;
  checkNames("auth.", auth, ["username", "password"]);
  const { username, password } = auth;
  if (typeof username !== "string" || username === "" || typeof password !== "string")
    throw new ConfigError({
      option: "runners.auth",
      got: "without a username or a password",
      takes: "{ username, password }",
    });
  return { username, password };
}

function checkTls(tls: NonNullable<EtcdOptions["tls"]>): NonNullable<EtcdSettings["tls"]> {
  checkNames("tls.", tls, ["ca", "certificate", "key"]);
  const { ca, certificate, key } = tls;
  if ((certificate === undefined) !== (key === undefined))
    throw new ConfigError({
      option: "runners.tls",
      got: "one of certificate and key",
      takes: "both or none",
    });
  return { ca: pem("ca", ca), certificate: pem("certificate", certificate), key: pem("key", key) };
}

/** A PEM as it is, or what the file holds. */
function pem(name: string, given: string | undefined): Buffer | null {
  if (given === undefined) return null;
  if (given.includes("-----BEGIN")) return Buffer.from(given);
  try {
    return readFileSync(given);
  } catch (cause) {
    throw new ConfigError(
      {
        option: `runners.tls.${name}`,
        got: "a file that cannot be read",
        takes: "PEM, or the path of a PEM file",
      },
      { cause },
    );
  }
}

function checkTimeout(timeoutMs: unknown): number {
  if (typeof timeoutMs !== "number" || !(timeoutMs >= 100 && timeoutMs <= TEN_MINUTES_MS))
    throw new ConfigError({
      option: "runners.timeoutMs",
      got: timeoutMs,
      takes: "milliseconds, 100 to 600,000",
    });
  return timeoutMs;
}
