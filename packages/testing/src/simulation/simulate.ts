import { writeFile } from "node:fs/promises";
import { ConfigError, milliseconds, type Duration } from "@holdfast/core/adapter";
import { checkOptionNames, type OptionNames } from "@holdfast/core/internal";
import { FAULT_KINDS, type FaultKind } from "./fault-plan.ts";
import type { Scenario } from "./scenario.ts";
import { newTries, shrinkList } from "./shrink.ts";
import { runSeed, type RunOptions, type RunResult } from "./simulated-run.ts";
import { SimulationError } from "./simulation-error.ts";
import { tracePage } from "./trace-page.ts";
import { invariantOf } from "./violation.ts";

/** Options of `simulate()`. */
export interface SimulateOptions {
  /** How many seeds, from `seed` on. Default 100, or 1 where `seed` is given. */
  readonly seeds?: number;
  /** The first seed. Default 1. */
  readonly seed?: number;
  /** Default: as the scenario says, or 3. */
  readonly runners?: number;
  /** Which faults may happen; `[]`: none. Default: as the scenario says, or all. */
  readonly faults?: readonly FaultKind[];
  /** How long faults go on, in virtual time. Default: as the scenario says, or 30s. */
  readonly duration?: Duration;
  /**
   * The trace of the first failing run is written here, made as small as it was found: JSON, or a page if it ends in `.html`.
   * If that fails, the error that reports the run says so.
   */
  readonly traceFile?: string;
  /** Replays a run that was made smaller: what a SimulationError says. */
  readonly only?: { readonly faults: readonly number[]; readonly operations: readonly number[] };
  /** Is told of each run. Must not throw. */
  readonly progress?: (run: RunResult) => void;
}

const OPTION_NAMES: OptionNames<SimulateOptions> = {
  seeds: true,
  seed: true,
  runners: true,
  faults: true,
  duration: true,
  traceFile: true,
  only: true,
  progress: true,
};

const ONLY_NAMES: OptionNames<NonNullable<SimulateOptions["only"]>> = { faults: true, operations: true };

/** What `simulate()` ran, once no run broke a rule. */
export interface SimulationSummary {
  readonly scenario: string;
  readonly seeds: number;
  /** Of all runs together. */
  readonly events: number;
  /** Virtual milliseconds of all runs together. */
  readonly virtualMs: number;
}

/**
 * Runs a scenario under many seeds: each decides the faults, when they happen, the order of everything that happens at one
 * moment, and what else is left to chance. The same seed is the same run, event for event.
 *
 * @throws {SimulationError} a run broke a rule: with its seed, the smallest run found that breaks it, and how to replay that
 * @throws {ConfigError} this is no scenario, or an option is out of range, or `only` names what its seed does not have
 */
export async function simulate(
  scenario: Scenario,
  options: SimulateOptions = {},
): Promise<SimulationSummary> {
  checkScenario(scenario);
  checkOptionNames(options, OPTION_NAMES);
  checkReports(options);
  if (options.only !== undefined) checkOnly(options.only);
  const first = whole(options.seed ?? 1, "seed", 0);
  const seeds = whole(options.seeds ?? (options.seed === undefined ? 100 : 1), "seeds", 1);
  const base: Omit<RunOptions, "seed"> = {
    runners: whole(options.runners ?? scenario.runners ?? 3, "runners", 1),
    durationMs: milliseconds(options.duration ?? scenario.duration ?? "30s", "duration"),
    patienceMs: milliseconds(scenario.patience ?? 0, "scenario.patience"),
    kinds: checkKinds(options.faults ?? scenario.faults ?? FAULT_KINDS),
    faults: options.only?.faults ?? null,
    operations: options.only?.operations ?? null,
    keepsTrace: false,
  };
  let events = 0;
  let virtualMs = 0;
  for (let seed = first; seed < first + seeds; seed += 1) {
    const run = await runSeed(scenario, { ...base, seed });
    options.progress?.(run);
    events += run.events;
    virtualMs += run.tookMs;
    if (run.violation !== null) throw await failureOf(scenario, { ...base, seed }, run, options);
    if (options.only !== undefined) checkThatThereAre(options.only, run);
  }
  return { scenario: scenario.name, seeds, events, virtualMs };
}

