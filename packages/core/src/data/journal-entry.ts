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
  /** What queries read. */
  | "state"
  /** What listings filter by: the value is a JSON object of strings, numbers, booleans and, for what goes away, nulls. */
  | "attributes"
  /** The execution begins anew here: what was recorded before is over. Its value is the new run's (workflow/recorded-run.ts). */
  | "continue"
  // These are no steps of the code, and their position is -1:
  /** It was cancelled: the value is the reason. */
  | "cancel"
  /** It began with steps of another execution's journal. */
  | "fork"
  /** The version of the workflow that began it. */
  | "version"
  /** It had failed, and goes on from its last good step: the value says which steps are done anew. */
  | "resume";

/**
 * One durable fact about one step of an execution. `position` says which step, by the order in which the code asked;
 * `ordinal` says when it was recorded. Entries of an execution are read back in the order of their ordinals.
 */
export interface JournalEntry {
  /** Unique within the execution and rising; gaps are left by transactions that rolled back. */
  readonly ordinal: number;
  /** From 0 in each run of the code; -1 for what no step of the code is. */
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
  | {
      readonly type: "failed";
      readonly error: EncodedError;
      /** How many steps the code had asked for by then: those from there on may have followed from the failure. */
      readonly asked?: number;
      /** The request id of the signal that the step took, and could not give to the code. */
      readonly signal?: string;
      /** Of a call that was answered with the error: where in its key it is told apart. Under that key it is answered so again. */
      readonly answered?: string;
    };
