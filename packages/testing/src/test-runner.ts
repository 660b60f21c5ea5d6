import type {
  ClusterHealth,
  ClusterMetrics,
  ClusterOptions,
  ClusterStatus,
  MemoryBackend,
  Registrable,
} from "@holdfast/core";
import {
  createMember,
  clusterOf,
  type Member,
  type SeededRandom,
  type VirtualClock,
  type VirtualClockView,
} from "@holdfast/core/internal";
import type { FaultyNetwork } from "./faulty-network.ts";
import type { Faults, TracedCall } from "./faults.ts";
import { gatedRunners, gatedStorage, type Tamper } from "./gated-storage.ts";
import { ProcessGate } from "./process-gate.ts";
import { TestClusterError } from "./test-cluster-error.ts";
import type { Tracer } from "./trace.ts";
import { wait } from "./wait.ts";

/** What the members of a test cluster share. */
export interface TestWorld {
  readonly clock: VirtualClock;
  readonly random: SeededRandom;
  readonly backend: MemoryBackend;
  readonly network: FaultyNetwork;
  readonly tamper: Tamper;
  readonly trace: Tracer;
  readonly options: ClusterOptions;
}

/** What one runner may have differently: all that does not say what it stands on. */
export type RunnerOptions = Omit<ClusterOptions, "storage" | "runners" | "transport" | "role">;

/** One simulated process, which may die and be started again. */
export class TestRunner {
  readonly address: string;
  readonly #world: TestWorld;
  /** Those that calls of storage and of the lease store by this process suffer. */
  readonly faults: Faults;
  readonly #role: "runner" | "client";
  readonly #random: SeededRandom;
  /** Options that this runner alone has, as its next process is to have them. */
  readonly #optionsOf: (self: TestRunner) => RunnerOptions | undefined;
  #skewMs = 0;
  /** Every member that this process was, the dead ones too. */
  readonly #members: Member[] = [];
  #isBeingMade = false;
  #isLeaving = false;
  #process: { readonly member: Member; readonly gate: ProcessGate; readonly view: VirtualClockView } | null =
    null;

  constructor(
    world: TestWorld,
    address: string,
    role: "runner" | "client",
    faults: Faults,
    optionsOf: (self: TestRunner) => RunnerOptions | undefined = () => undefined,
  ) {
    this.#world = world;
    this.address = address;
    this.#role = role;
    this.faults = faults;
    this.#random = world.random.fork(`${address} process`);
    this.#optionsOf = optionsOf;
  }

  get isAlive(): boolean {
    return this.#process !== null;
  }

  /** Whether a process is being made, and cannot be reached yet. */
  get isBeingMade(): boolean {
    return this.#isBeingMade;
  }

  /** Whether there is no process, nor one that is being made. */
  get isDown(): boolean {
    return this.#process === null && !this.#isBeingMade;
  }

  get isPaused(): boolean {
    return this.#process !== null && !this.#process.gate.isRunning;
  }

  /** Counts the processes that ran here, the one that runs now included. */
  get lives(): number {
    return this.#members.length;
  }

  /** How many shards it serves; none while it is crashed. */
  get shardsOwned(): number {
    return this.#process?.member.partsIfAny?.owner.owned.length ?? 0;
  }

