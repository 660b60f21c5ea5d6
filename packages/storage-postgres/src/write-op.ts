import type {
  Chunk,
  EncodedError,
  Envelope,
  ExecutionKey,
  Fence,
  JournalEntry,
  JournalEvent,
  Reply,
} from "@holdfast/core/adapter";

/** One write of one caller, as it waits for its group. */
export type WriteOp =
  | {
      readonly type: "request";
      readonly envelope: Envelope;
      readonly attempts: number;
      readonly fence: Fence | null;
      /** Its reply, if it is there when the write is taken into a group. */
      readonly ready?: (() => Reply | null) | undefined;
      /** Recorded with it. */
      readonly reply?: Reply;
    }
  | {
      readonly type: "update";
      readonly requestId: string;
      readonly attempts: number;
      /** Undefined leaves the due time as it is; null is at once. */
      readonly deliverAt: number | null | undefined;
      readonly fence: Fence;
    }
  | {
      readonly type: "journal";
      readonly execution: ExecutionKey;
      /** The journal's (journal-key.ts). */
      readonly key: string;
      readonly entries: readonly JournalEntry[];
      readonly fence: Fence;
    }
  | { readonly type: "chunk"; readonly chunk: Chunk; readonly fence: Fence }
  | { readonly type: "reply"; readonly reply: Reply; readonly fence: Fence }
  | {
      readonly type: "dead";
      readonly requestId: string;
      readonly letter: {
        readonly error: EncodedError;
        readonly attempts: number;
        readonly deadSince: number;
      };
      readonly fence: Fence;
    };

/** What became of a write that reached the database. */
export type WriteResult =
  | { readonly type: "done" }
  /** A request that was accepted, and answered if it had its reply with it. */
  | { readonly type: "accepted"; readonly sequence: number; readonly isAnswered: boolean }
  /** A duplicate, a reply that is recorded already, a request that is not known: nothing was written. */
  | { readonly type: "refused" }
  /** The shard is at another epoch: nothing was written. */
  | { readonly type: "fenced"; readonly current: number | null };

/**
 * The line that a write stands in: those of one line become durable in the order of calls. It is the shard's, but for requests:
 * these are in order among those to their entity, and nothing else is written of one before it was accepted. So what many
 * send at once is not held up by each shard that is busy (in bulk a tenth more). Whoever shares an id shares a line, which
 * does no harm.
 */
export function lineOf(op: WriteOp): string {
  return op.type === "request" ? op.envelope.address.entityId : op.fence.shardId;
}

/** What a group may hold only once: a second write of that kind to the same request waits for the next group. */
export function uniqueKeyOf(op: WriteOp): string | null {
  switch (op.type) {
    case "request":
      return `request ${op.envelope.requestId}`;
    case "reply":
      return `reply ${op.reply.requestId}`;
    case "update":
    case "dead":
      return `${op.type} ${op.requestId}`;
    case "journal":
    case "chunk":
      return null;
  }
}

/** Names what must have no gap: once one append to a journal failed, those called after it must not pass. */
export function streamOf(op: WriteOp): string | null {
  return op.type === "journal" ? op.key : null;
}

/** A write as its group takes it. */
export function taken(op: WriteOp): WriteOp {
  if (op.type !== "request" || op.ready === undefined || op.reply !== undefined) return op;
  const reply = op.ready();
  return reply === null ? op : { ...op, reply };
}

export function rowsOf(op: WriteOp): number {
  return op.type === "journal" ? op.entries.length : 1;
}

/** About how much text a write sends, in characters. */
export function sizeOf(op: WriteOp): number {
  switch (op.type) {
    case "request":
      return lengthOf(op.envelope.payload) + (op.reply === undefined ? 0 : sizeOfReply(op.reply));
    case "journal":
      return op.entries.reduce((size, { event }) => size + sizeOfEvent(event), 0);
    case "chunk":
      return lengthOf(op.chunk.value);
    case "reply":
      return sizeOfReply(op.reply);
    case "dead":
      return sizeOfError(op.letter.error);
    case "update":
      return 200;
  }
}

function sizeOfReply({ exit }: Reply): number {
  return exit.ok ? lengthOf(exit.value) : sizeOfError(exit.error);
}

function sizeOfEvent(event: JournalEvent): number {
  switch (event.type) {
    case "completed":
      return lengthOf(event.value);
    case "begun":
      return 200 + (event.detail?.length ?? 0);
    case "failed":
      return sizeOfError(event.error);
    case "attempt-failed":
      return sizeOfError(event.error) + (event.lastHeartbeat?.length ?? 0);
  }
}

/** An error may be as large as a payload, with what it says, its stack, its fields and its causes. */
function sizeOfError(error: EncodedError): number {
  let size = 200;
  for (let at: EncodedError | null | undefined = error; at != null; at = at.cause)
    size += lengthOf(at.message) + (at.stack?.length ?? 0) + (at.data?.length ?? 0);
  return size;
}

/** Against its type a text may be missing: then the database refuses the write, and only that. */
function lengthOf(text: string | undefined): number {
  return text?.length ?? 0;
}
