// The options of grpc(), checked once, and their form as a URL.

import { readFileSync } from "node:fs";
import { ConfigError } from "@holdfast/core/adapter";
import { LEAST_MESSAGE_BYTES } from "./protocol.ts";

/** Where a member listens, where others reach it, and who may talk to it. */
export interface GrpcOptions {
  /** `"host:port"` to listen at. Port 0 takes a free one. Default `"127.0.0.1:0"`. */
  readonly listen?: string;
  /** `"host:port"` at which others reach this member. Default: `listen`, with the port that it got. Needed where `listen` is every address. */
  readonly advertise?: string;
  /** TLS between members. All members of a cluster use it, or none. */
  readonly tls?: GrpcTls;
  /** A secret that all members share, at least 16 characters. Who does not bring it gets nowhere. Default: none. */
  readonly token?: string;
  /** The largest message, in bytes, 65,536 or more: a payload and what belongs to it. Default 4 MiB + 64 KiB. */
  readonly maxMessageBytes?: number;
  /** How much may wait for one peer, in bytes. More is not sent, and its senders are told. Default 64 MiB. */
  readonly maxQueuedBytes?: number;
  /** How many messages may wait for one peer. Default 100,000. */
  readonly maxQueuedMessages?: number;
  /** How many peers may be connected to this member at a time. Default 1,000. */
  readonly maxConnections?: number;
  /** How long a silent connection is believed in before it is pinged, in ms, 100 to 600,000. It is given up as long after. Default 2,000. */
  readonly keepAliveMs?: number;
  /** How long a peer may take to connect and say who it is, in ms, 100 to 600,000. Default 5,000. */
  readonly connectTimeoutMs?: number;
}

/** Certificates, each as PEM or as the path of a PEM file. */
export interface GrpcTls {
  /** This member's certificate: others check it when they connect here. */
  readonly certificate: string;
  /** The key of `certificate`. */
  readonly key: string;
  /** The authority that signed the members' certificates. Default: the system's. */
  readonly ca?: string;
  /** Whether who connects here must show a certificate of `ca`, too; true needs one. Default true where `ca` is given. */
  readonly clientAuth?: boolean;
  /** The name that the others' certificates bear, where it is not their host. */
  readonly serverName?: string;
}

/** The options, checked. */
export interface GrpcSettings {
  readonly listen: HostPort;
  readonly advertise: HostPort | null;
  readonly tls: TlsSettings | null;
  readonly token: string | null;
  readonly maxMessageBytes: number;
  readonly maxQueuedBytes: number;
  readonly maxQueuedMessages: number;
  readonly maxConnections: number;
  readonly keepAliveMs: number;
  readonly connectTimeoutMs: number;
}

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

export interface TlsSettings {
  readonly certificate: Buffer;
  readonly key: Buffer;
  readonly ca: Buffer | null;
  readonly clientAuth: boolean;
  readonly serverName: string | null;
}

