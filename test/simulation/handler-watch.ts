// HandlerWatch: sees handlers begin and end, in all processes, and says whether more of them ran at a time than may (INV-5).
//
//   H1  Under one epoch, an entity's handlers follow one another.
//   H2  Once one began under an epoch, none begins under a lower one.
//   H3  When one begins, what still runs under a lower epoch is told to stop, or its process is stopped or dead. One that
//       goes on again has this moment to tell its handlers.

import { Violation, type SimulatedProcess, type Simulation } from "@holdfast/testing";

interface Running {
  readonly token: number;
  readonly who: string;
  readonly signal: AbortSignal;
  readonly process: SimulatedProcess;
  readonly life: number;
}

export interface Handling {
  readonly fencingToken: number;
  readonly signal: AbortSignal;
}

export class HandlerWatch {
  /** Whether nothing may outlive its epoch, told to stop or not: where every shard is handed over in order. */
  readonly isStrict: boolean;
  readonly #sim: Simulation;
  readonly #running = new Map<string, Set<Running>>();
  readonly #highest = new Map<string, number>();
  #violation: Violation | null = null;

  constructor(sim: Simulation, { isStrict = false }: { readonly isStrict?: boolean } = {}) {
    this.#sim = sim;
    this.isStrict = isStrict;
  }

  /** Carries out a handler, or a run of a singleton. `of` names what runs once at a time. */
  async during<Result>(
    of: string,
    process: SimulatedProcess,
    { fencingToken: token, signal }: Handling,
    handler: () => Result | Promise<Result>,
  ): Promise<Result> {
    const self: Running = {
      token,
      who: `runner ${process.runner} under ${token}`,
      signal,
      process,
      life: process.life,
    };
    const running = this.#running.get(of) ?? new Set();
    this.#running.set(of, running);
    for (const other of running) this.#compare(of, self, other);
    const highest = this.#highest.get(of) ?? token;
    if (token < highest) this.#found(`${of} began on ${self.who}, after it had under ${highest}`);
    this.#highest.set(of, Math.max(highest, token));
    running.add(self);
    try {
      return await handler();
    } finally {
      running.delete(self);
    }
  }

  /** @throws {Violation} "one at a time" */
  check(): void {
    if (this.#violation !== null) throw this.#violation;
  }

  #compare(of: string, self: Running, other: Running): void {
    const goesOn = (): boolean =>
      this.#running.get(of)?.has(other) === true &&
      other.process.life === other.life &&
      other.process.isRunning &&
      (this.isStrict || self.token === other.token || !other.signal.aborted);
    if (!goesOn()) return;
    const what = `${of} began on ${self.who}, while it ran on ${other.who}`;
    if (this.isStrict || self.token === other.token) this.#found(what);
    else void this.#sim.sleep(1).then(() => (goesOn() ? this.#found(what) : undefined));
  }

  #found(what: string): void {
    this.#violation ??= new Violation("one at a time", what);
  }
}
