// Fleet: the runner processes that this process started, each under a name.

import { ChildProgram } from "./child-program.ts";

const NAMES = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"];

export interface FleetOptions {
  /** The runner's module. */
  readonly program: URL;
  readonly env: Readonly<Record<string, string>>;
  /** Called with what a person should know: who came, who went, what a runner printed. */
  readonly told: (event: string) => void;
}

export class Fleet {
  readonly #options: FleetOptions;
  readonly #all: ChildProgram[] = [];

  constructor(options: FleetOptions) {
    this.#options = options;
  }

  /** Every runner that was ever started, the oldest first. */
  get all(): readonly ChildProgram[] {
    return this.#all;
  }

  /** Those that are members or are becoming it. */
  get running(): readonly ChildProgram[] {
    return this.#all.filter(({ state }) => state === "starting" || state === "running");
  }

  /** Starts a runner, by default under a name that none has had yet. */
  add(name: string = NAMES[this.#all.length] ?? `runner-${this.#all.length + 1}`): ChildProgram {
    const { program, env, told } = this.#options;
    const runner = new ChildProgram({
      name,
      program,
      env,
      printed: (line) => told(`${name}: ${line}`),
    });
    this.#all.push(runner);
    told(`runner ${name} is process ${runner.pid}`);
    void runner.ended.then((how) => told(`runner ${name} ended by ${how}`));
    return runner;
  }

  /** Ends all of them in order, and resolves when they are gone. */
  async stop(): Promise<void> {
    await Promise.all(this.#all.map((runner) => runner.stop()));
  }
}
