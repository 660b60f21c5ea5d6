import type { Epoch } from "../data/epoch.ts";
import type { ShardId } from "../data/shard-id.ts";
import { HoldfastError } from "./holdfast-error.ts";
import { sentence } from "./sentence.ts";

/** A runner wrote for a shard under an epoch that is no longer the latest. Nothing was written. */
export class FencedError extends HoldfastError {
  override readonly name = "FencedError";
  readonly code = "FENCED";
  override readonly retryable = true;
  readonly shardId: ShardId;

  constructor(write: { shardId: ShardId; epoch: Epoch; current: Epoch | null }, options?: ErrorOptions) {
    super(
      `Shard ${write.shardId} refused a write: it carried epoch ${write.epoch}, the shard is at ` +
        `${write.current ?? "a later one"}. Another runner owns the shard now; this one drops it, and callers may retry.`,
      options,
    );
    this.shardId = write.shardId;
  }
}

/**
 * The storage failed. `outcome` says what became of a write: `not-written` (it did not happen), or `unknown` (it may
 * have: ask again under the same id before you repeat it). A failed read is `not-written`.
 */
export class PersistenceError extends HoldfastError {
  override readonly name = "PersistenceError";
  readonly code = "PERSISTENCE";
  override readonly retryable = true;
  readonly outcome: "not-written" | "unknown";
  /** What failed, without what it means. */
  readonly detail: string;

  constructor(
    failure: { operation: string; outcome: "not-written" | "unknown"; detail: string },
    options?: ErrorOptions,
  ) {
    super(
      `The storage failed in ${failure.operation}: ${failure.detail}. ` +
        (failure.outcome === "unknown"
          ? `Whether it was written is not known: repeat it under the same key.`
          : `Nothing was written. Try again later.`),
      options,
    );
    this.outcome = failure.outcome;
    this.detail = failure.detail;
  }
}

/** Whether a write surely did not happen. */
export function isNotWritten(error: unknown): error is PersistenceError {
  return error instanceof PersistenceError && error.outcome === "not-written";
}

/** A value cannot be stored or sent as it is, or stored data cannot be read. */
export class SerializationError extends HoldfastError {
  override readonly name = "SerializationError";
  readonly code = "SERIALIZATION";

  constructor(value: { what: string; path: string; problem: string }, options?: ErrorOptions) {
    super(
      `${value.what} cannot be serialised: ${value.path === "" ? "it" : `"${brief(value.path)}"`} is ${value.problem}. ` +
        `Plain data goes through: JSON values, undefined, Date, bigint, Map, Set and Uint8Array.`,
      options,
    );
  }
}

/** The path into a circle is as long as the nesting may be. */
function brief(path: string): string {
  return path.length > 100 ? `${path.slice(0, 100)}…` : path;
}

/** A payload is larger than the cluster or its transport takes. Nothing was sent or stored. */
export class PayloadTooLargeError extends HoldfastError {
  override readonly name = "PayloadTooLargeError";
  readonly code = "PAYLOAD_TOO_LARGE";

  /** `raise`: the option or setting that has the limit. Default `maxPayloadBytes`. */
  constructor(
    payload: { what: string; payloadBytes: number; limitBytes: number; raise?: string },
    options?: ErrorOptions,
  ) {
    const { what, payloadBytes, limitBytes, raise = "maxPayloadBytes" } = payload;
    super(
      `${what} takes ${payloadBytes} bytes, more than the limit of ${limitBytes}. ` +
        `Store it elsewhere and send a reference, or raise ${raise}.`,
      options,
    );
  }
}

/** A persisted request failed its last attempt. It is kept among the dead letters until it is requeued or dropped. */
export class DeadLetteredError extends HoldfastError {
  override readonly name = "DeadLetteredError";
  readonly code = "DEAD_LETTERED";
  readonly requestId: string;
  /** What it called: `"Account/main.pay"`. */
  readonly call: string;

  constructor(
    letter: { requestId: string; what: string; attempts: number; reason: string },
    options?: ErrorOptions,
  ) {
    super(
      `${letter.what} failed in ${letter.attempts} attempts and is a dead letter now (request ${letter.requestId}). ` +
        `Last: ${sentence(letter.reason)} Requeue or drop it with cluster.deadLetters.`,
      options,
    );
    this.requestId = letter.requestId;
    this.call = letter.what;
  }
}

/**
 * `postgresTx(ctx)` and the like where the cluster's storage has no such transaction, or no handler runs; or that transaction
 * could not commit, and nothing was written: what its COMMIT was refused for is the `cause`, with the database's own code.
 */
export class TransactionUnavailableError extends HoldfastError {
  override readonly name = "TransactionUnavailableError";
  readonly code = "TRANSACTION_UNAVAILABLE";

  constructor(request: { wanted: string; why: string }, options?: ErrorOptions) {
    super(`No ${request.wanted} transaction here: ${request.why}.`, options);
  }
}
