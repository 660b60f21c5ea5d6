// createTestCluster: a whole cluster in one process, on virtual time, with faults on demand.
//
// Members are real ones: only clock, chance, storage, leases and network are given. Calls of the test go through a client
// of their own, which never crashes and whose storage never fails.

import { EventEmitter } from "node:events";
import { setImmediate } from "node:timers";
import {
  createMemoryBackend,
  type Cluster,
  type ClusterEvents,
  type ClusterHealth,
  type ClusterStatus,
  type Logger,
  type Registrable,
} from "@holdfast/core";
import { ConfigError, milliseconds, type Duration } from "@holdfast/core/adapter";
import { clusterOf, SeededRandom, VirtualClock, type Member } from "@holdfast/core/internal";
import { Faults, type BackendFaultOptions, type FaultOptions } from "./faults.ts";
import { FaultyNetwork } from "./faulty-network.ts";
import { Patience } from "./patience.ts";
import { Standstill } from "./standstill.ts";
import { TestClusterError } from "./test-cluster-error.ts";
import {
  checkRunnerOptions,
  checkTestClusterOptions,
  type TestClusterOptions,
} from "./test-cluster-options.ts";
import { TestRunner, type TestWorld } from "./test-runner.ts";
import { wait } from "./wait.ts";

/**
 * A cluster under test. `events` are those of all runners, and `metrics` their sums, processes that died included.
 *
 * While a call of an entity is awaited and nothing else can happen, time moves by itself, by 5 seconds at the most for
 * each call: so `await counter.increment()` comes back although a fault delayed or lost a message. All else waits for
 * `advance`.
 */
export interface TestCluster extends Omit<Cluster, "status" | "health"> {
  /** `createTestCluster` has started it: this is for code that is given a `Cluster` and starts it. */
  start(): Promise<void>;
  /** Of runner `index`, or without one of the client that the test's own calls go through. */
  status(index?: number): ClusterStatus;
  health(index?: number): ClusterHealth;
  readonly seed: number;
  /** The simulated processes, by their numbers. */
  readonly runners: readonly TestRunner[];
  /** Virtual wall time, in milliseconds since 1970. */
  now(): number;
  /** Lets time pass: timers, sleeps and crons fire in order, and everything settles in between. */
  advance(duration: Duration): Promise<void>;
  /** Kills runner `index`: nothing is handed over. Its lease runs out by itself. */
  crash(index: number): Promise<void>;
  /** Starts a crashed runner again. Resolves when it is a member and holds its shards; virtual time passes meanwhile. */
  restart(index: number): Promise<void>;
  /**
   * The same without waiting for it: it comes up as time passes, or does not, if its backends fail; then it may be revived
   * again. One that runs is left as it is.
   */
  revive(index: number): void;
  /** Resolves when so much virtual time has passed. Something else has to let it pass. */
  sleep(ms: number): Promise<void>;
  /** Stops runner `index` as SIGSTOP does: time goes on without it. */
  pause(index: number): Promise<void>;
  resume(index: number): Promise<void>;
  /** Cuts the network between two groups of runners. The test's own calls still reach all of them. */
  partition(one: readonly number[], other: readonly number[]): void;
  /** Loses all that `from` sends to `to`, silently; the other way nothing changes. */
  cut(from: readonly number[], to: readonly number[]): void;
  heal(): void;
  /** Sets how far the wall clock of runner `index` is ahead of the others'; behind, if it is negative. */
  skew(index: number, by: Duration): void;
  /**
   * Sets the faults from now on; `{}` ends them. With a list of runners, sets those of storage and the lease store for
   * these alone: a runner that is cut off from one or the other.
   */
  faults(options: FaultOptions): void;
  faults(options: BackendFaultOptions, runners: readonly number[]): void;
}

const SILENT: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

const OF_ONE_RUNNER = ["shardAcquired", "shardLost", "detached", "attached", "deadLettered"] as const;
/** Every member sees these; the test hears of each once. */
const OF_EVERY_MEMBER = ["runnerJoined", "runnerLeft"] as const;

/** Starting and stopping takes virtual time; this much at the most, and two leases. */
const LONGEST_MS = 300_000;
const STEP_MS = 50;
/** How long a call that failed while runners leave is not told of. A runner that waits for nothing has left by then. */
const UNTOLD_MS = 1_000;

