// Call options: what one call may be given, and how that is read.

import { checkBoolean } from "../contract/boolean.ts";
import { timeOf } from "../contract/date.ts";
import { checkKey } from "../contract/key.ts";
import { checkOptionNames, type OptionNames } from "../contract/option-names.ts";
import { OWN_PREFIX, type Envelope } from "../data/envelope.ts";
import { ConfigError } from "../errors/config.ts";
import type { CallLimits } from "./call-limits.ts";

/** Options of one call. */
export interface CallOptions extends CallLimits {
  /** Persisted rpcs: calls of one entity, rpc and key are one request, which runs once and answers all. */
  readonly idempotencyKey?: string | undefined;
  /** Strings that travel with the request, on the handler's `ctx.headers`. Names with `holdfast-` before them are the library's. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Persisted rpcs: not handled before this time. */
  readonly deliverAt?: Date | undefined;
  /** The handler goes on although this caller left, timed out or aborted. Default: as the rpc says. */
  readonly uninterruptible?: boolean | undefined;
}

const OPTION_NAMES: OptionNames<CallOptions> = {
  timeout: true,
  signal: true,
  uninterruptible: true,
  idempotencyKey: true,
  headers: true,
  deliverAt: true,
};
/** Of all names and values together. */
const MAX_HEADERS_CHARACTERS = 16 * 1_024;
const NO_HEADERS: Envelope["headers"] = Object.freeze({});

/** @throws {ConfigError} they are no object, or there is no such option */
export function checkCallOptions(options: unknown): void {
  checkOptionNames(options, OPTION_NAMES);
}

/** Null: none is given. @throws {ConfigError} it is no key */
export function givenKeyOf({ idempotencyKey }: CallOptions): string | null {
  // Null comes from plain JavaScript, where it is no key either.
  return idempotencyKey === undefined || idempotencyKey === null
    ? null
    : checkKey(idempotencyKey, "idempotencyKey");
}

/** Undefined: the rpc says. @throws {ConfigError} it is neither true nor false */
export function uninterruptibleOf({ uninterruptible }: CallOptions): boolean | undefined {
  return uninterruptible === undefined ? undefined : checkBoolean(uninterruptible, "uninterruptible");
}

/** @throws {ConfigError} an option is given that takes a record of the request */
export function forbidForVolatile(options: CallOptions): void {
  forbid("idempotencyKey", options.idempotencyKey);
  forbid("deliverAt", options.deliverAt);
}

function forbid(option: keyof CallOptions, got: unknown): void {
  if (got === undefined) return;
  throw new ConfigError({
    option,
    got,
    takes: "nothing here",
    hint: "The rpc is not persisted, so there is no record to compare with or to wait in. Define it with persisted: true.",
  });
}

/** Wall time in milliseconds since 1970; null: none is given. @throws {ConfigError} it is no valid Date */
export function deliverAtOf({ deliverAt }: CallOptions): number | null {
  // On the wire and in storage times are counts.
  return deliverAt === undefined ? null : Math.max(0, timeOf(deliverAt, "deliverAt"));
}

/** A copy. @throws {ConfigError} they are no texts by name, one is the library's own, or they are too long in all */
export function headersOf({ headers }: CallOptions): Envelope["headers"] {
  if (headers === undefined) return NO_HEADERS;
  // A Map, or the Headers of a web request, would be taken for an object without any.
  if (typeof headers !== "object" || headers === null || Symbol.iterator in headers)
    throw new ConfigError({ option: "headers", got: headers, takes: "an object of strings" });
  let characters = 0;
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value !== "string")
      throw new ConfigError({ option: `headers.${name}`, got: value, takes: "a string" });
    // They decide what becomes of a request.
    if (name.startsWith(OWN_PREFIX))
      throw new ConfigError({
        option: `headers.${name}`,
        got: value,
        takes: `nothing: headers that begin with "${OWN_PREFIX}" are the library's own`,
      });
    if (!name.isWellFormed() || !value.isWellFormed())
      throw new ConfigError({
        option: `headers.${name}`,
        got: value,
        takes: "a string, and a name, without half of a surrogate pair",
      });
    characters += name.length + value.length;
  }
  if (characters > MAX_HEADERS_CHARACTERS) {
    throw new ConfigError({
      option: "headers",
      got: `${characters} characters`,
      takes: `at most ${MAX_HEADERS_CHARACTERS} characters in all`,
    });
  }
  return { ...headers };
}
