// ChildProgram: one process of the example. It ends by itself when this process is gone, however that went.

import { fork, type ChildProcess } from "node:child_process";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import type { ChildMessage } from "./process-end.ts";

/** So many of the last lines that it printed are shown when it ended too early. */
const SHOWN_LINES = 20;
/** A child that was told to end may take as long before it is killed. */
const STOP_MS = 8_000;

export interface ChildProgramOptions {
  readonly name: string;
  /** The module that it runs. It calls `endInOrder` and `tellParent`. */
  readonly program: URL;
  readonly env: Readonly<Record<string, string>>;
  /** Called with each line that it prints. */
  readonly printed: (line: string) => void;
}

export class ChildProgram {
  readonly name: string;
  /** Resolves to its address once it works. Rejects if it ends before. */
  readonly ready: Promise<string>;
  /** Resolves to what ended it: `SIGKILL`, say, or `code 0`. */
  readonly ended: Promise<string>;
  readonly #child: ChildProcess;
  readonly #latest: string[] = [];
  #address = "";
  #state: "starting" | "running" | "stopping" | "ended" = "starting";

  constructor({ name, program, env, printed }: ChildProgramOptions) {
    this.name = name;
    this.#child = fork(fileURLToPath(program), [name], {
      env: { ...process.env, ...env },
      execArgv: ["--conditions=@holdfast/source"],
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    const read = (line: string): void => {
      this.#latest.push(line);
      if (this.#latest.length > SHOWN_LINES) this.#latest.shift();
      printed(line);
    };
    readLines(this.#child.stdout, read);
    readLines(this.#child.stderr, read);
    this.ended = new Promise((resolve) => {
      this.#child.once("error", (error) => resolve(error.message));
      this.#child.once("exit", () => {
        this.#state = "ended";
        resolve(describe(this.#child));
      });
    });
    this.ready = new Promise((resolve, reject) => {
      this.#child.once("message", (message) => {
        if (this.#state === "starting") this.#state = "running";
        this.#address = (message as ChildMessage).address;
        resolve(this.#address);
      });
      this.#child.once("close", () => {
        const shown = this.#latest.join("\n");
        reject(new Error(`${name} ended by ${describe(this.#child)} before it was ready:\n${shown}`));
      });
    });
    // Whoever does not wait for it is told by `ended`.
    this.ready.catch(() => undefined);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Where it is reached, or empty until it is ready. */
  get address(): string {
    return this.#address;
  }

  get state(): "starting" | "running" | "stopping" | "ended" {
    return this.#state;
  }

  /** Ends it as `kill -9` does. Resolves when it is gone. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.ended;
  }

  /** Lets it hand its shards over and leave; kills it after a while. Resolves when it is gone. */
  async stop(): Promise<void> {
    if (this.#state === "ended") return;
    this.#state = "stopping";
    this.#child.kill("SIGTERM");
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), STOP_MS);
    await this.ended;
    clearTimeout(timer);
  }
}

function describe({ exitCode, signalCode }: ChildProcess): string {
  return signalCode ?? `code ${exitCode}`;
}

function readLines(stream: Readable | null, printed: (line: string) => void): void {
  let rest = "";
  stream?.on("data", (data: Buffer) => {
    const lines = (rest + data.toString()).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) printed(line);
  });
}
