import type { Registrable } from "@holdfast/core";
import type { Duration } from "@holdfast/core/adapter";
import type { Tamper } from "../gated-storage.ts";
import type { TestCluster } from "../test-cluster.ts";
import type { RunnerOptions } from "../test-runner.ts";
import type { FaultKind } from "./fault-plan.ts";

/** What a simulation runs under many seeds: some entities and workflows, the work that they get, and what must hold. */
export interface Scenario {
  readonly name: string;
  /** How many runners, unless `simulate` is told otherwise. Default 3. */
  readonly runners?: number;
  /** How long faults go on, in virtual time, unless `simulate` is told otherwise. Default 30s. */
  readonly duration?: Duration;
  /** Which faults may happen, unless `simulate` is told otherwise; `[]`: none. Default: all. */
  readonly faults?: readonly FaultKind[];
  /** How long the work may still take once the faults are over, in virtual time: more than it sleeps. Default: some minutes. */
  readonly patience?: Duration;
  /** Makes the scenario anew for one run: nothing of an earlier run may be left in it. */
  start(sim: Simulation): ScenarioRun;
}

/** A scenario in one run: what the cluster registers, what it is asked, and what has to hold. */
export interface ScenarioRun {
  /** What every runner registers, or what each one does: code that is to take time takes that of its process. */
  readonly register: readonly Registrable[] | ((process: SimulatedProcess) => readonly Registrable[]);
  /** Options of the cluster that the scenario needs. */
  readonly options?: Omit<RunnerOptions, "register">;
  /** For tests of the library itself: exchanges each process's handle on storage, beneath the faults. */
  readonly tamper?: Tamper;
  /** Gives the cluster its work, while faults happen. A call that outlasts the scenario's patience is a violation. */
  run(): Promise<void>;
  /** Throws what does not hold, once all work has ended and the cluster is whole: a checker's Violation, or any error. */
  check(): void | Promise<void>;
}

/** The process that code runs in: it may be stopped, die, and have a wall clock that is off. */
export interface SimulatedProcess {
  /** The runner's number. */
  readonly runner: number;
  /** Counts the processes that ran there: another number says that whatever began under the last one is dead. */
  readonly life: number;
  /** Neither stopped nor dead. */
  readonly isRunning: boolean;
  /** Resolves when so much time has passed here: later if the process is stopped meanwhile, never if it dies. */
  sleep(ms: number): Promise<void>;
  /** Its wall time, in milliseconds since 1970. */
  now(): number;
}

/** What a scenario is given for one run. */
export interface Simulation {
  readonly seed: number;
  /** The cluster; there from `run` on. Its calls come back as time passes, and never move it. */
  readonly cluster: TestCluster;
  /** A number in [0, 1) that the seed decides. */
  random(): number;
  /** A whole number from `least` to `most` that the seed decides. */
  integer(least: number, most: number): number;
  /** Virtual wall time, in milliseconds since 1970. */
  now(): number;
  /** How long the faults go on, in milliseconds. */
  readonly durationMs: number;
  /** How far the wall clocks of two runners differ at the most in this run, in milliseconds. */
  readonly clockErrorMs: number;
  /** Lets virtual time pass. For what calls the cluster; what runs in it has its process's own time. */
  sleep(ms: number): Promise<void>;
  /**
   * Does `count` operations, each at a moment of its own while the faults go on, and resolves when all have ended. What is
   * done this way can be left out when a failure is made smaller.
   */
  operations(count: number, operation: (index: number) => Promise<void>): Promise<void>;
  /** Adds a line to the trace. */
  note(who: string, what: string): void;
}
