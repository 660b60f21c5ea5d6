// FaultDriver: makes the faults of a plan happen to a cluster, and mends everything at the end.
//
//   F1  Faults of one kind may overlap: the network is whole and a backend well once the last of them is over.
//   F2  After `mend` every process runs, at the right time, on a whole network.

import type { BackendFaultOptions } from "../faults.ts";
import type { TestCluster } from "../test-cluster.ts";
import type { Fault, PlannedFault } from "./fault-plan.ts";

interface Change {
  readonly atMs: number;
  readonly act: () => Promise<void> | void;
}

/** A clock that drifts is set anew so often. */
const DRIFT_STEPS = 8;

export class FaultDriver {
  readonly #cluster: TestCluster;
  /** Who leaves in order, until it has left. */
  readonly #leaving = new Map<number, Promise<void>>();
  readonly #active = new Set<Fault>();

  constructor(cluster: TestCluster) {
    this.#cluster = cluster;
  }

  /** What happens when, in order. */
  changesOf(plan: readonly PlannedFault[]): readonly Change[] {
    return plan
      .flatMap(({ atMs, forMs, fault }): Change[] => [
        { atMs, act: () => this.#begin(fault) },
        ...this.#during(atMs, forMs, fault),
        { atMs: atMs + forMs, act: () => this.#end(fault) },
      ])
      .toSorted((a, b) => a.atMs - b.atMs);
  }

  async mend(): Promise<void> {
    this.#active.clear();
    this.#cluster.heal();
    this.#setRates();
    for (const index of this.#cluster.runners.keys()) {
      this.#cluster.skew(index, 0);
      await this.#cluster.resume(index);
    }
  }

  async #begin(fault: Fault): Promise<void> {
    this.#active.add(fault);
    switch (fault.kind) {
      case "crash":
        // Who dies while it leaves is never done with that.
        this.#leaving.delete(fault.runner);
        return this.#cluster.crash(fault.runner);
      case "deploy":
        // It takes its time: nobody waits for it here.
        this.#leaving.set(fault.runner, this.#leave(fault.runner));
        return undefined;
      case "pause":
        return this.#cluster.pause(fault.runner);
      case "partition":
      case "cut":
        return this.#setNetwork();
      case "network":
      case "backend":
        return this.#setRates();
      case "clock":
        return this.#cluster.skew(fault.runner, fault.fromMs);
    }
  }

  async #end(fault: Fault): Promise<void> {
    this.#active.delete(fault);
    switch (fault.kind) {
      case "crash":
        this.#revive(fault.runner);
        return undefined;
      case "deploy":
        void (this.#leaving.get(fault.runner) ?? Promise.resolve()).then(() => this.#revive(fault.runner));
        return undefined;
      case "pause":
        return this.#isPaused(fault.runner) ? undefined : this.#cluster.resume(fault.runner);
      case "partition":
      case "cut":
        return this.#setNetwork();
      case "network":
      case "backend":
        return this.#setRates();
      case "clock":
        return this.#cluster.skew(fault.runner, 0);
    }
  }

  #during(atMs: number, forMs: number, fault: Fault): readonly Change[] {
    if (fault.kind !== "clock" || fault.fromMs === fault.toMs) return [];
    return Array.from({ length: DRIFT_STEPS - 1 }, (_, step) => {
      const part = (step + 1) / DRIFT_STEPS;
      const offMs = Math.round(fault.fromMs + part * (fault.toMs - fault.fromMs));
      return { atMs: Math.round(atMs + part * forMs), act: () => this.#cluster.skew(fault.runner, offMs) };
    });
  }

  async #leave(runner: number): Promise<void> {
    await this.#cluster.runners[runner]?.shutdown().catch(() => undefined);
  }

  #revive(runner: number): void {
    const isDown = [...this.#active].some(
      (each) => (each.kind === "crash" || each.kind === "deploy") && each.runner === runner,
    );
    if (!isDown) this.#cluster.revive(runner);
  }

  #isPaused(runner: number): boolean {
    return [...this.#active].some((each) => each.kind === "pause" && each.runner === runner);
  }

  #setNetwork(): void {
    this.#cluster.heal();
    for (const fault of this.#active) {
      if (fault.kind === "partition") this.#cluster.partition(fault.one, fault.other);
      if (fault.kind === "cut") this.#cluster.cut(fault.from, fault.to);
    }
  }

  #setRates(): void {
    const network = [...this.#active].flatMap((each) => (each.kind === "network" ? [each.rates] : []));
    const all = [...this.#active].flatMap((each) =>
      each.kind === "backend" && each.runner === null ? [each.rates] : [],
    );
    const common: BackendFaultOptions = Object.assign({}, ...all);
    this.#cluster.faults({ ...common, ...Object.assign({}, ...network) });
    for (const fault of this.#active) {
      if (fault.kind === "backend" && fault.runner !== null)
        this.#cluster.faults({ ...common, ...fault.rates }, [fault.runner]);
    }
  }
}
