// Runs a program of this example as a process, and hears its lines.

import { spawn, type ChildProcess } from "node:child_process";

export interface Child {
  readonly process: ChildProcess;
  /** Everything it printed. */
  readonly output: () => string;
  /** The exit code, or null after a signal. */
  readonly ended: Promise<number | null>;
  /** Resolves to true once `isEnough` says so of its output, to false when it ends first. */
  until(isEnough: (output: string) => boolean): Promise<boolean>;
}

export function start(
  path: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Child {
  const child = spawn(
    process.execPath,
    ["--conditions=@holdfast/source", "--disable-warning=ExperimentalWarning", path, ...args],
    { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] },
  );
  let output = "";
  const listeners = new Set<() => void>();
  const read = (data: Buffer): void => {
    output += data.toString();
    for (const listener of listeners) listener();
  };
  child.stdout.on("data", read);
  child.stderr.on("data", read);
  // Not before all that it printed was read.
  const ended = new Promise<number | null>((resolve) => child.once("close", (code) => resolve(code)));
  return {
    process: child,
    output: () => output,
    ended,
    until: (isEnough) => {
      const reached = new Promise<boolean>((resolve) => {
        const listener = (): void => {
          if (isEnough(output)) resolve(true);
        };
        listeners.add(listener);
        listener();
      });
      return Promise.race([reached, ended.then(() => isEnough(output))]);
    },
  };
}
