// The URL of an adapter: the URL of servers, and all other options as its parameters.

import { ConfigError } from "@holdfast/core/adapter";
import type { RedisRunnersOptions } from "./options.ts";
import { SERVER_FORM } from "./server-url.ts";

const PARAMETERS = [
  "prefix",
  "sentinel",
  "sentinelUsername",
  "sentinelPassword",
  "cluster",
  "ca",
  "certificate",
  "key",
  "commandTimeout",
  "pollInterval",
];
const FORM = `${SERVER_FORM}, and after a question mark any of ${PARAMETERS.join(", ")}`;

/**
 * Reads `redis://...` and `rediss://...` with all other options as parameters.
 *
 * @throws {ConfigError} shows no credentials
 */
export function optionsFromUrl(url: string): RedisRunnersOptions {
  const [server = "", ...rest] = url.split("?");
  const query = new URLSearchParams(rest.join("?"));
  for (const name of query.keys()) {
    if (PARAMETERS.includes(name)) continue;
    // A password with a question mark that is not encoded is read as a parameter, and what follows an & in one that is a parameter.
    const mayBeSecret = url.lastIndexOf("@") > server.length || query.has("sentinelPassword");
    const shown = mayBeSecret ? "that is none" : `"${name}"`;
    throw new ConfigError({ option: "runners", got: `redis: with a parameter ${shown}`, takes: FORM });
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
    ...texts({
      prefix: given("prefix"),
      commandTimeout: given("commandTimeout"),
      pollInterval: given("pollInterval"),
    }),
    // A name that is missing is named by the check of the options.
    ...(Object.keys(sentinel).length === 0 ? {} : { sentinel: { name: "", ...sentinel } }),
    ...(query.has("cluster") ? { cluster: readFlag("cluster", given("cluster")) } : {}),
    ...(Object.keys(tls).length === 0 ? {} : { tls }),
  };
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
