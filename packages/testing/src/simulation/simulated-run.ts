// SimulatedRun: one run of a scenario under one seed.
//
//   S1  The run is decided by its seed, its plan, and which of its operations are done: so is the hash of its trace.

import { createHash } from "node:crypto";
import type { Registrable } from "@holdfast/core";
import { ConfigError } from "@holdfast/core/adapter";
import { SeededRandom } from "@holdfast/core/internal";
import { settled } from "../settled.ts";
import { createTestCluster, type TestCluster } from "../test-cluster.ts";
import { TestClusterError } from "../test-cluster-error.ts";
import type { TestRunner } from "../test-runner.ts";
import type { TraceEvent } from "../trace.ts";
import { FaultDriver } from "./fault-driver.ts";
import { planFaults, type FaultKind, type PlannedFault } from "./fault-plan.ts";
import { comesTo, describeRecovery, describeUnserved, isWhole, recoveryOf } from "./recovery.ts";
import type { Scenario, ScenarioRun, SimulatedProcess, Simulation } from "./scenario.ts";
import { StorageWitness } from "./storage-witness.ts";
import { Violation } from "./violation.ts";

export interface RunOptions {
  readonly seed: number;
  readonly runners: number;
  readonly durationMs: number;
  /** How long the work may still take once the faults are over; at least as long as the cluster may. */
  readonly patienceMs: number;
  readonly kinds: readonly FaultKind[];
  /** Which of the planned faults happen, and which operations are done, by their numbers; null: all. */
  readonly faults: readonly number[] | null;
  readonly operations: readonly number[] | null;
  readonly keepsTrace: boolean;
}

/** What came of the run under one seed. */
export interface RunResult {
  readonly seed: number;
  readonly violation: Error | null;
  /** Of every event, in order: SHA-256 in hexadecimal digits. */
  readonly traceHash: string;
  readonly events: number;
  /** Empty, unless it was kept. */
  readonly trace: readonly TraceEvent[];
  readonly plan: readonly PlannedFault[];
  /** How many faults were planned, and how many operations the scenario has. */
  readonly planned: number;
  readonly operations: number;
  /** Virtual milliseconds from the first operation to rest. */
  readonly tookMs: number;
}

/** A lease, so that a run sees some of them end. */
const LEASE_MS = 6_000;
/** So long what nobody waits for has to come to rest, too. */
const CALM_MS = LEASE_MS + 2_000;
/** Characters of the trace. */
const HASHED_AT_ONCE = 65_536;
/** The part of the faults' time in which operations begin. */
const BUSY_PART = 0.8;

