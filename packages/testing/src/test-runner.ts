import type { ClusterHealth, ClusterMetrics, ClusterOptions, ClusterStatus, MemoryBackend, Registration } from "@holdfast/core";
import { createMember, clusterOf, type Member, type SeededRandom, type VirtualClock, type VirtualClockView } from "@holdfast/core/internal";
import type { FaultyNetwork } from "./faulty-network.ts";
import type { Faults } from "./faults.ts";
import { gatedRunners, gatedStorage, type Tamper } from "./gated-storage.ts";
import { ProcessGate } from "./process-gate.ts";

/** What the members of a test cluster share. */
export interface TestWorld {
  readonly clock: VirtualClock;
  readonly random: SeededRandom;
  readonly backend: MemoryBackend;
  readonly faults: Faults;
  readonly network: FaultyNetwork;
  readonly tamper: Tamper;
  readonly options: ClusterOptions;
}

/** One simulated process, which may die and be started again. */
export class TestRunner {
  readonly address: string;
  readonly #world: TestWorld;
  readonly #role: "runner" | "client";
  readonly #noFaults: Faults | null;
  #generation = 0;
  #process: { readonly member: Member; readonly gate: ProcessGate; readonly view: VirtualClockView } | null = null;

  /** @param faults those that storage calls of this process suffer */
  constructor(world: TestWorld, address: string, role: "runner" | "client", faults: Faults | null = null) {
    this.#world = world;
    this.address = address;
    this.#role = role;
    this.#noFaults = faults;
  }

  get isAlive(): boolean {
    return this.#process !== null;
  }

  get member(): Member {
    if (this.#process === null) throw new Error(`${this.address} is crashed: restart it first`);
    return this.#process.member;
  }

  status(): ClusterStatus {
    return clusterOf(this.member).status();
  }

  health(): ClusterHealth {
    return clusterOf(this.member).health();
  }

  get metrics(): ClusterMetrics {
    return clusterOf(this.member).metrics;
  }

  /** Starts the process: with a new identity, and none of what the last one had in memory. */
  async start(register: readonly Registration[]): Promise<void> {
    if (this.#process !== null) throw new Error(`${this.address} runs already`);
    const { clock, random, backend, faults, network, tamper, options } = this.#world;
    this.#generation += 1;
    const label = `${this.address}#${this.#generation}`;
    const gate = new ProcessGate(random.fork(`${label} gate`));
    const view = clock.view();
    network.join(this.address, gate);
    const member = await createMember(
      {
        ...options,
        role: this.#role,
        register: this.#role === "client" ? [] : register,
        storage: gatedStorage(backend.storage, gate, this.#noFaults ?? faults, tamper),
        runners: gatedRunners(backend.runners, gate),
        transport: backend.transport({ address: this.address }),
      },
      { clock: view, random: random.fork(label), environment: {}, importModule: () => Promise.reject(new Error("A test cluster has no adapters")) },
    );
    this.#process = { member, gate, view };
    await member.start();
  }

  /** The process dies: nothing is handed over, freed or answered. */
  crash(): void {
    const process = this.#process;
    if (process === null) return;
    this.#process = null;
    this.#world.network.leave(this.address);
    process.gate.crash();
    process.view.stop();
    process.member.crash();
  }

  /** The process is stopped, as by SIGSTOP; time goes on without it. */
  pause(): void {
    this.#process?.gate.pause();
    this.#process?.view.pause();
  }

  resume(): void {
    this.#process?.view.resume();
    this.#process?.gate.resume();
  }

  async shutdown(): Promise<void> {
    this.resume();
    await this.#process?.member.shutdown();
    this.#process = null;
  }
}
