// A program that tests may break: killed, stopped, continued, and started again on what it had.

import { readFile } from "node:fs/promises";
import type { StartedProgram } from "./programs.ts";

/** Breaks a service and brings it back, on the same ports and data folder. */
export interface ProgramControl {
  /** Sends a signal to the program. Resolves once it is gone, or at once for SIGSTOP and SIGCONT. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Starts one that was killed. Resolves once it serves. Does nothing while it runs. */
  start(): Promise<void>;
  /** Kills it and starts it again. Resolves once it serves. */
  restart(): Promise<void>;
}

/** A program that was started here. It is the watchdog's first child, so signals go there. */
export class BreakableProgram implements ProgramControl {
  readonly #start: () => Promise<StartedProgram>;
  #program: StartedProgram;

  private constructor(program: StartedProgram, start: () => Promise<StartedProgram>) {
    this.#program = program;
    this.#start = start;
  }

  static async begin(start: () => Promise<StartedProgram>): Promise<BreakableProgram> {
    return new BreakableProgram(await start(), start);
  }

  async kill(signal: NodeJS.Signals): Promise<void> {
    const { pid } = this.#program.child;
    const [first = ""] = (await readFile(`/proc/${pid}/task/${pid}/children`, "utf8")).split(" ");
    process.kill(Number(first), signal);
    if (signal !== "SIGSTOP" && signal !== "SIGCONT") await this.#gone();
  }

  async start(): Promise<void> {
    if (this.#isGone()) this.#program = await this.#start();
  }

  async restart(): Promise<void> {
    if (!this.#isGone()) await this.kill("SIGKILL");
    await this.start();
  }

  /** @param signal SIGKILL for what may refuse to end, and has nothing that is needed any more */
  async end(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    if (this.#isGone()) return;
    if (signal === "SIGKILL") return this.kill(signal);
    // A stopped process hears no other signal.
    await this.kill("SIGCONT").catch(() => undefined);
    await this.#program.stop(signal);
  }

  #isGone(): boolean {
    const { exitCode, signalCode } = this.#program.child;
    return exitCode !== null || signalCode !== null;
  }

  async #gone(): Promise<void> {
    if (this.#isGone()) return;
    await new Promise<void>((resolve) => this.#program.child.once("exit", () => resolve()));
  }
}
