import type { Timer } from "../adapter/clock.ts";
import type { Envelope } from "../data/envelope.ts";
import type { Chunk, Reply } from "../data/reply.ts";
import type { ShardId } from "../data/shard-id.ts";

/** What a sender of a request is told. */
export interface DeliveryListener {
  accepted(): void;
  /** @param keptFrom of a persisted stream: what came before this chunk is kept no longer */
  chunk(chunk: Chunk, keptFrom: number): void;
  /**
   * @param keptFrom as with chunks
   * @param chunkCount of a persisted stream that ended with an error: how many chunks came before it
   */
  reply(reply: Reply, keptFrom: number, chunkCount: number): void;
  failed(error: Error): void;
}

/** What its sender says of a request, besides what is in it. */
export interface Origin {
  /**
   * Of what is known to exist: while no member serves its type it is stored, and waits there, instead of failing. Default
   * false.
   */
  readonly isKept?: boolean;
  /** The shard on which the handler runs that sends it. */
  readonly fromShard?: ShardId;
}

const NOWHERE: Origin = {};

/** A request on its way, as its sender keeps it. */
export interface Outgoing {
  readonly envelope: Envelope;
  readonly listener: DeliveryListener;
  /** See `Origin`. */
  readonly isKept: boolean;
  /** Whether a handler that runs on its very shard sent it. */
  readonly isNested: boolean;
  /** Where it was sent last, while that may still answer. */
  target: string | null;
  /** How often it was sent, to whichever runner, or to storage. */
  sendings: number;
  /** Sends that surely did not run. */
  refusals: number;
  /** Since when live runners have turned it away (monotonic), or null, and how often they did. */
  turnedAwaySince: number | null;
  turnedAway: number;
  /** Whether it was sent to another runner at once after it was turned away. */
  isRedirected: boolean;
  /** The id under which storage has it, once this sender stored or found it there: its reply is looked up. A duplicate's is the first's. */
  storedAs: string | null;
  /** Whether it is on its way into storage, or looked for there. */
  isStoring: boolean;
  /** Whether an owner may have accepted it that is gone, or handed its shard over, or whose write had no outcome. */
  mayBeAccepted: boolean;
  /** The owner that refused it although it is in storage, where that owner finds it: it is sent to the next one only. */
  leftBy: string | null;
  /** The store up to which its owner was told to read first, or null. */
  readsUpTo: number | null;
  /** Of a stream: how far its reader came, by its last word. */
  readFrom: number;
  unanswered: number;
  /** Whether `target` was asked if it knows the request. */
  isProbed: boolean;
  retry: Timer | null;
}

export function newOutgoing(
  envelope: Envelope,
  listener: DeliveryListener,
  { isKept = false, fromShard }: Origin = NOWHERE,
): Outgoing {
  return {
    envelope,
    listener,
    isKept,
    isNested: fromShard === envelope.address.shardId,
    target: null,
    sendings: 0,
    refusals: 0,
    turnedAwaySince: null,
    turnedAway: 0,
    isRedirected: false,
    storedAs: null,
    isStoring: false,
    mayBeAccepted: false,
    leftBy: null,
    readsUpTo: null,
    readFrom: 0,
    unanswered: 0,
    isProbed: false,
    retry: null,
  };
}

/** It has been taken in: should its shard move again, it starts anew. */
export function forgetRefusals(outgoing: Outgoing): void {
  outgoing.refusals = 0;
  outgoing.turnedAwaySince = null;
  outgoing.turnedAway = 0;
  outgoing.isRedirected = false;
}

/** How long to wait after so many failures, 1 or more, in milliseconds. */
export function retryDelayMs(failures: number): number {
  return 100 * 3 ** (failures - 1);
}
