import type { EncodedError } from "./encoded-error.ts";

/** What kind of step an execution asked for. */
export type StepKind =
  | "activity"
  | "run"
  | "sleep"
  | "rpc"
  | "child"
  | "signal"
  | "value"
  | "patch"
  | "compensate"
  | "attributes";

/**
 * One durable fact about one step of an execution. `position` says which step, by the order in which the code asked;
 * `ordinal` says when it was recorded. Entries of an execution are read back in the order of their ordinals.
 */
export interface JournalEntry {
  /** Unique within the execution and rising; gaps are left by transactions that rolled back. */
  readonly ordinal: number;
  readonly position: number;
  readonly kind: StepKind;
  /** `group.activity`, the name of an inline activity, the tag of an rpc, ... */
  readonly name: string;
  readonly event: JournalEvent;
}

export type JournalEvent =
  /** A timer was set, or a request is about to be sent: what must be known again before the step ends. */
  | { readonly type: "begun"; readonly dueAt: number | null; readonly detail: string | null }
  /** An attempt failed and another one follows, not before `retryAt` (wall time, ms). */
  | {
      readonly type: "attempt-failed";
      readonly attempt: number;
      readonly error: EncodedError;
      readonly retryAt: number;
      /** The details that its last heartbeat left to the next attempt, encoded; absent if there are none. */
      readonly lastHeartbeat?: string;
    }
  | { readonly type: "completed"; readonly value: string }
  | { readonly type: "failed"; readonly error: EncodedError };
