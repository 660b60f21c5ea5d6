// The options of nats(), checked once.

import { readFileSync } from "node:fs";
import { ConfigError } from "@holdfast/core/adapter";
import { credsAuthenticator, nkeys } from "@nats-io/transport-node";

/** Where the NATS servers are, who this member is there, and how much it lets wait. */
export interface NatsOptions {
  /** The servers of one NATS system, as `"host:port"`, `"nats://host:port"`, or `"tls://host:port"`. Default `["127.0.0.1:4222"]`. */
  readonly servers?: string | readonly string[];
  /** What the subjects of all members begin with. One prefix is one Holdfast cluster. Default `"holdfast"`. */
  readonly prefix?: string;
  /** This member's own name: others reach it at the subject `prefix.name`. Default: another one with each start. */
  readonly name?: string;
  /** A token, where the servers ask for one. */
  readonly token?: string;
  /** A user, where the servers ask for one. With `pass`. */
  readonly user?: string;
  /** The password of `user`. */
  readonly pass?: string;
  /** The seed of a user's nkey, `"SU..."`. */
  readonly nkeySeed?: string;
  /** The path of a credentials file: a JWT and the seed of its nkey. It is read again with each connection. */
  readonly credentialsFile?: string;
  /** TLS. Servers that ask for it get it also without; then the system's authorities are trusted. */
  readonly tls?: NatsTls;
  /** How much may wait for one peer, in bytes. More is not sent, and its senders are told. Default 64 MiB. */
  readonly maxQueuedBytes?: number;
  /** How many messages may wait for one peer. Default 100,000. */
  readonly maxQueuedMessages?: number;
  /** How much may be on its way to one peer, in bytes, before it says what came. Default 2 MiB. */
  readonly maxInFlightBytes?: number;
  /** How long a silent peer or server is believed in before it is asked, in ms, 100 to 600,000. It is given up after two to three times that. Default 2,000. */
  readonly keepAliveMs?: number;
  /** How long a server or a peer may take to connect, in ms, 100 to 600,000. Default 5,000. */
  readonly connectTimeoutMs?: number;
}

/** Certificates, as the paths of PEM files. They are read again with each connection. */
export interface NatsTls {
  /** The authority that signed the servers' certificates. Default: the system's. */
  readonly caFile?: string;
  /** This client's certificate, where the servers ask for one. With `keyFile`. */
  readonly certFile?: string;
  /** The key of `certFile`. */
  readonly keyFile?: string;
  /** The name that the servers' certificates bear, where it is not their host. */
  readonly serverName?: string;
}

/** How this member says who it is. */
export type Credentials =
  | { readonly kind: "none" }
  | { readonly kind: "token"; readonly token: string }
  | { readonly kind: "user"; readonly user: string; readonly pass: string }
  | { readonly kind: "nkeySeed"; readonly seed: Uint8Array }
  | { readonly kind: "credentialsFile"; readonly path: string };

/** The options, checked. */
export interface NatsSettings {
  readonly servers: readonly string[];
  readonly prefix: string;
  readonly name: string | null;
  readonly credentials: Credentials;
  readonly tls: NatsTls | null;
  readonly maxQueuedBytes: number;
  readonly maxQueuedMessages: number;
  readonly maxInFlightBytes: number;
  readonly keepAliveMs: number;
  readonly connectTimeoutMs: number;
}

