import { execFileSync } from "node:child_process";
import { cpus, loadavg, totalmem } from "node:os";

/** What a run was made on: figures of two machines are not comparable, ratios hardly. */
export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly system: string;
  readonly node: string;
  /** Of Holdfast. Null: it is no checkout. */
  readonly commit: string | null;
}

export function thisMachine(): Machine {
  return {
    processor: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${process.platform} ${process.arch}`,
    node: process.versions.node,
    commit: commit(),
  };
}

function commit(): string | null {
  const cwd = import.meta.dirname;
  const git = (...args: readonly string[]): string =>
    execFileSync("git", args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  try {
    return `${git("rev-parse", "--short", "HEAD")}${git("status", "--porcelain") === "" ? "" : " and changes"}`;
  } catch {
    return null;
  }
}

/** How many processes wanted a processor, on average over the last minute. */
export function load(): number {
  return loadavg()[0] ?? 0;
}
