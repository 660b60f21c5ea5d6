// Runs the example as a process, and watches its progress lines.

import { spawn, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";

export interface Run {
  readonly child: ChildProcess;
  /** Everything it printed. */
  readonly output: () => string;
  /** The exit code, or null after a signal. */
  readonly ended: Promise<number | null>;
  /** Resolves to true when this many orders are paid, to false when the process ends first. */
  paid(count: number): Promise<boolean>;
}

export function start(script: "main" | "cluster", env: Readonly<Record<string, string>>): Run {
  const path = fileURLToPath(new URL(`../src/${script}.ts`, import.meta.url));
  const child = spawn(process.execPath, ["--conditions=@holdfast/source", path], {
    env: { ...process.env, ORDERS_PROGRESS_MS: "100", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  const listeners = new Set<() => void>();
  const read = (data: Buffer): void => {
    output += data.toString();
    for (const listener of listeners) listener();
  };
  child.stdout.on("data", read);
  child.stderr.on("data", read);
  const ended = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)));
  return {
    child,
    output: () => output,
    ended,
    async paid(count) {
      const reached = (): boolean => paidIn(output) >= count;
      const waited = new Promise<boolean>((resolve) => {
        const listener = (): void => {
          if (!reached()) return;
          listeners.delete(listener);
          resolve(true);
        };
        listeners.add(listener);
        listener();
      });
      return Promise.race([waited, ended.then(() => reached())]);
    },
  };
}

/** The highest count of payments among the progress lines. */
export function paidIn(output: string): number {
  return Math.max(0, ...[...output.matchAll(/paid (\d+)\//gu)].map(([, count]) => Number(count)));
}
