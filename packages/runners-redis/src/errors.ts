// The errors of ioredis, and what they say of a command.

import { ConfigError, PersistenceError } from "@holdfast/core/adapter";
import { STALE } from "./scripts.ts";

/** The server did not answer in time. */
export class LateError extends Error {
  override readonly name = "LateError";
}

/**
 * What a server says that will take commands in a moment, or whose place another one takes, and what a script says of a
 * change that a newer one overtook.
 */
const PASSING =
  /^(?:STALE|LOADING|READONLY|CLUSTERDOWN|TRYAGAIN|MASTERDOWN|BUSY|MOVED|ASK|NOREPLICAS|UNBLOCKED)\b/u;
/** What it says to those whom it does not let in. */
const REFUSAL = /^(?:WRONGPASS|NOAUTH|NOPERM|DENIED)\b|^ERR (?:invalid password|AUTH|Client sent AUTH)/u;

/** Whether a command that failed so may be taken on another connection, or in a moment. */
export function isPassing(error: Error): boolean {
  return error.name === "ReplyError" ? PASSING.test(error.message) : !isProgrammingError(error);
}

/** The number of the change that was newer than the one that failed so; 0 where it failed otherwise. */
export function lastChangeIn(error: Error | null): number {
  return error !== null && error.name === "ReplyError" && error.message.startsWith(`${STALE} `)
    ? Number(error.message.split(" ")[1])
    : 0;
}

/** Whether the server does not let this user in, which no other try changes. */
export function isRefusal(error: Error): boolean {
  return REFUSAL.test(error.message);
}

/** What the last node said of which a cluster found none that serves, else the error itself. */
export function reasonOf(error: Error): Error {
  return "lastNodeError" in error && error.lastNodeError instanceof Error ? error.lastNodeError : error;
}

export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

export function failure(
  operation: string,
  outcome: "not-written" | "unknown",
  cause: Error,
): PersistenceError {
  return new PersistenceError(
    { operation: `${operation} (Redis)`, outcome, detail: cause.message.replace(/\.$/u, "") },
    { cause: withoutCommand(cause) },
  );
}

/** Something is in the way that no other try takes away. */
export function takenKeys(prefix: string, keys: readonly string[]): ConfigError {
  const [are, them] = keys.length === 1 ? ["is", "it"] : ["are", "them"];
  return new ConfigError({
    option: "runners.prefix",
    got: prefix,
    takes: "one under which Redis keeps nothing else",
    hint:
      `In Redis ${keys.join(" and ")} ${are} of another type than members and leases are kept in: another application wrote ` +
      `${them}. Choose another prefix, or delete ${them} if nobody uses ${them}.`,
  });
}

/** The driver hangs the command on its errors, arguments and all: that of AUTH is the password. */
function withoutCommand({ name, message, stack }: Error): Error {
  const plain = new Error(message);
  plain.name = name;
  if (stack !== undefined) plain.stack = stack;
  return plain;
}

function isProgrammingError(error: Error): boolean {
  return error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError;
}
