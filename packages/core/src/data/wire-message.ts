import type { Envelope } from "./envelope.ts";
import type { Chunk, Reply } from "./reply.ts";
import type { ShardId } from "./shard-id.ts";

/** Why a runner refused a request that it did not begin to handle. `NOT_ASSIGNED` and `CLOSING` may be sent elsewhere. */
export type RejectionCode =
  | "NOT_ASSIGNED"
  | "CLOSING"
  | "MAILBOX_FULL"
  | "UNKNOWN_ENTITY"
  | "UNKNOWN_RPC"
  | "PROTECTED_RPC"
  | "INVALID_INPUT"
  | "PERSISTENCE";

/** What members say to each other. A transport carries these and looks at none of them. */
export type WireMessage =
  /**
   * `sending`: how often it was sent before, to whichever runner or to storage; left out for 0. A copy of a message has the same.
   * `readFrom`: of a persisted stream. Its reader has every chunk below; left out for 0.
   * `isNested`: a handler that runs on its very shard sent it. Only said in this process.
   */
  | {
      readonly type: "request";
      readonly envelope: Envelope;
      readonly sending?: number;
      readonly readFrom?: number;
      readonly isNested?: boolean;
    }
  /** The request is durable if it is persisted, else in the mailbox. */
  | { readonly type: "accepted"; readonly requestId: string }
  | {
      readonly type: "rejected";
      readonly requestId: string;
      readonly code: RejectionCode;
      /** What it says depends on the code (entity/rejection.ts). */
      readonly detail: string;
      /** Which sending of the request it answers; left out where that is all the same. */
      readonly sending?: number;
    }
  /**
   * Of a persisted stream, each left out for 0: `keptFrom`: what came before this chunk was read and is kept no longer;
   * `chunkCount`: how many chunks came before an error. A successful end says that itself.
   */
  | {
      readonly type: "reply";
      readonly reply: Reply;
      readonly keptFrom?: number;
      readonly chunkCount?: number;
    }
  | { readonly type: "chunk"; readonly chunk: Chunk; readonly keptFrom?: number }
  /** The consumer took every chunk below `upTo`: the producer may send as many again. */
  | { readonly type: "acknowledge"; readonly requestId: string; readonly upTo: number }
  | { readonly type: "interrupt"; readonly requestId: string; readonly shardId: ShardId }
  /** Is this request still known to you? Answered by `known`. Finds out about lost messages without repeating any. */
  | { readonly type: "probe"; readonly requestId: string }
  | { readonly type: "known"; readonly requestId: string; readonly known: boolean }
  /** There is work in storage for these shards that you were not told of. */
  | { readonly type: "wake"; readonly shardIds: readonly ShardId[] }
  /** These shards are free now: take those that are yours. */
  | { readonly type: "released"; readonly shardIds: readonly ShardId[] }
  | { readonly type: "ping"; readonly nonce: string }
  | { readonly type: "pong"; readonly nonce: string };

/** That a runner refused a request, and why. */
export type Rejected = Extract<WireMessage, { type: "rejected" }>;