export const OPTION_NAMES: Readonly<Record<keyof NatsOptions, true>> = {
  servers: true,
  prefix: true,
  name: true,
  token: true,
  user: true,
  pass: true,
  nkeySeed: true,
  credentialsFile: true,
  tls: true,
  maxQueuedBytes: true,
  maxQueuedMessages: true,
  maxInFlightBytes: true,
  keepAliveMs: true,
  connectTimeoutMs: true,
};
export const TLS_NAMES: Readonly<Record<keyof NatsTls, true>> = {
  caFile: true,
  certFile: true,
  keyFile: true,
  serverName: true,
};
const DEFAULT_SERVER = "127.0.0.1:4222";
const DEFAULT_PREFIX = "holdfast";
const DEFAULT_MAX_QUEUED_BYTES = 64 * 1_048_576;
const DEFAULT_MAX_IN_FLIGHT_BYTES = 2 * 1_048_576;
/** Subjects are part of every message. */
const TEN_MINUTES_MS = 600_000;
const LONGEST_PREFIX = 128;
const SERVER = /^(?:(?:nats|tls):\/\/)?(?:\[[0-9a-fA-F:.]+\]|[^:/?#@\s[\]]+)(?::(?<port>\d{1,5}))?\/?$/u;
/** What is no server is shown if it cannot be a user and a password, or the first piece of them. */
const SHOWN_SERVER = /^(?:\w*:\/\/)?[^:/?#@\s]*(?::\d*)?\/?$/u;
const TOKEN = "[A-Za-z0-9_-]+";
const PREFIX = new RegExp(`^${TOKEN}(?:\\.${TOKEN})*$`, "u");
const NAME = new RegExp(`^${TOKEN}$`, "u");

/** @throws {ConfigError} names the option, what it got and what it takes; shows no secrets */
export function checkOptions(options: NatsOptions): NatsSettings {
  checkNames("transport", options, OPTION_NAMES);
  const servers = checkServers(options.servers ?? DEFAULT_SERVER);
  // The client library takes the scheme for a matter of taste.
  const saysTls = servers.some((server) => server.startsWith("tls://"));
  return {
    servers,
    prefix: checkPrefix(options.prefix ?? DEFAULT_PREFIX),
    name: checkName(options.name),
    credentials: checkCredentials(options),
    tls: checkTls(options.tls ?? (saysTls ? {} : undefined)),
    maxQueuedBytes: whole("maxQueuedBytes", options.maxQueuedBytes ?? DEFAULT_MAX_QUEUED_BYTES, 65_536),
    maxQueuedMessages: whole("maxQueuedMessages", options.maxQueuedMessages ?? 100_000, 1),
    maxInFlightBytes: whole(
      "maxInFlightBytes",
      options.maxInFlightBytes ?? DEFAULT_MAX_IN_FLIGHT_BYTES,
      65_536,
    ),
    keepAliveMs: whole("keepAliveMs", options.keepAliveMs ?? 2_000, 100, TEN_MINUTES_MS),
    connectTimeoutMs: whole("connectTimeoutMs", options.connectTimeoutMs ?? 5_000, 100, TEN_MINUTES_MS),
  };
}

function checkNames(option: string, given: object, names: Readonly<Record<string, true>>): void {
  for (const name of Object.keys(given)) {
    if (!Object.hasOwn(names, name))
      throw new ConfigError({
        option: `${option}.${name}`,
        got: "given",
        takes: `no such name, but ${Object.keys(names).join(", ")}`,
      });
  }
}

function checkServers(given: string | readonly string[]): readonly string[] {
  const servers: readonly unknown[] = typeof given === "string" ? [given] : given;
  const takes =
    'one or more of "host:port" or "nats://host:port"; who this member is goes into options of its own';
  if (!Array.isArray(servers) || servers.length === 0)
    throw new ConfigError({ option: "transport.servers", got: given, takes });
  return servers.map((server: unknown) => {
    const match = typeof server === "string" ? SERVER.exec(server) : null;
    if (typeof server !== "string" || match === null || !(Number(match.groups?.["port"] ?? 1) <= 65_535))
      throw new ConfigError({
        option: "transport.servers",
        got: typeof server === "string" && !SHOWN_SERVER.test(server) ? "of another form" : server,
        takes,
      });
    return server;
  });
}

function checkPrefix(prefix: unknown): string {
  if (typeof prefix !== "string" || prefix.length > LONGEST_PREFIX || !PREFIX.test(prefix))
    throw new ConfigError({
      option: "transport.prefix",
      got: prefix,
      takes: `words of letters, digits, _ and -, with dots between them, up to ${LONGEST_PREFIX} characters`,
    });
  return prefix;
}

function checkName(name: unknown): string | null {
  if (name === undefined) return null;
  if (typeof name !== "string" || name.length > LONGEST_PREFIX || !NAME.test(name))
    throw new ConfigError({
      option: "transport.name",
      // The end of a password and a host, where a URL has a ? that is not escaped.
      got: typeof name === "string" && name.includes("@") ? "of another form" : name,
      takes: `letters, digits, _ and -, up to ${LONGEST_PREFIX}, and no dots`,
    });
  return name;
}

function checkCredentials({ token, user, pass, nkeySeed, credentialsFile }: NatsOptions): Credentials {
  const given = Object.entries({ token, user, nkeySeed, credentialsFile }).filter(
    ([, value]) => value !== undefined,
  );
  const [first, second] = given.map(([name]) => name);
  if (first !== undefined && second !== undefined)
    throw new ConfigError({
      option: `transport.${second}`,
      got: `given beside "${first}"`,
      takes: "one way to say who this member is: token, user and pass, nkeySeed, or credentialsFile",
    });
  if (pass !== undefined && user === undefined)
    throw new ConfigError({
      option: "transport.pass",
      got: "given without a user",
      takes: "a user beside it",
    });
  for (const [name, value] of [...given, ...(pass === undefined ? [] : [["pass", pass] as const])]) {
    if (typeof value !== "string" || value === "")
      throw new ConfigError({
        option: `transport.${name}`,
        got: value === "" ? "" : "of another type",
        takes: "text, not empty",
      });
  }
  if (token !== undefined) return { kind: "token", token };
  if (user !== undefined) return { kind: "user", user, pass: pass ?? "" };
  if (nkeySeed !== undefined) return { kind: "nkeySeed", seed: checkSeed(nkeySeed) };
  if (credentialsFile === undefined) return { kind: "none" };
  readCredentials(credentialsFile);
  return { kind: "credentialsFile", path: credentialsFile };
}

/** What a credentials file holds: surely a JWT and a user's seed. @throws {ConfigError} */
export function readCredentials(path: string): Uint8Array {
  const takes = "the path of a credentials file: a JWT, and the seed of its nkey";
  const bytes = readFile("credentialsFile", path, takes);
  try {
    const { nkey } = credsAuthenticator(bytes)("a nonce") as { readonly nkey: string };
    if (nkey.startsWith("U")) return bytes;
  } catch {
    // Its message may quote what it was given.
  }
  throw new ConfigError({
    option: "transport.credentialsFile",
    got: "a file that holds something else",
    takes,
  });
}

function checkSeed(text: string): Uint8Array {
  const seed = new TextEncoder().encode(text.trim());
  try {
    if (nkeys.fromSeed(seed).getPublicKey().startsWith("U")) return seed;
  } catch {
    // Its message may quote what it was given.
  }
  throw new ConfigError({
    option: "transport.nkeySeed",
    got: "another text",
    takes: 'the seed of a user\'s nkey, which begins with "SU"',
  });
}

function checkTls(tls: NatsTls | undefined): NatsTls | null {
  if (tls === undefined) return null;
  checkNames("transport.tls", tls, TLS_NAMES);
  const { caFile, certFile, keyFile } = tls;
  if ((certFile === undefined) !== (keyFile === undefined))
    throw new ConfigError({
      option: "transport.tls",
      got: "with one of certFile and keyFile",
      takes: "both or none",
    });
  for (const [name, path] of Object.entries({ caFile, certFile, keyFile }))
    if (path !== undefined) checkFile(`tls.${name}`, path, "the path of a PEM file", /-----BEGIN/u);
  return tls;
}

function checkFile(option: string, path: string, takes: string, holds: RegExp): void {
  if (!holds.test(readFile(option, path, takes).toString()))
    throw new ConfigError({ option: `transport.${option}`, got: "a file that holds something else", takes });
}

function readFile(option: string, path: string, takes: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new ConfigError(
      { option: `transport.${option}`, got: "a file that cannot be read", takes },
      { cause },
    );
  }
}

function whole(
  option: string,
  value: unknown,
  least: number,
  most: number = Number.MAX_SAFE_INTEGER,
): number {
  const isWhole = typeof value === "number" && Number.isSafeInteger(value);
  if (!isWhole || value < least || value > most)
    throw new ConfigError({
      option: `transport.${option}`,
      got: value,
      takes: `a whole number, ${most === Number.MAX_SAFE_INTEGER ? `${least} or more` : `${least} to ${most}`}`,
    });
  return value;
}
