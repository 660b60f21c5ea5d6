// MutationCheck: plants a bug and counts the seeds after which the simulation finds it.

import type { PlantedBug } from "./planted-bug.ts";
import { hunt, type Finding } from "./hunter.ts";
import { copyWithBug, removeCopy } from "./sandbox.ts";

export interface CheckOptions {
  /** A copy of the repository without a bug. */
  readonly original: string;
  /** The most seeds that are tried. */
  readonly seeds: number;
  /** From so many first seeds. */
  readonly repeats: number;
  readonly limitMs: number;
}

export interface Checked {
  readonly bug: PlantedBug;
  /** How many seeds each repeat took; infinity: none of them found it. */
  readonly took: readonly number[];
  readonly findings: readonly Finding[];
  /** Violations that are there without the bug, too: they do not count. */
  readonly strays: readonly Finding[];
}

/** Repeats begin so many seeds apart. */
const APART = 10_000;

export function firstSeed(repeat: number): number {
  return repeat * APART + 1;
}

/** Once it is clear that the median is none, nothing more is tried. */
export async function checkBug(bug: PlantedBug, options: CheckOptions): Promise<Checked> {
  const { original, repeats } = options;
  const folder = await copyWithBug(original, bug);
  const took: number[] = [];
  const findings: Finding[] = [];
  const strays: Finding[] = [];
  try {
    for (let repeat = 0; repeat < repeats && !isLost(took, repeats); repeat += 1) {
      const finding = await firstOwnFinding(bug, folder, firstSeed(repeat), options, strays);
      took.push(finding === null ? Number.POSITIVE_INFINITY : finding.seed - firstSeed(repeat) + 1);
      if (finding !== null) findings.push(finding);
    }
  } finally {
    await removeCopy(folder);
  }
  return { bug, took, findings, strays };
}

export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.POSITIVE_INFINITY;
}

function isLost(took: readonly number[], repeats: number): boolean {
  return took.filter((seeds) => seeds === Number.POSITIVE_INFINITY).length > repeats / 2;
}

/** The first violation that is not there without the bug. */
async function firstOwnFinding(
  bug: PlantedBug,
  folder: string,
  first: number,
  { original, seeds, limitMs }: CheckOptions,
  strays: Finding[],
): Promise<Finding | null> {
  const { scenarios } = bug;
  for (let from = first; from < first + seeds;) {
    const finding = await hunt({ folder, scenarios, first: from, seeds: first + seeds - from, limitMs });
    if (finding === null) return null;
    const { scenario, seed } = finding;
    const stray = await hunt({ folder: original, scenarios: [scenario], first: seed, seeds: 1, limitMs });
    if (stray === null) return finding;
    strays.push(stray);
    from = seed + 1;
  }
  return null;
}