/** Starts a cluster on virtual time. Every shard has its owner when it resolves. @throws {ConfigError} @throws {DefinitionError} */
export async function createTestCluster(options: TestClusterOptions = {}): Promise<TestCluster> {
  checkTestClusterOptions(options);
  const {
    runners: count = 1,
    seed = 1,
    register = [],
    startAt,
    perRunner,
    shuffle = false,
    isPatient = true,
    trace = () => undefined,
    tamper = (storage) => storage,
    ...clusterOptions
  } = options;
  const clock = new VirtualClock(startAt?.getTime(), shuffle ? ranksOf(seed) : null);
  const random = new SeededRandom(seed, () => clock.now());
  const faults = new Faults(random.fork("faults"), clock);
  const backend = createMemoryBackend();
  const network = new FaultyNetwork(backend.network, faults, clock, trace);
  // Faults make noise by design; a test that wants to hear it gives a logger.
  const world: TestWorld = {
    clock,
    random,
    backend,
    network,
    tamper,
    trace,
    options: { logger: SILENT, ...clusterOptions },
  };
  const backendFaults = (of: string): Faults => new Faults(random.fork(`backend faults of ${of}`), clock);
  const client = new TestRunner(world, "test", "client", backendFaults("test"));
  const runners = Array.from({ length: count }, (_, index) => {
    const address = `runner-${index}`;
    return new TestRunner(world, address, "runner", backendFaults(address), (self) =>
      checkRunnerOptions(perRunner?.(index, self), index),
    );
  });
  const everyone = [client, ...runners];
  const registrations: Registrable[] = [...register];
  const events = new EventEmitter<ClusterEvents>();

  const withTime = async (work: Promise<unknown>): Promise<void> => {
    const progress = { isDone: false };
    const end = (): void => {
      progress.isDone = true;
    };
    work.then(end, end);
    // What a dead runner held is free after its lease.
    const longestMs = LONGEST_MS + 2 * client.member.settings.runnerLockTtlMs;
    for (let passed = 0; !progress.isDone && passed < longestMs; passed += STEP_MS)
      await clock.advance(STEP_MS);
    if (!progress.isDone)
      throw new TestClusterError(`The cluster did not settle within ${longestMs} ms of virtual time`);
    await work;
  };
  const observe = (member: Member): void => {
    const names = member.settings.role === "client" ? OF_EVERY_MEMBER : OF_ONE_RUNNER;
    for (const name of names)
      member.events.on(name, (...args: unknown[]) => void events.emit(name, ...(args as never)));
  };
  const starting = everyone.map((each) => each.start(registrations, observe));
  // Options that are refused are found before time passes.
  await Promise.race([Promise.all(starting), clock.settle()]);
  await withTime(Promise.all(starting));

  const runner = (index: number): TestRunner => {
    const found = Number.isInteger(index) ? runners[index] : undefined;
    if (found === undefined)
      throw new ConfigError({ option: "runner", got: index, takes: `a number from 0 to ${count - 1}` });
    return found;
  };
  const runnersOf = (indexes: readonly number[]): readonly TestRunner[] => {
    if (!Array.isArray(indexes))
      throw new ConfigError({ option: "runners", got: indexes, takes: "a list of numbers of runners" });
    return indexes.map((index) => runner(index));
  };
  const addresses = (indexes: readonly number[]): readonly string[] =>
    runnersOf(indexes).map(({ address }) => address);
  const traceFault = (what: string): void => trace({ at: clock.now(), type: "fault", what });
  const setFaults = (given: FaultOptions, only?: readonly number[]): void => {
    const targets = only === undefined ? runners : runnersOf(only);
    if (only === undefined) faults.set(given);
    else Faults.checkBackendFaults(given);
    for (const each of targets) each.faults.set(given);
    traceFault(`${only === undefined ? "faults" : `faults of ${only.join(", ")}`}: ${JSON.stringify(given)}`);
  };
  const patience = new Patience(clock);
  const standstill = new Standstill(clock, (hint) => process.emitWarning(hint));
  const face = clusterOf(client.member, (call, target, isLong) => {
    const what = `${target.contract.name}/${target.entityId}.${target.tag}`;
    const outcome = isPatient ? standstill.watch(what, isLong ? call : () => patience.attend(call)) : call();
    return outcome.catch(async (error: unknown) => {
      await toldOf();
      throw error;
    });
  });
  let stopping: Promise<void> | undefined;
  let leaving: Promise<void> | undefined;
  let haveRunnersLeft = false;
  const stop = async (): Promise<void> => {
    setFaults({});
    network.heal();
    // Whoever was revived a moment ago leaves, too.
    await clock.settle();
    await withTime(Promise.all(runners.map((each) => each.shutdown())));
    haveRunnersLeft = true;
    await withTime(client.shutdown());
  };
  const shutdown = (): Promise<void> => (stopping ??= stop());
  const checkOpen = (): void => {
    if (stopping !== undefined)
      throw new TestClusterError("The test cluster is shut down: make another one with createTestCluster()");
  };
  // Calls that nobody awaits any more fail after the test has: some runners show the first failure alone.
  const leave = (): Promise<void> => {
    const left = shutdown();
    leaving ??= left.then(realTurn, realTurn);
    return left;
  };
  /** Resolves when a call that failed may say so: where runners do not leave, their own code may be waiting to hear it. */
  const toldOf = async (): Promise<void> => {
    if (leaving === undefined) return;
    await Promise.race([leaving, wait(clock, UNTOLD_MS)]);
    if (haveRunnersLeft) await leaving;
  };
  return {
    ...face,
    seed,
    runners,
    events,
    metrics: {
      snapshot: () => sum(everyone.flatMap((each) => each.allMetrics.map((metrics) => metrics.snapshot()))),
    },
    status: (index) => (index === undefined ? face.status() : runner(index).status()),
    health: (index) => (index === undefined ? face.health() : runner(index).health()),
    now: () => clock.now(),
    async advance(duration) {
      await clock.advance(milliseconds(duration, "advance"));
    },
    register(...more) {
      for (const each of everyone) if (each.isAlive) each.member.register(...more);
      // Not what was refused, which would keep runners from being restarted.
      registrations.push(...more);
    },
    async crash(index) {
      // One that was revived a moment ago dies, too.
      if (runner(index).isBeingMade) await clock.settle();
      runner(index).crash();
      await clock.settle();
    },
    async restart(index) {
      checkOpen();
      await withTime(runner(index).start(registrations, observe));
    },
    revive(index) {
      checkOpen();
      const revived = runner(index);
      if (revived.isDown) void revived.start(registrations, observe).catch(() => revived.failedToStart());
    },
    sleep: (ms) => wait(clock, ms),
    async pause(index) {
      runner(index).pause();
      await clock.settle();
    },
    async resume(index) {
      await runner(index).resume();
    },
    partition(one, other) {
      const sides = [addresses(one), addresses(other)] as const;
      traceFault(`partition of ${one.join(", ")} from ${other.join(", ")}`);
      network.partition(...sides);
    },
    cut(from, to) {
      const sides = [addresses(from), addresses(to)] as const;
      traceFault(`cut from ${from.join(", ")} to ${to.join(", ")}`);
      network.cut(...sides);
    },
    heal() {
      traceFault("the network is whole");
      network.heal();
    },
    skew: (index, by) => runner(index).skew(offsetOf(by)),
    faults: setFaults,
    shutdown,
    [Symbol.asyncDispose]: leave,
  };
}

/** The platform's own, also after a test's framework exchanged it. */
const setRealImmediate = setImmediate;

function realTurn(): Promise<void> {
  return new Promise((resolve) => void setRealImmediate(resolve));
}

/** A duration that may be negative. @throws {ConfigError} */
function offsetOf(by: Duration): number {
  if (typeof by === "number" && Number.isFinite(by)) return by;
  return typeof by === "string" && by.startsWith("-")
    ? -milliseconds(by.slice(1), "skew")
    : milliseconds(by, "skew");
}

/** Another order of the processes at each moment, which the seed decides. Source: splitmix32. */
function ranksOf(seed: number): (view: number, dueAt: number) => number {
  return (view, dueAt) => {
    let z = (seed ^ Math.imul(view, 0x9e3779b9) ^ Math.imul(Math.floor(dueAt * 1_000), 0x85ebca6b)) | 0;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  };
}

function sum(snapshots: readonly Readonly<Record<string, number>>[]): Readonly<Record<string, number>> {
  const total: Record<string, number> = {};
  for (const snapshot of snapshots) {
    for (const [name, value] of Object.entries(snapshot)) total[name] = (total[name] ?? 0) + value;
  }
  return total;
}
