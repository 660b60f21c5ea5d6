import type { InboxMessage } from "../adapter/workflow-storage.ts";
import type { AnyWorkflowContract } from "../contract/workflow-contract.ts";
import type { JournalEntry } from "../data/journal-entry.ts";
import type { Call } from "../entity/behavior.ts";
import type { DefinitionError } from "../errors/config.ts";
import type { NonDeterminismError } from "../errors/workflow.ts";
import type { ExecutionServices } from "./execution-services.ts";
import type { RecordedRun } from "./recorded-run.ts";

/** What one run of a workflow's code over its journal stands on. */
export interface ExecutionOptions {
  readonly services: ExecutionServices;
  readonly contract: AnyWorkflowContract;
  readonly call: Call;
  readonly run: RecordedRun;
  /** What came and is in no run's journal. */
  readonly inbox: readonly InboxMessage[];
  /** What the next copy has to write before it reads (journal.ts, J6). */
  readonly unsettled: (entries: readonly JournalEntry[]) => void;
}

/** How a run of the code ended. */
export type ExecutionEnd =
  | { readonly type: "completed"; readonly value: unknown }
  /** The code threw. */
  | { readonly type: "failed"; readonly error: unknown }
  /** Null: until something wakes it. */
  | { readonly type: "suspended"; readonly until: number | null }
  /** The next run is recorded. */
  | { readonly type: "continued" }
  /** It may not go on here; what is recorded stays, and another copy takes it from there. */
  | { readonly type: "stopped"; readonly error: unknown }
  /** The code does not ask for what is recorded. `isCertain`: it asked for something else, and is not just slow. */
  | { readonly type: "diverged"; readonly error: NonDeterminismError; readonly isCertain: boolean }
  /** Another release recorded something that this one cannot read. */
  | { readonly type: "unreadable"; readonly error: DefinitionError };
