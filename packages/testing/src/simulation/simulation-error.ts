import { HoldfastError } from "@holdfast/core/adapter";
import type { TraceEvent } from "../trace.ts";
import { describeFault } from "./fault-plan.ts";
import type { RunResult } from "./simulated-run.ts";

/** What a failure says as data: what `traceFile` is written from. */
export interface SimulationDetails {
  readonly scenario: string;
  readonly seed: number;
  readonly invariant: string;
  /** The faults that are left, in words. */
  readonly faults: readonly string[];
  /** The numbers of the faults and operations that are left. */
  readonly only: { readonly faults: readonly number[]; readonly operations: readonly number[] };
  /** Events of the smallest run. */
  readonly trace: readonly TraceEvent[];
  readonly traceHash: string;
}

/** A run of a simulation broke a rule. `cause` is what the checker said. */
export class SimulationError extends HoldfastError {
  override readonly name = "SimulationError";
  readonly code = "SIMULATION";
  readonly details: SimulationDetails;

  constructor(
    failure: {
      readonly scenario: string;
      readonly first: RunResult;
      readonly smallest: RunResult;
      readonly invariant: string;
      readonly faults: readonly number[];
      readonly operations: readonly number[];
      /** Options of `simulate` that a replay needs, too. */
      readonly given: Readonly<Record<string, unknown>>;
      /** What went wrong with the report itself, in words. */
      readonly trouble?: string;
    },
    options?: ErrorOptions,
  ) {
    const { scenario, first, smallest, invariant, faults, operations, given, trouble } = failure;
    const { seed } = first;
    const only = { faults, operations };
    const left = smallest.plan.map((fault) => describeFault(fault));
    super(
      [
        `"${scenario}" breaks a rule under seed ${seed}: ${(smallest.violation ?? first.violation)?.message}`,
        `It takes ${faults.length} of ${first.plan.length} faults and ${operations.length} of ${first.operations} operations${left.length === 0 ? "." : ":"}`,
        ...left.map((fault) => `  ${fault}`),
        `Replay it: simulate(scenario, { ${named({ seed, ...given, only }).join(", ")} })`,
        ...(trouble === undefined ? [] : [trouble]),
      ].join("\n"),
      options,
    );
    const { trace, traceHash } = smallest;
    this.details = { scenario, seed, invariant, faults: left, only, trace, traceHash };
  }
}

/** As it is written in code. */
function named(options: Readonly<Record<string, unknown>>): readonly string[] {
  return Object.entries(options).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}: ${JSON.stringify(value)}`],
  );
}
