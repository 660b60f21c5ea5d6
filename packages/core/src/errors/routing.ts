import type { StandardSchemaV1 } from "@standard-schema/spec";
import { HoldfastError } from "./holdfast-error.ts";

/** An input did not pass its schema. At the caller nothing was sent; at the runner nothing was stored or run. */
export class InvalidInputError extends HoldfastError {
  override readonly name = "InvalidInputError";
  readonly code = "INVALID_INPUT";
  /** What the schema found wrong, as Standard Schema gives it. Empty when the runner refused it. */
  readonly issues: readonly StandardSchemaV1.Issue[];

  /** `what` is all of what does not fit; `of` alone says whose input it is. */
  constructor(
    input: { issues: readonly StandardSchemaV1.Issue[] } & ({ of: string } | { what: string }),
    options?: ErrorOptions,
  ) {
    const what = "what" in input ? input.what : `The input of ${input.of}`;
    super(`${what} does not fit its schema: ${input.issues.map(describeIssue).join("; ")}.`, options);
    this.issues = input.issues;
  }
}

/** No member serves an entity type of this name, as far as this member knows. */
export class UnknownEntityError extends HoldfastError {
  override readonly name = "UnknownEntityError";
  readonly code = "UNKNOWN_ENTITY";

  constructor(entity: { entityType: string; known: readonly string[] }, options?: ErrorOptions) {
    const { entityType, known } = entity;
    const workflow = entityType.startsWith("workflow:") ? entityType.slice("workflow:".length) : null;
    const what = workflow === null ? `entity type "${entityType}"` : `workflow "${workflow}"`;
    const why =
      workflow === null
        ? `since the owner of the entity's shard handles it, and give entityClient() that group where it is not "default".`
        : `since the owner of the execution's shard runs it.`;
    super(
      `No runner serves the ${what}. ${listKnown("Served here", known)} ` +
        `Register its implementation on each runner of its shard group, ${why}`,
      options,
    );
  }
}

/** The entity has no rpc of this name. */
export class UnknownRpcError extends HoldfastError {
  override readonly name = "UnknownRpcError";
  readonly code = "UNKNOWN_RPC";

  constructor(rpc: { entityType: string; tag: string; known: readonly string[] }, options?: ErrorOptions) {
    super(
      `The entity type "${rpc.entityType}" has no rpc "${rpc.tag}". ${listKnown("It has", rpc.known)}`,
      options,
    );
  }
}

/** A protected rpc was called from outside. Handlers, activities and workflows may call it. */
export class ProtectedRpcError extends HoldfastError {
  override readonly name = "ProtectedRpcError";
  readonly code = "PROTECTED_RPC";

  constructor(rpc: { entityType: string; tag: string }, options?: ErrorOptions) {
    super(
      `The rpc "${rpc.tag}" of "${rpc.entityType}" is protected: only a handler, an activity or a workflow may call it, ` +
        `through ctx.entity(). Make it public or call it from inside.`,
      options,
    );
  }
}

/** The entity has as many requests waiting as its mailbox takes. Neither this request nor one of its key was accepted or ran. */
export class MailboxFullError extends HoldfastError {
  override readonly name = "MailboxFullError";
  readonly code = "MAILBOX_FULL";
  override readonly retryable = true;

  constructor(mailbox: { entity: string; capacity: number }, options?: ErrorOptions) {
    super(
      `The mailbox of ${mailbox.entity} is full: ${mailbox.capacity} requests wait. This one was not accepted; ` +
        `call again later, or raise mailboxCapacity.`,
      options,
    );
  }
}

/** The shard had no owner, or moved, for longer than the routing retries last. The request did not run. */
export class EntityNotAssignedError extends HoldfastError {
  override readonly name = "EntityNotAssignedError";
  readonly code = "ENTITY_NOT_ASSIGNED";
  override readonly retryable = true;

  constructor(routing: { entity: string; shardId: string; attempts: number }, options?: ErrorOptions) {
    super(
      `No runner took the request for ${routing.entity}: its shard ${routing.shardId} had no owner in ` +
        `${routing.attempts} attempts. The request did not run; call again, or raise sendRetryCount. If it never has one, ` +
        `see that a runner has the group "${routing.shardId.slice(0, routing.shardId.lastIndexOf(":"))}" among its shardGroups.`,
      options,
    );
  }
}

