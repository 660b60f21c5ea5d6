import type { Duration } from "../contract/duration.ts";
import type { EntityContract } from "../contract/entity-contract.ts";
import type { RequestState } from "../adapter/message-storage.ts";

/** Options of one call. */
export interface CallOptions {
  /** Persisted rpcs: calls of one entity, rpc and key are one request, which runs once and answers all. */
  readonly idempotencyKey?: string | undefined;
  /** How long to wait for the reply. Then TimeoutError, and the handler is interrupted. Default: for ever. */
  readonly timeout?: Duration | undefined;
  /** Aborting it ends the wait with InterruptedError and interrupts the handler. */
  readonly signal?: AbortSignal | undefined;
  /** Strings that travel with the request, on the handler's `ctx.headers`. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Persisted rpcs: not handled before this time. */
  readonly deliverAt?: Date | undefined;
  /** The handler goes on although this caller left, timed out or aborted. Default: as the rpc says. */
  readonly uninterruptible?: boolean | undefined;
}

export interface CallTarget {
  readonly contract: EntityContract;
  readonly entityId: string;
  /** The rpc's name. */
  readonly tag: string;
  /** Whether a handler, an activity or a workflow calls: it may call protected rpcs. */
  readonly fromInside: boolean;
}

/** Sends requests and hands back decoded, validated outcomes. All clients stand on it. */
export interface Caller {
  /** Resolves to the output. Rejects with the handler's error or a HoldfastError. */
  call(target: CallTarget, input: unknown, options?: CallOptions): Promise<unknown>;
  /** Resolves when the request is accepted: durable if it is persisted, else in the mailbox. */
  notify(target: CallTarget, input: unknown, options?: CallOptions): Promise<void>;
  /** Leaving the loop interrupts the handler. */
  stream(target: CallTarget, input: unknown, options?: CallOptions): AsyncIterableIterator<unknown>;
  /** What storage knows of the persisted request with this key. */
  lookUpByKey(target: CallTarget, deduplicationKey: string): Promise<RequestState | null>;
}
