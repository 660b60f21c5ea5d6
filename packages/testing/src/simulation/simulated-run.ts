// SimulatedRun: one run of a scenario under one seed.
//
//   S1  The run is decided by its seed, its plan, and which of its operations are done: so is the hash of its trace.

import { createHash } from "node:crypto";
import type { Registration } from "@holdfast/core";
import { SeededRandom } from "@holdfast/core/internal";
import { createTestCluster, type TestCluster } from "../test-cluster.ts";
import { TestClusterError } from "../test-cluster-error.ts";
import type { TestRunner } from "../test-runner.ts";
import type { TraceEvent } from "../trace.ts";
import { FaultDriver } from "./fault-driver.ts";
import { planFaults, type FaultKind, type PlannedFault } from "./fault-plan.ts";
import type { Scenario, SimulatedProcess, Simulation } from "./scenario.ts";
import { StorageWitness } from "./storage-witness.ts";
import { Violation } from "./violation.ts";

export interface RunOptions {
  readonly seed: number;
  readonly runners: number;
  readonly durationMs: number;
  readonly kinds: readonly FaultKind[];
  /** Which of the planned faults happen, and which operations are done, by their numbers; null: all. */
  readonly faults: readonly number[] | null;
  readonly operations: readonly number[] | null;
  readonly keepsTrace: boolean;
}

export interface RunResult {
  readonly seed: number;
  readonly violation: Error | null;
  /** Of every event, in order: SHA-256 in hexadecimal digits. */
  readonly traceHash: string;
  readonly events: number;
  /** Empty, unless it was kept. */
  readonly trace: readonly TraceEvent[];
  readonly plan: readonly PlannedFault[];
  /** How many operations the scenario has. */
  readonly operations: number;
  /** Virtual milliseconds from the first operation to rest. */
  readonly tookMs: number;
}

/** A lease, so that a run sees some of them end. */
const LEASE_MS = 6_000;
/** So long everything may take to come to rest once all is mended. */
const REST_MS = 300_000;
const STEP_MS = 1_000;
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
  const sleep = (ms: number): Promise<void> => theCluster(cluster).sleep(ms);
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
  const run = scenario.start(sim);
  const witness = new StorageWitness();
  const registrations = (index: number, runner: TestRunner): readonly Registration[] => {
    // Singletons and crons run, and ask for the time, before the cluster is whole.
    early ??= runner;
    return typeof run.register === "function" ? run.register(processOf(index, runner)) : run.register;
  };
  let violation: Error | null = null;
  let tookMs = 0;
  cluster = await createTestCluster({
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
    tamper: (storage) => witness.watch(storage),
  });
  try {
    const began = cluster.now();
    const driver = new FaultDriver(cluster);
    let end: { readonly error: unknown } | null = null;
    run.run().then(
      () => (end = { error: null }),
      (error: unknown) => (end = { error }),
    );
    for (const { atMs, act } of driver.changesOf(plan)) {
      await cluster.advance(Math.max(0, began + atMs - cluster.now()));
      await act();
    }
    await cluster.advance(Math.max(0, began + durationMs - cluster.now()));
    await driver.mend();
    const ending = (): { readonly error: unknown } | null => end;
    for (let passed = 0; passed < REST_MS && (ending() === null || !isWhole(cluster)); passed += STEP_MS) {
      for (const [index, runner] of cluster.runners.entries()) if (!runner.isAlive) cluster.revive(index);
      await cluster.advance(STEP_MS);
    }
    const ended = ending();
    if (ended === null) throw new Violation("nothing hangs", `work of ${scenario.name} never ended`);
    if (ended.error !== null) throw ended.error;
    await cluster.advance(CALM_MS);
    tookMs = cluster.now() - began;
    witness.check();
    await run.check();
  } catch (error) {
    violation = error instanceof Error ? error : new Error(String(error));
  }
  isOver = true;
  hash.update(unhashed);
  await cluster.shutdown();
  return { seed, violation, traceHash: hash.digest("hex"), events, trace, plan, operations, tookMs };
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

/** Every runner is up, and every shard has its owner. */
function isWhole(cluster: TestCluster): boolean {
  const owned = cluster.runners.reduce((sum, runner) => sum + runner.shardsOwned, 0);
  return cluster.runners.every((runner) => runner.isAlive) && owned >= cluster.status(0).shards.total;
}
