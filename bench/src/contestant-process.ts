// Contestant process: the parent's end of a contestant's process, which child.ts is.
//
//   P1  Whatever was asked is answered, or fails: the process ended, or took too long. Then it is killed and asked no more.

import { fork, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Services } from "./contestant.ts";
import type { InFlight, Round } from "./workload-round.ts";

export type Question =
  | { readonly ask: "open"; readonly services: Services }
  | { readonly ask: "round"; readonly workload: string; readonly inFlight: InFlight; readonly ms: number }
  | { readonly ask: "profile"; readonly file: string }
  | { readonly ask: "figures" }
  | { readonly ask: "close" };

export type Answer =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: string };

/** How a contestant's process is at one moment. */
export interface Figures {
  /** Processor time since it started. */
  readonly processorMs: number;
  readonly resident: number;
  /** The contestant's own. */
  readonly own: Readonly<Record<string, number>>;
}

/** What may be asked of a contestant. */
export interface Asked {
  /** @throws {Error} it failed; says how. It is gone then */
  round(workload: string, inFlight: InFlight, ms: number): Promise<Round>;
  /** Writes where its time goes from here until it is closed. */
  profile(file: string): Promise<void>;
  close(): Promise<void>;
}

const OPEN_MS = 60_000;
/** What a round may take beyond its own time: a batch prepares, and what is under way ends. */
const ROUND_MS = 60_000;
const FIGURES_MS = 10_000;
const CLOSE_MS = 20_000;
const CHILD = fileURLToPath(new URL("child.ts", import.meta.url));

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

export class ContestantProcess implements Asked {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  #asked = 0;
  #said = "";

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.stderr?.on("data", (data: Buffer) => (this.#said = (this.#said + data.toString()).slice(-2_000)));
    child.on("message", (message) => {
      const answer = message as Answer;
      const waiting = this.#waiting.get(answer.id);
      this.#waiting.delete(answer.id);
      if ("error" in answer) waiting?.reject(new Error(answer.error));
      else waiting?.resolve(answer.value);
    });
    // Its end is told below; this is for what was sent to it just then.
    child.on("error", () => undefined);
    child.on("exit", (code, signal) => {
      const error = new Error(`its process ended (${signal ?? `code ${code}`}). ${this.#said}`);
      for (const { reject } of this.#waiting.values()) reject(error);
      this.#waiting.clear();
    });
  }

  /** Starts the process and has it open its module. @throws {Error} says why it could not */
  static async open(module: URL, services: Services): Promise<ContestantProcess> {
    const child = fork(CHILD, [module.href], {
      execArgv: ["--conditions=@holdfast/source", "--expose-gc"],
      // Tables go to this process's output; what a contestant has to say is shown if it fails.
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    const opened = new ContestantProcess(child);
    try {
      await opened.#ask({ ask: "open", services }, OPEN_MS);
      return opened;
    } catch (error) {
      await opened.#kill();
      throw error;
    }
  }

  async round(workload: string, inFlight: InFlight, ms: number): Promise<Round> {
    return (await this.#ask({ ask: "round", workload, inFlight, ms }, ms + ROUND_MS)) as Round;
  }

  async profile(file: string): Promise<void> {
    await this.#ask({ ask: "profile", file }, OPEN_MS);
  }

  async figures(): Promise<Figures> {
    return (await this.#ask({ ask: "figures" }, FIGURES_MS)) as Figures;
  }

  async close(): Promise<void> {
    await this.#ask({ ask: "close" }, CLOSE_MS).catch((error: unknown) =>
      console.warn(`A contestant did not close: ${error instanceof Error ? error.message : String(error)}`),
    );
    await this.#kill();
  }

  async #ask(question: Question, withinMs: number): Promise<unknown> {
    const { pid } = this.#child;
    if (this.#isGone()) throw new Error(`its process is gone. ${this.#said}`);
    this.#asked += 1;
    const id = this.#asked;
    const late = setTimeout(() => {
      this.#waiting
        .get(id)
        ?.reject(new Error(`process ${pid} did not answer "${question.ask}" within ${withinMs} ms`));
      this.#waiting.delete(id);
      void this.#kill();
    }, withinMs);
    try {
      return await new Promise<unknown>((resolve, reject) => {
        this.#waiting.set(id, { resolve, reject });
        this.#child.send({ id, question });
      });
    } finally {
      clearTimeout(late);
    }
  }

  async #kill(): Promise<void> {
    if (this.#isGone()) return;
    const gone = new Promise<void>((resolve) => this.#child.once("exit", () => resolve()));
    this.#child.kill("SIGKILL");
    await gone;
  }

  #isGone(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }
}
