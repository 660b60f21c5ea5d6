// Errors: what Redis and ioredis say turned into our errors. None of theirs gets out.

import {
  ConfigError,
  FencedError,
  PersistenceError,
  SerializationError,
  type Fence,
} from "@holdfast/core/adapter";

/** A command failed. Stays inside this package: storages turn it into PersistenceError, which names their operation. */
export class RedisFailure extends Error {
  override readonly name = "RedisFailure";
  /** `not-written` if it surely did nothing. */
  readonly outcome: "not-written" | "unknown";
  /** The word with which the server's error begins, such as `READONLY`; null where it was not the server's. */
  readonly code: string | null;

  constructor(
    failure: { outcome: "not-written" | "unknown"; code: string | null; message: string },
    options?: ErrorOptions,
  ) {
    super(failure.message, options);
    this.outcome = failure.outcome;
    this.code = failure.code;
  }
}

/** A script was refused with one of these before it wrote anything: Redis checks them at its first write at the latest. */
const REFUSED: ReadonlySet<string> = new Set([
  "ASK",
  "BUSY",
  "CLUSTERDOWN",
  "LOADING",
  "MASTERDOWN",
  "MISCONF",
  "MOVED",
  "NOAUTH",
  "NOPERM",
  "NOREPLICAS",
  "NOSCRIPT",
  "OOM",
  "READONLY",
  "STALE",
  "TRYAGAIN",
]);

/** This connection is of no more use after one of these: it leads to the wrong server, or to one that lacks the scripts or has other data. */
const ENDING: ReadonlySet<string> = new Set([
  "ASK",
  "CLUSTERDOWN",
  "LOADING",
  "MASTERDOWN",
  "MOVED",
  "NOAUTH",
  "NOSCRIPT",
  "READONLY",
  "STALE",
]);

/** What became of a command that was sent, from the error of ioredis. */
export function failureOf(error: unknown): RedisFailure {
  if (error instanceof RedisFailure) return error;
  // ioredis hangs the command on it, payload and all, and what is logged of an error shows its causes.
  if (error instanceof Error && "command" in error) delete error.command;
  const message = error instanceof Error ? error.message : String(error);
  if (!(error instanceof Error) || error.name !== "ReplyError") {
    // ioredis says so of a command that it did not send.
    const wasSent = !message.startsWith("Stream isn't writeable");
    return new RedisFailure(
      { outcome: wasSent ? "unknown" : "not-written", code: null, message: describe(error) },
      { cause: error },
    );
  }
  const code = /^[A-Z]+(?= )/u.exec(message)?.[0] ?? null;
  // What a user may do is checked at each command of a script.
  const isInside = code === "NOPERM" && /\bscript\b/u.test(message);
  const isRefused = code !== null && REFUSED.has(code) && !isInside;
  return new RedisFailure(
    { outcome: isRefused ? "not-written" : "unknown", code, message },
    { cause: error },
  );
}

export function endsConnection({ code }: RedisFailure): boolean {
  return code !== null && ENDING.has(code);
}

/** @param operation the method of the interface that failed */
export function persistenceError(operation: string, failure: RedisFailure): PersistenceError {
  return new PersistenceError(
    // What Redis says ends in a point at times, and the message of the error puts one there.
    { operation, outcome: failure.outcome, detail: failure.message.replace(/\.$/u, "") },
    { cause: failure },
  );
}

/** @param failure of entering data that a later release keeps in another way */
export function tooOldFor(prefix: string, failure: RedisFailure): ConfigError {
  const why = failure.message.replace(/^RELEASE /u, "");
  return new ConfigError(
    {
      option: "prefix",
      got: prefix,
      takes: `one whose data a release of this age can use, and ${why}`,
      hint: "Deploy a later release of @holdfast/storage-redis.",
    },
    { cause: failure },
  );
}

export function closedError(operation: string): PersistenceError {
  return new PersistenceError({
    operation,
    outcome: "not-written",
    detail: "this session of the storage was closed",
  });
}

export function unknownRequest(operation: string, requestId: string): PersistenceError {
  const detail = `request ${requestId} was never accepted, or is forgotten`;
  return new PersistenceError({ operation, outcome: "not-written", detail });
}

/** @param current the shard's epoch in storage; null where nobody ever claimed it */
export function fencedError(fence: Fence, current: number | null): FencedError {
  return new FencedError({ shardId: fence.shardId, epoch: fence.epoch, current });
}

/** Text goes to Redis as UTF-8, in which an unpaired surrogate would come back as another character. */
export function isStorable(value: string): boolean {
  return value.isWellFormed();
}

/** @throws {SerializationError} it is not storable */
export function assertStorable(value: string, what: string): void {
  if (isStorable(value)) return;
  throw new SerializationError({ what, path: "", problem: "a text with half of a surrogate pair" });
}

/** A refused connection to a name with two addresses comes as an AggregateError without a message. */
export function describe(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  if (error.message !== "") return error.message;
  return "code" in error && typeof error.code === "string" ? error.code : error.name;
}