async function failureOf(
  scenario: Scenario,
  options: RunOptions,
  run: RunResult,
  { traceFile, runners, faults: kinds, duration }: SimulateOptions,
): Promise<SimulationError> {
  const invariant = invariantOf(run.violation);
  const tries = newTries();
  // A scenario that another run has left something in may fail to start: the violation is reported all the same.
  const again = (differently: Partial<RunOptions>): Promise<RunResult | null> =>
    runSeed(scenario, { ...options, ...differently }).catch(() => null);
  const fails = async (faults: readonly number[], operations: readonly number[]): Promise<boolean> => {
    const violation = (await again({ faults, operations }))?.violation ?? null;
    return violation !== null && invariantOf(violation) === invariant;
  };
  let faults = options.faults ?? numbers(run.plan.length);
  let operations = options.operations ?? numbers(run.operations);
  faults = await shrinkList(faults, (kept) => fails(kept, operations), tries);
  operations = await shrinkList(operations, (kept) => fails(faults, kept), tries);
  faults = await shrinkList(faults, (kept) => fails(kept, operations), tries);
  const smallest = (await again({ faults, operations, keepsTrace: true })) ?? run;
  const failure = {
    scenario: scenario.name,
    first: run,
    smallest,
    invariant,
    faults,
    operations,
    given: { runners, faults: kinds, duration },
  };
  const cause = smallest.violation ?? run.violation;
  const error = new SimulationError(failure, { cause });
  if (traceFile === undefined) return error;
  const trouble = await writeTrace(traceFile, error);
  return trouble === null ? error : new SimulationError({ ...failure, trouble }, { cause });
}

/** Returns what went wrong, in words, or null: whoever waits for a violation is told of that first. */
async function writeTrace(traceFile: string, { message, details }: SimulationError): Promise<string | null> {
  try {
    const told = { message, ...details };
    await writeFile(traceFile, traceFile.endsWith(".html") ? tracePage(told) : JSON.stringify(told, null, 1));
    return null;
  } catch (error) {
    return `Its trace was not written to ${traceFile}: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function numbers(count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => index);
}

function checkScenario(scenario: unknown): void {
  const { name, start } = (scenario ?? {}) as Partial<Scenario>;
  if (typeof name === "string" && typeof start === "function") return;
  throw new ConfigError({
    option: "scenario",
    got: scenario,
    takes: "a Scenario, { name, start(sim) }: start makes what runs under one seed, { register, run, check }",
  });
}

function checkKinds(kinds: readonly FaultKind[]): readonly FaultKind[] {
  const isList = Array.isArray(kinds);
  if (isList && kinds.every(isKind)) return kinds;
  const got: unknown = isList ? kinds.find((kind) => !isKind(kind)) : kinds;
  throw new ConfigError({ option: "faults", got, takes: `a list of ${FAULT_KINDS.join(", ")}` });
}

function isKind(kind: FaultKind): boolean {
  return FAULT_KINDS.includes(kind);
}

/** What is used once a run has failed is checked before the first one. */
function checkReports({ traceFile, progress }: SimulateOptions): void {
  if (traceFile !== undefined && (typeof traceFile !== "string" || traceFile === ""))
    throw new ConfigError({ option: "traceFile", got: traceFile, takes: "the path of a file" });
  if (progress !== undefined && typeof progress !== "function")
    throw new ConfigError({ option: "progress", got: progress, takes: "a function" });
}

function checkOnly(only: NonNullable<SimulateOptions["only"]>): void {
  checkOptionNames(only, ONLY_NAMES);
  for (const name of ["faults", "operations"] as const) {
    const got: unknown = only[name] ?? [];
    if (Array.isArray(got) && got.every((each) => Number.isSafeInteger(each) && each >= 0)) continue;
    throw new ConfigError({
      option: `only.${name}`,
      got,
      takes: "a list of whole numbers, as a SimulationError says them",
    });
  }
}

/** A replay of what the seed does not have any more would show nothing. @throws {ConfigError} */
function checkThatThereAre(
  only: NonNullable<SimulateOptions["only"]>,
  { seed, planned, operations }: RunResult,
): void {
  for (const [name, count] of [
    ["faults", planned],
    ["operations", operations],
  ] as const) {
    const got = only[name]?.find((number) => number >= count);
    if (got === undefined) continue;
    const takes = `numbers below ${count}: seed ${seed} has ${count} ${name} with this version of the code`;
    throw new ConfigError({ option: `only.${name}`, got, takes });
  }
}

function whole(value: number, option: string, least: number): number {
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new ConfigError({ option, got: value, takes: `a whole number of ${least} or more` });
}
