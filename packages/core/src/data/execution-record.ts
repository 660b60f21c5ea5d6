import type { Envelope } from "./envelope.ts";

/** Where an execution stands. Storage finds it out from its request: `docs/adapters/storage.md` says how. */
export type ExecutionStatus =
  /** It was accepted, or woken, and nobody runs it yet. */
  | "pending"
  /** Its owner runs it, or did when it ended. */
  | "running"
  /** It left memory, and waits for a time, a signal or a child. */
  | "suspended"
  | "completed"
  /** It ended with an error, or is a dead letter. */
  | "failed"
  | "cancelled";

/** What listings filter by. */
export type AttributeValue = string | number | boolean;

/** The `code` of the error with which a cancelled execution ends. */
export const CANCELLED_CODE = "WORKFLOW_CANCELLED";

/** What storage knows of an execution without its journal. */
export interface ExecutionRecord {
  /** The request that it is: its id says when it began. */
  readonly envelope: Envelope;
  readonly status: ExecutionStatus;
  /** Wall time in milliseconds since 1970 at which it was answered or became a dead letter; null while it goes on. */
  readonly endedAt: number | null;
  /** While it is suspended, the wall time of its next step by itself; far in the future where something else wakes it. */
  readonly dueAt: number | null;
  readonly attributes: Readonly<Record<string, AttributeValue>>;
}
