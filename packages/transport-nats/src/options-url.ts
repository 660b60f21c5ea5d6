// The options of nats() as a URL.

import { ConfigError } from "@holdfast/core/adapter";
import { OPTION_NAMES, TLS_NAMES, type NatsOptions } from "./options.ts";

const FORM =
  '"nats://[user:password@|token@]host[:port][,host[:port]...][/prefix][?name=NAME&token=TOKEN&nkeySeed=SEED&credentialsFile=FILE&tls=true&caFile=FILE&certFile=FILE&keyFile=FILE&serverName=NAME]"';
const TEXTS: ReadonlySet<string> = new Set(["name", "token", "nkeySeed", "credentialsFile"]);
/** Said before the question mark. */
const ELSEWHERE: ReadonlySet<string> = new Set(["servers", "prefix", "user", "pass"]);

/**
 * Reads `nats://[user:password@]host[:port][,host[:port]...][/prefix][?...]`: the other options are parameters of the same
 * names, those of `tls` by themselves. What stands alone before the @ is a token, as with NATS' own tools.
 *
 * @throws {ConfigError} shows no credentials
 */
export function optionsFromUrl(url: string): NatsOptions {
  const parts =
    /^nats:(?:\/\/)?(?:(?<user>[^@/?]*)@)?(?<hosts>[^/?@]*)(?:\/(?<prefix>[^?]*))?(?:\?(?<query>.*))?$/u.exec(
      url,
    )?.groups;
  if (parts === undefined) throw refuse("in a form that cannot be read");
  const parameters = (parts["query"] ?? "").split("&").filter((text) => text !== "");
  // The @ belongs to a password that holds one of / and ?: what seems to be a host, a prefix or a name is a piece of it.
  if ([parts["prefix"] ?? "", ...parameters.map((text) => text.replace(/=.*/su, ""))].some(holdsAt))
    throw refuse("with an @ after a / or a ?", "Write those of a password as %2F and %3F.");
  const options: Record<string, unknown> = {};
  const hosts = (parts["hosts"] ?? "").split(",").filter((host) => host !== "");
  if (hosts.length > 0) options["servers"] = hosts;
  if ((parts["prefix"] ?? "") !== "") options["prefix"] = decoded(parts["prefix"] ?? "");
  Object.assign(options, credentialsOf(parts["user"]));
  const tls: Record<string, string> = {};
  for (const parameter of parameters) {
    const [name, value] = parameterOf(parameter);
    if (Object.hasOwn(TLS_NAMES, name)) tls[name] = value;
    else if (name === "tls" && value === "true") options["tls"] = tls;
    else if (TEXTS.has(name)) options[name] = value;
    else if (Object.hasOwn(OPTION_NAMES, name) && name !== "tls" && !ELSEWHERE.has(name))
      options[name] = Number(value);
    // What follows it may be the host still: then its name is a piece of a password.
    else if (!/^\w+$/u.test(name) || parameters.some(holdsAt)) throw refuse("with a parameter that is none");
    // So it may be the end of a token.
    else if (options["token"] !== undefined)
      throw refuse("with a parameter that is none", "Write an & of a token as %26.");
    else throw refuse(`with the parameter "${name}"`);
  }
  return { ...options, ...(Object.keys(tls).length === 0 ? {} : { tls }) };
}

function holdsAt(text: string): boolean {
  return text.includes("@");
}

/** A plus is a plus, as it is before the question mark: tokens are often in base64. */
function parameterOf(text: string): readonly [name: string, value: string] {
  const [name = "", ...value] = text.split("=");
  return [decoded(name), decoded(value.join("="))];
}

function credentialsOf(text: string | undefined): NatsOptions {
  if (text === undefined || text === "") return {};
  const [user = "", ...pass] = text.split(":");
  if (pass.length === 0) return { token: decoded(user) };
  return { user: decoded(user), pass: decoded(pass.join(":")) };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw refuse("with a % that stands for no character");
  }
}

function refuse(what: string, hint?: string): ConfigError {
  const got = `nats: ${what}`;
  return new ConfigError({ option: "transport", got, takes: FORM, ...(hint === undefined ? {} : { hint }) });
}
