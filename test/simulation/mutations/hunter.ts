// Hunter: runs hunt.ts in a copy of the repository, in a process of its own, and hears what it found.

import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { HuntLine } from "./hunt.ts";

export interface Hunt {
  readonly folder: string;
  readonly scenarios: readonly string[];
  readonly first: number;
  readonly seeds: number;
  /** One run that takes longer than this, in milliseconds of the real clock, hangs. */
  readonly limitMs: number;
}

export interface Finding {
  readonly scenario: string;
  readonly seed: number;
  readonly what: string;
}

/** Resolves to the first violation, a run that hangs or a process that dies included; null: there was none. */
export async function hunt({ folder, scenarios, first, seeds, limitMs }: Hunt): Promise<Finding | null> {
  const child = spawn(
    process.execPath,
    [
      "--conditions=@holdfast/source",
      join(folder, "test/simulation/mutations/hunt.ts"),
      JSON.stringify(scenarios),
      String(first),
      String(seeds),
    ],
    { cwd: folder, stdio: ["ignore", "pipe", "pipe"] },
  );
  let found: Finding | null = null;
  let under: { readonly scenario: string; readonly seed: number } = { scenario: "none", seed: first };
  let isHanging = false;
  const hang = (): void => {
    isHanging = true;
    child.kill("SIGKILL");
  };
  let limit = setTimeout(hang, limitMs);
  let complaint = "";
  child.stderr.on("data", (data) => (complaint = (complaint + String(data)).slice(-2_000)));
  const lines = createInterface({ input: child.stdout });
  lines.on("line", (text) => {
    const line = JSON.parse(text) as HuntLine;
    clearTimeout(limit);
    limit = setTimeout(hang, limitMs);
    under = line;
    if (line.type === "violation") found = line;
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on("close", resolve);
    child.on("error", reject);
  });
  const code = await ended;
  clearTimeout(limit);
  if (found !== null) return found;
  const { scenario, seed } = under;
  if (isHanging) return { scenario, seed, what: `the run did not end within ${limitMs / 1_000} s` };
  if (code === 0) return null;
  if (scenario === "none") throw new Error(`The hunt did not begin: ${complaint}`);
  return { scenario, seed, what: `the process ended with ${code}: ${complaint.trim().slice(-300)}` };
}
