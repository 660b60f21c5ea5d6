import type { Call } from "../entity/behavior.ts";
import type { Execution } from "./execution.ts";

/** A workflow's code, as the runtime calls it. */
export interface WorkflowCode {
  /** By version; under null the one of a workflow that has none. */
  readonly versions: ReadonlyMap<
    string | null,
    /** `seed` seeds chance. */
    (execution: Execution, call: Call, seed: string, input: unknown) => Promise<unknown>
  >;
  /** Answers queries from the state, by name. */
  readonly queries: ReadonlyMap<string, (state: unknown, input: unknown) => unknown>;
}
