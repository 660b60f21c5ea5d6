import { fork, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";

/** A process beside the contestant's, which ends with it. */
export interface OtherProcess {
  readonly child: ChildProcess;
  /** What it said first. */
  readonly said: unknown;
  stop(): void;
}

/** Starts a program of this folder. Resolves once it says something. @throws {Error} it ended first */
export async function startOther(program: string, ...args: readonly string[]): Promise<OtherProcess> {
  const path = fileURLToPath(new URL(program, import.meta.url));
  const child = fork(path, args, { stdio: ["ignore", "ignore", "inherit", "ipc"] });
  const said = await new Promise<unknown>((resolve, reject) => {
    child.once("message", resolve);
    child.once("exit", (code) => reject(new Error(`${program} ended with code ${code}`)));
  });
  return { child, said, stop: () => void child.kill("SIGKILL") };
}