export async function runSeed(scenario: Scenario, options: RunOptions): Promise<RunResult> {
  const { seed, runners, durationMs, keepsTrace } = options;
  const hash = createHash("sha256");
  const trace: TraceEvent[] = [];
  let events = 0;
  let isOver = false;
  let unhashed = "";
  const record = (event: TraceEvent): void => {
    if (isOver) return;
    events += 1;
    unhashed += JSON.stringify(event);
    if (unhashed.length > HASHED_AT_ONCE) {
      hash.update(unhashed);
      unhashed = "";
    }
    if (keepsTrace) trace.push(event);
  };
  const random = new SeededRandom(seed);
  const full = planFaults(random.fork("plan"), {
    runners,
    durationMs,
    leaseMs: LEASE_MS,
    kinds: options.kinds,
  });
  const plan = options.faults === null ? full : full.filter((_, index) => options.faults?.includes(index));
  const chance = random.fork("scenario");
  const times = random.fork("times");
  let cluster: TestCluster | null = null;
  let early: TestRunner | null = null;
  const now = (): number => cluster?.now() ?? early?.now() ?? 0;
  let operations = 0;
  const sleep = async (ms: number): Promise<void> => {
    await theCluster(cluster).sleep(ms);
  };
  const sim: Simulation = {
    seed,
    durationMs,
    clockErrorMs: clockErrorOf(plan),
    get cluster() {
      return theCluster(cluster);
    },
    random: () => chance.next(),
    integer: (least, most) => least + Math.floor(chance.next() * (most - least + 1)),
    now,
    sleep,
    async operations(count, operation) {
      if (!Number.isSafeInteger(count) || count < 0)
        throw new ConfigError({ option: "operations", got: count, takes: "a whole number of 0 or more" });
      const first = operations;
      operations += count;
      // All are drawn, whether or not they are done, so that those that are stay as they were.
      const starts = Array.from({ length: count }, () => Math.floor(times.next() * durationMs * BUSY_PART));
      await Promise.all(
        starts.map(async (at, index) => {
          if (options.operations?.includes(first + index) === false) return;
          await sleep(at);
          await operation(index);
        }),
      );
    },
    note: (who, what) => record({ at: now(), type: "note", who, what }),
  };
  const run = checkRun(scenario.start(sim));
  const witness = new StorageWitness();
  const registered: (readonly Registrable[])[] = [];
  const registrations = (index: number, runner: TestRunner): readonly Registrable[] => {
    // Singletons and crons run, and ask for the time, before the cluster is whole.
    early ??= runner;
    if (typeof run.register !== "function") return run.register;
    // Once for each, so that what a scenario keeps in there outlives a crash, as its tables do.
    const known = registered[index] ?? run.register(processOf(index, runner));
    registered[index] = known;
    return known;
  };
  let violation: Error | null = null;
  let tookMs = 0;
  try {
    const made = await createTestCluster({
      shardsPerGroup: 8,
      runnerLockTtl: LEASE_MS,
      runnerLockRefreshInterval: LEASE_MS / 3,
      shardRebalanceDebounce: "200ms",
      entityTerminationTimeout: "2s",
      storagePollInterval: "1s",
      ...run.options,
      perRunner: (index, runner) => ({ register: registrations(index, runner) }),
      runners,
      seed,
      shuffle: true,
      isPatient: false,
      trace: record,
      tamper: (storage) => {
        const watched = witness.watch(storage);
        return run.tamper?.(watched) ?? watched;
      },
    });
    cluster = made;
    const began = made.now();
    const recoveryMs = recoveryOf(made);
    const driver = new FaultDriver(made);
    let end: PromiseSettledResult<void> | null = null;
    void settled(workOf(run)).then((result) => (end = result));
    const ending = (): PromiseSettledResult<void> | null => end;
    for (const { atMs, act } of driver.changesOf(plan)) {
      await made.advance(Math.max(0, began + atMs - made.now()));
      await act();
    }
    await made.advance(Math.max(0, began + durationMs - made.now()));
    await driver.mend();
    const patienceMs = Math.max(recoveryMs, options.patienceMs);
    await comesTo(made, () => ending() !== null, patienceMs);
    const ended = ending();
    if (ended === null) {
      const stillOpen = `work of ${scenario.name} had not ended ${Math.round(patienceMs / 1_000)} s after the faults`;
      throw new Violation("nothing hangs", `${stillOpen}, which is its patience${describeUnserved(made)}`);
    }
    // Of its own: work may have killed a runner just before it ended.
    const isBack = await comesTo(made, () => isWhole(made), recoveryMs);
    if (ended.status === "rejected") throw ended.reason;
    if (!isBack)
      throw new Violation("the cluster is whole again", `after ${recoveryMs} ms ${describeRecovery(made)}`);
    await made.advance(CALM_MS);
    tookMs = made.now() - began;
    witness.check();
    await run.check();
  } catch (error) {
    // Before the cluster is there, all but a start that does not end is a mistake in the scenario.
    if (cluster === null && !(error instanceof TestClusterError)) throw error;
    violation = asError(error);
  }
  isOver = true;
  hash.update(unhashed);
  try {
    await cluster?.shutdown();
  } catch (error) {
    violation ??= asError(error);
  }
  const traceHash = hash.digest("hex");
  const planned = full.length;
  return { seed, violation, traceHash, events, trace, plan, planned, operations, tookMs };
}

function checkRun(run: ScenarioRun): ScenarioRun {
  const { register, run: work, check } = (run ?? {}) as Partial<ScenarioRun>;
  const isRegister = Array.isArray(register) || typeof register === "function";
  if (isRegister && typeof work === "function" && typeof check === "function") return run;
  throw new ConfigError({
    option: "scenario.start",
    got: run,
    takes: "a function that returns { register, run, check }, and no promise of it",
  });
}

function workOf(run: ScenarioRun): Promise<void> {
  const work: Promise<void> | undefined = run.run();
  if (typeof work?.then === "function") return work;
  throw new ConfigError({ option: "scenario.run", got: work, takes: "a function that returns a promise" });
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

function theCluster(cluster: TestCluster | null): TestCluster {
  if (cluster === null) throw new TestClusterError("There is no cluster yet: use it in run() and check()");
  return cluster;
}

function processOf(number: number, runner: TestRunner): SimulatedProcess {
  return {
    runner: number,
    get life() {
      return runner.lives;
    },
    get isRunning() {
      return runner.isAlive && !runner.isPaused;
    },
    sleep: (ms) => runner.sleep(ms),
    now: () => runner.now(),
  };
}

/** From the clock that is furthest behind to the one that is furthest ahead. */
function clockErrorOf(plan: readonly PlannedFault[]): number {
  const off = plan.flatMap(({ fault }) => (fault.kind === "clock" ? [fault.fromMs, fault.toMs] : []));
  return Math.max(0, ...off) - Math.min(0, ...off);
}