  /** @throws {TestClusterError} the process is dead */
  get member(): Member {
    if (this.#process === null) throw new TestClusterError(`${this.address} does not run: restart it first`);
    return this.#process.member;
  }

  /** As the last process that ran here says or said it. */
  status(): ClusterStatus {
    return clusterOf(this.#last()).status();
  }

  health(): ClusterHealth {
    return clusterOf(this.#last()).health();
  }

  /** Counted since this process started. */
  get metrics(): ClusterMetrics {
    return clusterOf(this.#last()).metrics;
  }

  /** Metrics of each process that ran here, the dead ones too. */
  get allMetrics(): readonly ClusterMetrics[] {
    return this.#members.map((member) => clusterOf(member).metrics);
  }

  /** Resolves when so much time has passed for this process: later if it is stopped meanwhile, never if it dies. */
  sleep(ms: number): Promise<void> {
    return wait(this.#process?.view, ms);
  }

  /** Its wall time, in milliseconds since 1970: that of the test, and as much more as its clock is ahead. */
  now(): number {
    return this.#world.clock.now() + this.#skewMs;
  }

  /** Starts the process: with a new identity, and none of what the last one had in memory. */
  async start(register: readonly Registrable[], observe: (member: Member) => void): Promise<void> {
    if (!this.isDown) throw new TestClusterError(`${this.address} runs already: crash it first`);
    const own = this.#optionsOf(this) ?? {};
    const { clock, random, backend, network, tamper, options } = this.#world;
    const label = `${this.address}#${this.#members.length + 1}`;
    const gate = new ProcessGate(random.fork(`${label} gate`));
    const view = clock.view({ offsetMs: this.#skewMs });
    this.#traceProcess("started");
    network.join(this.address, gate);
    let member: Member;
    this.#isBeingMade = true;
    this.#isLeaving = false;
    try {
      member = await createMember(
        {
          register,
          ...options,
          ...own,
          role: this.#role,
          storage: gatedStorage(backend.storage, gate, this.faults, tamper, this.#traced("storage")),
          runners: gatedRunners(backend.runners, gate, this.faults, this.#traced("lease")),
          transport: backend.transport({ address: this.address }),
        },
        {
          clock: view,
          random: random.fork(label),
          environment: {},
          importModule: () => Promise.reject(new Error("A test cluster has no adapters")),
        },
      );
      this.#process = { member, gate, view };
      this.#members.push(member);
      observe(member);
    } finally {
      this.#isBeingMade = false;
    }
    await member.start();
  }

  /** The process dies: nothing is handed over, freed or answered. */
  crash(): void {
    const process = this.#process;
    if (process === null) return;
    this.#traceProcess("crashed");
    this.#process = null;
    this.#world.network.leave(this.address);
    process.gate.crash();
    process.view.stop();
    process.member.crash();
  }

  /** Ends a process whose start failed; one that fails because it is leaving goes on with that. */
  failedToStart(): void {
    if (!this.#isLeaving) this.crash();
  }

  /** The process is stopped, as by SIGSTOP; time goes on without it. */
  pause(): void {
    this.#traceProcess("stopped");
    this.#process?.gate.pause();
    this.#process?.view.pause();
  }

  /** The process goes on: with the timers that came due, or with what storage and network have for it, as chance decides. */
  async resume(): Promise<void> {
    const process = this.#process;
    if (process === null || process.gate.isRunning) return;
    this.#traceProcess("goes on");
    if (this.#random.next() < 0.5) {
      process.view.resume();
      await this.#world.clock.settle();
      process.gate.resume();
    } else {
      process.gate.resume();
      await this.#world.clock.settle();
      process.view.resume();
    }
    await this.#world.clock.settle();
  }

  /** Leaves in order. It takes virtual time. */
  async shutdown(): Promise<void> {
    await this.resume();
    const process = this.#process;
    this.#traceProcess("leaves");
    this.#isLeaving = true;
    await process?.member.shutdown();
    if (this.#process === process) this.#process = null;
  }

  /** Sets how far its wall clock is ahead of the others', in milliseconds; for its next processes, too. */
  skew(ms: number): void {
    this.#skewMs = ms;
    if (this.#process !== null) this.#process.view.offsetMs = ms;
    this.#traceProcess(`has its wall clock ${ms} ms off`);
  }

  #traceProcess(what: string): void {
    const { trace, clock } = this.#world;
    trace({ at: clock.now(), type: "process", runner: this.address, what });
  }

  #traced(type: "storage" | "lease"): TracedCall {
    const { trace, clock } = this.#world;
    return (operation, outcome) => trace({ at: clock.now(), type, runner: this.address, operation, outcome });
  }

  #last(): Member {
    const member = this.#members.at(-1);
    if (member === undefined) throw new TestClusterError(`${this.address} was never started`);
    return member;
  }
}