/**
 * The runner that should answer is gone or cannot be reached. `mayHaveRun` says whether the handler may have run: then
 * the call is not repeated for a volatile rpc, and the caller decides.
 */
export class RunnerUnavailableError extends HoldfastError {
  override readonly name = "RunnerUnavailableError";
  readonly code = "RUNNER_UNAVAILABLE";
  override readonly retryable: boolean;
  readonly mayHaveRun: boolean;

  constructor(peer: { address: string; what: string; mayHaveRun: boolean }, options?: ErrorOptions) {
    super(
      `The runner at ${peer.address} could not be reached for ${peer.what}. ` +
        (peer.mayHaveRun
          ? `The request may have run: repeat it only if that is harmless, or make the rpc persisted.`
          : `The request did not run; call again.`),
      options,
    );
    this.mayHaveRun = peer.mayHaveRun;
    this.retryable = !peer.mayHaveRun;
  }
}

/** No reply came within the caller's `timeout`. The handler was interrupted unless it is uninterruptible. */
export class TimeoutError extends HoldfastError {
  override readonly name = "TimeoutError";
  readonly code = "TIMEOUT";

  /**
   * `hasKey`: whether a repetition with the same key is the same request. Also where the caller gave none, as of a signal and of
   * a workflow's step: those who have none to repeat are to read on. Default: false. `isRead`: whether it changes nothing, as a
   * query. Default: false. `mayHaveRun`: default true.
   */
  constructor(
    call: { what: string; timeoutMs: number; hasKey?: boolean; isRead?: boolean; mayHaveRun?: boolean },
    options?: ErrorOptions,
  ) {
    const { what, timeoutMs, hasKey = false, isRead = false, mayHaveRun = true } = call;
    const key = hasKey ? "with the same key, or else " : "";
    const effect = mayHaveRun
      ? `It may have run, in part or whole: repeat it ${key}only if that is harmless`
      : "It did not run: repeat it";
    const repeat = isRead ? "It changes nothing: repeat it" : effect;
    super(`${what} gave no reply within ${timeoutMs} ms. ${repeat}, or give it a longer timeout.`, options);
  }
}

/** The call was ended from outside: its `signal` was aborted, its stream was left, or its shard moved away. */
export class InterruptedError extends HoldfastError {
  override readonly name = "InterruptedError";
  readonly code = "INTERRUPTED";
  override readonly retryable: boolean;

  /** `mayHaveRun`: default true. */
  constructor(
    call: { what: string; why: string; retryable?: boolean; mayHaveRun?: boolean },
    options?: ErrorOptions,
  ) {
    const { what, why, retryable = false, mayHaveRun = true } = call;
    const effect = mayHaveRun
      ? "It may have run in part: repeat it only if that is harmless."
      : "It did not run.";
    super(`${what} was interrupted: ${why}. ${effect}`, options);
    this.retryable = retryable;
  }
}

/**
 * The cluster was shut down, or is shutting down, and takes no new calls. `mayHaveRun` says whether the call was under way by then:
 * its request may have been accepted, and be handled by another member yet.
 */
export class ClusterClosedError extends HoldfastError {
  override readonly name = "ClusterClosedError";
  readonly code = "CLUSTER_CLOSED";
  readonly mayHaveRun: boolean;

  constructor(call: { what: string; state: string; mayHaveRun?: boolean }, options?: ErrorOptions) {
    const { what, state, mayHaveRun = false } = call;
    super(
      mayHaveRun
        ? `${what} has no answer: the cluster is ${state}. It may have been accepted, and run, also later: ` +
            `repeat it under the same key, or else only if that is harmless.`
        : `${what} is not possible: the cluster is ${state}.`,
      options,
    );
    this.mayHaveRun = mayHaveRun;
  }
}

function describeIssue(issue: StandardSchemaV1.Issue): string {
  // `map` of the array that arktype has for a path makes one with a key that is not there.
  const path = Array.from(issue.path ?? [], (key) => String(typeof key === "object" ? key.key : key)).join(
    ".",
  );
  return path === "" ? issue.message : `${path}: ${issue.message}`;
}

function listKnown(lead: string, known: readonly string[]): string {
  return known.length === 0 ? `${lead}: none.` : `${lead}: ${known.toSorted().join(", ")}.`;
}
