// Programs: finds a service's program, starts it in a folder of its own, and ends it for sure.

import { execFile, spawn, type ChildProcess } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { chmod, chown, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";

export const run = promisify(execFile);

/** A service that tests may use. */
export interface Service {
  readonly url: string;
  /** How it was found, for people. */
  readonly how: string;
  stop(): Promise<void>;
}

/** The program's path: on the PATH, else in one of `folders`. */
export function findProgram(name: string, folders: readonly string[] = []): string | undefined {
  const onPath = (process.env["PATH"] ?? "").split(delimiter);
  return [...onPath, ...folders].map((folder) => join(folder, name)).find((path) => existsSync(path));
}

/** Debian keeps PostgreSQL's programs off the PATH. The newest version first. */
export function debianPostgresFolders(): readonly string[] {
  const root = "/usr/lib/postgresql";
  if (!existsSync(root)) return [];
  return readdirSync(root)
    .toSorted((a, b) => Number(b) - Number(a))
    .map((version) => join(root, version, "bin"));
}

/** A folder for one service; `owner` is whom it is given to when this process is root. */
export async function serviceFolder(name: string, owner?: { uid: number; gid: number }): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), `holdfast-${name}-`));
  if (owner !== undefined) {
    await chown(folder, owner.uid, owner.gid);
    await chmod(folder, 0o700);
  }
  return folder;
}

export interface StartedProgram {
  readonly child: ChildProcess;
  stop(signal: "SIGINT" | "SIGTERM"): Promise<void>;
}

/**
 * Starts a program under a watchdog: a shell that ends it when this process is gone, however it went. Resolves when a
 * line of its output matches `ready`. @throws {Error} it ended first; shows its last output
 */
export async function startProgram(
  program: string,
  args: readonly string[],
  options: { cwd: string; ready: RegExp; uid?: number; gid?: number },
): Promise<StartedProgram> {
  const identity = options.uid === undefined ? {} : { uid: options.uid, gid: options.gid };
  // The shell reads a pipe that only this process holds: its end is the end of this process.
  const script =
    '"$@" 3<&- & child=$!; (read -r _ <&3; kill -INT $child) >/dev/null 2>&1 & watcher=$!; ' +
    "trap 'kill -INT $child' INT TERM; wait $child; wait $child; kill $watcher";
  const child = spawn("/bin/sh", ["-c", script, "sh", program, ...args], {
    cwd: options.cwd,
    ...identity,
    stdio: ["ignore", "pipe", "pipe", "pipe"],
    // A terminal's Ctrl-C goes to the group of this process, whose programs may still need the service to end in order.
    detached: true,
  });
  let output = "";
  await new Promise<void>((resolve, reject) => {
    const read = (data: Buffer): void => {
      output = (output + data.toString()).slice(-4_000);
      if (options.ready.test(output)) resolve();
    };
    child.stdout?.on("data", read);
    child.stderr?.on("data", read);
    child.once("error", reject);
    child.once("exit", (code) =>
      reject(new Error(`${program} ended with code ${code} before it was ready:\n${output}`)),
    );
  });
  return {
    child,
    async stop(signal) {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
      child.kill(signal);
      child.stdio[3]?.destroy();
      await ended;
    },
  };
}

export async function removeFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
}
