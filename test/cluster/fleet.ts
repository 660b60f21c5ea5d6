// Fleet: the runner processes of a cluster under test. Each is started, signalled and ended by name.

import { fork, type ChildProcess } from "node:child_process";
import { appendFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { machineNow, until } from "./clock.ts";
import type { Ownership } from "./ownership.ts";
import type { FromRunner, ToRunner } from "./runner-messages.ts";

/** A runner that was told to end may take as long before that is a fault. */
const STOP_LIMIT_MS = 20_000;
const START_LIMIT_MS = 60_000;

interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<void>;
  isStarted: boolean;
  /** Whether its end was asked for. */
  isEnding: boolean;
  /** It serves nothing: stopped, or killed. What it said before counts no more. */
  isSilenced: boolean;
}

export class Fleet {
  readonly #ownership: Ownership;
  readonly #env: (name: string) => Readonly<Record<string, string>>;
  readonly #running = new Map<string, Running>();
  readonly #output: string[] = [];
  /** Processes that ended although nobody asked them to, and their last words. */
  readonly crashes: string[] = [];
  /** Why shards were lost, by runner, in order. */
  readonly losses: { readonly runner: string; readonly shardId: string; readonly reason: string }[] = [];

  /** @param env what each runner process finds in its environment */
  constructor(ownership: Ownership, env: (name: string) => Readonly<Record<string, string>>) {
    this.#ownership = ownership;
    this.#env = env;
  }

  /** Their names, in the order in which they were started. */
  get names(): readonly string[] {
    return [...this.#running.keys()];
  }

  /** What the runners wrote, the last of it. */
  output(): string {
    return this.#output.slice(-60).join("");
  }

  /** Starts a process. Resolves once it is a member and serves its shards. */
  async start(name: string): Promise<void> {
    const running = this.#fork(name);
    await until(`runner ${name} has started`, START_LIMIT_MS, () => {
      if (this.#running.get(name) !== running)
        throw new Error(`Runner ${name} ended before it had started: ${this.output()}`);
      return running.isStarted;
    });
  }

  /** kill -9. Resolves once it is gone. */
  async kill(name: string): Promise<void> {
    this.log(`--- ${name} is killed\n`);
    const running = this.#take(name);
    running.isSilenced = true;
    this.#ownership.silenced(name, machineNow());
    running.child.kill("SIGKILL");
    await running.ended;
  }

  /** SIGTERM. Resolves once it has ended by itself. @throws {Error} it does not */
  async terminate(name: string): Promise<void> {
    this.log(`--- ${name} is told to end\n`);
    const { child, ended } = this.#take(name);
    child.kill("SIGTERM");
    let isOver = false;
    void ended.then(() => (isOver = true));
    try {
      await until(`runner ${name} has ended after SIGTERM`, STOP_LIMIT_MS, () => isOver);
      this.log(`--- ${name} has ended\n`);
    } finally {
      child.kill("SIGKILL");
    }
  }

  /** SIGSTOP: it does nothing until `resume`. */
  pause(name: string): void {
    this.log(`--- ${name} is stopped\n`);
    const running = this.#get(name);
    running.isSilenced = true;
    running.child.kill("SIGSTOP");
    this.#ownership.silenced(name, machineNow());
  }

  resume(name: string): void {
    this.log(`--- ${name} goes on\n`);
    const running = this.#get(name);
    running.isSilenced = false;
    running.child.kill("SIGCONT");
  }

  /** The counters of a runner. */
  async metrics(name: string): Promise<Readonly<Record<string, number>>> {
    const { child } = this.#get(name);
    const answer = new Promise<Readonly<Record<string, number>>>((resolve) => {
      const read = (message: unknown): void => {
        const fromRunner = message as FromRunner;
        if (fromRunner.type !== "metrics") return;
        child.off("message", read);
        resolve(fromRunner.metrics);
      };
      child.on("message", read);
    });
    child.send({ type: "metrics" } satisfies ToRunner);
    return answer;
  }

  /** Ends every process, however it is. */
  async end(): Promise<void> {
    await Promise.all(
      this.names.map((name) => {
        const running = this.#take(name);
        running.isSilenced = true;
        running.child.kill("SIGKILL");
        return running.ended;
      }),
    );
  }

  #fork(name: string): Running {
    if (this.#running.has(name)) throw new Error(`Runner ${name} runs already`);
    const program = fileURLToPath(new URL("runner.ts", import.meta.url));
    const child = fork(program, [name], {
      execArgv: ["--conditions=@holdfast/source"],
      env: { ...process.env, ...this.#env(name) },
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on("data", (data: Buffer) => this.log(`${name}: ${data.toString()}`));
    }
    const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    const running: Running = { child, ended, isStarted: false, isEnding: false, isSilenced: false };
    this.#running.set(name, running);
    child.on("message", (message) => this.#hear(name, running, message as FromRunner));
    child.once("exit", (code, signal) => {
      if (running.isEnding) {
        if (signal === null && code !== 0)
          this.crashes.push(`${name} ended with code ${code}: ${this.output()}`);
        if (!running.isSilenced) this.#ownership.silenced(name, machineNow());
        return;
      }
      this.#running.delete(name);
      this.#ownership.silenced(name, machineNow());
      this.crashes.push(
        `${name} ended by ${signal ?? `code ${code}`} although nobody asked it to: ${this.output()}`,
      );
    });
    return running;
  }

  #hear(name: string, running: Running, message: FromRunner): void {
    if (running.isSilenced) return;
    if (message.type === "started") {
      running.isStarted = true;
      this.log(`--- ${name} has started at ${message.address}\n`);
    }
    if (message.type === "acquired") this.#ownership.acquired(name, message.shardId, message.at);
    else if (message.type === "lost") {
      this.#ownership.lost(name, message.shardId, message.at);
      this.losses.push({ runner: name, shardId: message.shardId, reason: message.reason });
    }
  }

  /** Adds a line to what the runners write. FAULTS_LOG names a file that keeps all of it, with the time. */
  log(text: string): void {
    this.#output.push(text);
    if (this.#output.length > 1_000) this.#output.splice(0, 500);
    const file = process.env["FAULTS_LOG"];
    if (file !== undefined) appendFileSync(file, `${(machineNow() / 1_000).toFixed(3)} ${text}`);
  }

  #get(name: string): Running {
    const running = this.#running.get(name);
    if (running === undefined) throw new Error(`There is no runner ${name}`);
    return running;
  }

  /** Its end is asked for. */
  #take(name: string): Running {
    const running = this.#get(name);
    running.isEnding = true;
    this.#running.delete(name);
    return running;
  }
}
