// Behavior: what the runtime needs to know of an entity type to run it. `define` makes behaviors of what users write;
// workflows and crons are behaviors of hidden types.

import type { AbortWatch } from "../contract/abort.ts";
import type { EntityContract } from "../contract/entity-contract.ts";
import type { TransactionScope } from "../contract/transaction.ts";
import type { EntityAddress } from "../data/entity-address.ts";
import type { EncodedError } from "../data/encoded-error.ts";
import type { Envelope } from "../data/envelope.ts";
import type { Fence } from "../data/epoch.ts";

/** One attempt to handle one request. */
export interface Call {
  readonly envelope: Envelope;
  /** 1 for the first. */
  readonly attempt: number;
  /** Whether storage has nothing of it but the request itself. False where that is not known. */
  readonly isNew: boolean;
  /** Aborted when the shard is lost, the cluster shuts down, or the caller left. */
  readonly signal: AbortSignal;
  /** What `signal` tells of, for those who need no signal made of it. */
  readonly aborted: AbortWatch;
  /**
   * Aborted before `signal` is when the shard is about to move: begin nothing new. Handlers of hidden types that can stop
   * half-way return a Suspension due at once, and go on where the shard goes.
   */
  readonly leaving: AbortWatch;
  readonly fence: Fence;
  readonly transactions: TransactionScope;
  /**
   * Whether something new may begin: the lease is held at this very moment, and the shard is here. Once it may not, it never may
   * again, and `signal` is aborted soon, if it is not yet.
   */
  mayBegin(): boolean;
  /** This attempt came to something that lasts: should it fail now, the next one counts as the second. */
  countAnew(): void;
  /**
   * What this attempt comes to followed from something that is on its way to storage. `write` resolves when that is there, and
   * writes it once more where it has to. It is called before the reply is recorded anew, and once it is recorded.
   */
  owes(write: () => Promise<void>): void;
}

/** Given the parsed input; returns the output or a promise of it, or for a streaming rpc an async iterable. */
export type Handler = (input: unknown, call: Call) => unknown;

/** By tag. */
export type Handlers = Readonly<Record<string, Handler>>;

/** The life of one entity in the memory of this runner. */
export interface ActivationScope {
  readonly address: EntityAddress;
  readonly fence: Fence;
  /** Aborted when the shard is lost or the cluster shuts down; not by a caller. */
  readonly signal: AbortSignal;
  /** `callback` is awaited before the entity leaves memory, in the order in which they were given. */
  onEvict(callback: () => void | Promise<void>): void;
}

export interface EntityBehavior {
  readonly contract: EntityContract;
  /** Those of all its entities, or what makes those of one entity when its first request comes. */
  readonly handlers: Handlers | ((scope: ActivationScope) => Handlers);
  /**
   * Requests whose tag is among these queue by themselves and are handled one at a time, in order, beside the entity's
   * others. Not given: none are.
   */
  readonly queued?: ReadonlySet<string>;
  /**
   * Whether its requests must tell a first attempt from one that was cut short when its shard moved: the next attempt is then
   * at least the second. Not given: an attempt that was cut short does not count at all.
   */
  readonly countsCutAttempt?: boolean;
  /** Whether a handler that is brief may begin before its request is stored (brief-rpcs.ts). Not given: none may. */
  readonly mayRunAhead?: boolean;
  /** Whether an entity has nothing in memory but its requests: then it leaves with the last of them. Not given: it may have. */
  readonly keepsNothing?: boolean;
  /** Handles a stored request whose input gave this error. Null, or not given: the error is its reply. */
  unread?(error: unknown, tag: string): Handler | null;
  /** One of its requests is about to become a dead letter. May be called again for it: by the next owner, or where it rejects. */
  burying?(address: EntityAddress): Promise<void>;
  /** Why it is in vain to wait for a request that was put off here under this fence. Null, or not given: it is not. */
  failureOf?(request: Envelope, fence: Fence): EncodedError | null;
  /** Requests that were put off under this fence because they wait for other code. */
  waiting?(fence: Fence): readonly string[];
}

/**
 * What a handler of a hidden type returns in place of an output: the request goes back to storage until `until` (wall
 * time, ms; null: until something else wakes it), with its attempts set to `attempts`, and has no reply yet. Those who wait go on
 * waiting, unless there is a `failure`: who is not patient is told that.
 */
export class Suspension {
  readonly until: number | null;
  /** 0: the next attempt is a first one. */
  readonly attempts: 0 | 1;
  readonly failure: EncodedError | null;

  constructor(until: number | null, attempts: 0 | 1 = 0, failure: EncodedError | null = null) {
    this.until = until;
    this.attempts = attempts;
    this.failure = failure;
  }
}

/** Whether requests of this tag queue by themselves. */
export function isQueued({ queued }: EntityBehavior, tag: string): boolean {
  return queued?.has(tag) === true;
}

/** The handlers of one entity. */
export function handlersOf({ handlers }: EntityBehavior, scope: ActivationScope): Handlers {
  return typeof handlers === "function" ? handlers(scope) : handlers;
}