const NAMES: Readonly<Record<keyof GrpcOptions, true>> = {
  listen: true,
  advertise: true,
  tls: true,
  token: true,
  maxMessageBytes: true,
  maxQueuedBytes: true,
  maxQueuedMessages: true,
  maxConnections: true,
  keepAliveMs: true,
  connectTimeoutMs: true,
};
const TLS_NAMES: Readonly<Record<keyof GrpcTls, true>> = {
  certificate: true,
  key: true,
  ca: true,
  clientAuth: true,
  serverName: true,
};
const TEN_MINUTES_MS = 600_000;
const DEFAULT_MAX_MESSAGE_BYTES = 4 * 1_048_576 + 65_536;
const DEFAULT_MAX_QUEUED_BYTES = 64 * 1_048_576;
const SHORTEST_TOKEN = 16;
const HOST_PORT = /^(?<host>\[[0-9a-fA-F:.]+\]|[^:/?#@\s[\]]+):(?<port>\d{1,5})$/u;
const EVERY_ADDRESS: ReadonlySet<string> = new Set(["0.0.0.0", "[::]"]);
const URL_FORM =
  '"grpc://host:port[?advertise=host:port&token=SECRET&certificate=FILE&key=FILE&ca=FILE&clientAuth=true&serverName=NAME]"';

/** @throws {ConfigError} names the option, what it got and what it takes; shows no secrets */
export function checkOptions(options: GrpcOptions): GrpcSettings {
  for (const name of Object.keys(options)) {
    if (!Object.hasOwn(NAMES, name))
      throw new ConfigError({
        option: `transport.${name}`,
        got: "given",
        takes: `no such name, but ${Object.keys(NAMES).join(", ")}`,
      });
  }
  const listen = hostPort("listen", options.listen ?? "127.0.0.1:0");
  const advertise = options.advertise === undefined ? null : hostPort("advertise", options.advertise);
  if (advertise === null && EVERY_ADDRESS.has(listen.host)) {
    throw new ConfigError({
      option: "transport.advertise",
      got: undefined,
      takes: '"host:port"',
      hint: `A member that listens at every address (${listen.host}) must say at which of them others reach it.`,
    });
  }
  return {
    listen,
    advertise,
    tls: options.tls === undefined ? null : checkTls(options.tls),
    token: checkToken(options.token),
    maxMessageBytes: whole(
      "maxMessageBytes",
      options.maxMessageBytes ?? DEFAULT_MAX_MESSAGE_BYTES,
      LEAST_MESSAGE_BYTES,
    ),
    maxQueuedBytes: whole("maxQueuedBytes", options.maxQueuedBytes ?? DEFAULT_MAX_QUEUED_BYTES, 65_536),
    maxQueuedMessages: whole("maxQueuedMessages", options.maxQueuedMessages ?? 100_000, 1),
    maxConnections: whole("maxConnections", options.maxConnections ?? 1_000, 1),
    keepAliveMs: whole("keepAliveMs", options.keepAliveMs ?? 2_000, 100, TEN_MINUTES_MS),
    connectTimeoutMs: whole("connectTimeoutMs", options.connectTimeoutMs ?? 5_000, 100, TEN_MINUTES_MS),
  };
}

/**
 * Reads `grpc://host:port?...`. The parameters are the options of the same names; those of `tls` stand by themselves.
 *
 * @throws {ConfigError} shows no secrets
 */
export function optionsFromUrl(url: string): GrpcOptions {
  const parts = /^grpc:(?:\/\/)?(?<listen>[^/?]*)\/?(?:\?(?<query>.*))?$/u.exec(url)?.groups;
  if (parts === undefined)
    throw new ConfigError({
      option: "transport",
      got: "grpc: in a form that cannot be read",
      takes: URL_FORM,
    });
  const query = new URLSearchParams(parts["query"] ?? "");
  const options: Record<string, unknown> = parts["listen"] === "" ? {} : { listen: parts["listen"] };
  const tls: Record<string, unknown> = {};
  for (const [name, value] of query) {
    if (["certificate", "key", "ca", "serverName"].includes(name)) tls[name] = value;
    else if (name === "clientAuth") tls[name] = flag(name, value);
    else if (name === "advertise" || name === "token") options[name] = value;
    else if (name !== "listen" && name !== "tls" && Object.hasOwn(NAMES, name)) options[name] = Number(value);
    else
      throw new ConfigError({
        option: "transport",
        // After a token it may be the end of that one.
        got: `grpc: with ${query.has("token") ? "a parameter that is none" : `the parameter "${name}"`}`,
        takes: URL_FORM,
        ...(query.has("token") ? { hint: "Write an & of a token as %26." } : {}),
      });
    // The last of two that differ would win, and may be the one that lets everybody in.
    if (query.getAll(name).length > 1)
      throw new ConfigError({
        option: "transport",
        got: `grpc: with "${name}" more than once`,
        takes: URL_FORM,
      });
  }
  return { ...options, ...(Object.keys(tls).length === 0 ? {} : { tls: tls as unknown as GrpcTls }) };
}

function flag(name: string, value: string): boolean {
  if (value === "true" || value === "false") return value === "true";
  throw new ConfigError({ option: `transport.tls.${name}`, got: value, takes: "true or false" });
}

export function formatHostPort({ host, port }: HostPort): string {
  return `${host}:${port}`;
}

function hostPort(option: string, given: unknown): HostPort {
  const parts = typeof given === "string" ? HOST_PORT.exec(given)?.groups : undefined;
  const port = Number(parts?.["port"]);
  if (parts?.["host"] === undefined || !(port <= 65_535) || (option === "advertise" && port === 0))
    throw new ConfigError({
      option: `transport.${option}`,
      got: given,
      takes: '"host:port", as in "10.0.0.1:9000", with brackets around an IPv6 address',
    });
  return { host: parts["host"], port };
}

function checkTls(tls: GrpcTls): TlsSettings {
  // A name that is none may be one of those that secure it, written otherwise.
  for (const name of Object.keys(tls)) {
    if (!Object.hasOwn(TLS_NAMES, name))
      throw new ConfigError({
        option: `transport.tls.${name}`,
        got: "given",
        takes: `no such name, but ${Object.keys(TLS_NAMES).join(", ")}`,
      });
  }
  const certificate = pem("certificate", tls.certificate);
  const key = pem("key", tls.key);
  if (certificate === null || key === null)
    throw new ConfigError({ option: "transport.tls", got: "without a certificate or a key", takes: "both" });
  const ca = pem("ca", tls.ca);
  const clientAuth = tls.clientAuth ?? ca !== null;
  if (typeof clientAuth !== "boolean")
    throw new ConfigError({ option: "transport.tls.clientAuth", got: clientAuth, takes: "true or false" });
  if (clientAuth && ca === null)
    throw new ConfigError({
      option: "transport.tls.clientAuth",
      got: "true without a ca",
      takes: "true with a ca, or false",
      hint: "The system's authorities sign for everybody: whoever has any such certificate would be a member.",
    });
  return {
    certificate,
    key,
    ca,
    clientAuth,
    serverName: tls.serverName ?? null,
  };
}

function pem(name: string, given: string | undefined): Buffer | null {
  if (given === undefined) return null;
  if (given.includes("-----BEGIN")) return Buffer.from(given);
  try {
    return readFileSync(given);
  } catch (cause) {
    throw new ConfigError(
      {
        option: `transport.tls.${name}`,
        got: "a file that cannot be read",
        takes: "PEM, or the path of a PEM file",
      },
      { cause },
    );
  }
}

function checkToken(token: unknown): string | null {
  if (token === undefined) return null;
  // It travels as a header of HTTP/2.
  if (typeof token !== "string" || token.length < SHORTEST_TOKEN || !/^[\x21-\x7e]+$/u.test(token))
    throw new ConfigError({
      option: "transport.token",
      got: "another text",
      takes: `${SHORTEST_TOKEN} or more printable ASCII characters without spaces`,
    });
  return token;
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
