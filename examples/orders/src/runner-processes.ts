// RunnerProcesses: keeps one process for each name running. One that ends is started again, until `stop()`.

import { fork, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";

/** A runner that was told to end may take as long before it is killed. */
const STOP_MS = 8_000;
/** So that a runner that cannot start does not start again in a tight loop. */
const RESTART_MS = 200;

export class RunnerProcesses {
  readonly #url: string;
  readonly #children = new Map<string, ChildProcess>();
  #isStopping = false;

  constructor(url: string, names: readonly string[]) {
    this.#url = url;
    for (const name of names) this.#start(name);
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await Promise.all([...this.#children.values()].map(stopChild));
  }

  #start(name: string): void {
    const program = fileURLToPath(new URL("runner.ts", import.meta.url));
    const child = fork(program, [name], { env: { ...process.env, ORDERS_POSTGRES_URL: this.#url } });
    this.#children.set(name, child);
    console.log(`runner ${name} is process ${child.pid}`);
    child.once("exit", (code, signal) => {
      if (this.#isStopping) return;
      console.log(`runner ${name} ended by ${signal ?? `code ${code}`}; starting it again`);
      setTimeout(() => {
        if (!this.#isStopping) this.#start(name);
      }, RESTART_MS);
    });
  }
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
  await ended;
  clearTimeout(timer);
}
