// Compare: runs one comparison. Its contestants are all open while it lasts, and take turns: what a neighbour of the machine
// does hits all of them alike. They are closed after it, so that each comparison begins with empty databases.

import type { Comparison, Entry, Figure } from "./comparisons.ts";
import type { Asked } from "./contestant-process.ts";
import type { ContestantName } from "./roster.ts";
import { turnsOf } from "./turns.ts";
import type { Round } from "./workload-round.ts";

export interface CompareOptions {
  readonly rounds: number;
  /** How long calls begin in each round. */
  readonly ms: number;
  /** How long calls begin in a first turn that does not count; of batches there are a few such turns. */
  readonly warmUpMs: number;
  /** Whose time is to be profiled, and where that is written. */
  readonly profile: { readonly contestant: ContestantName; readonly file: string } | null;
  readonly open: (contestant: ContestantName) => Promise<Asked>;
  /** Says what goes on. */
  readonly say: (text: string) => void;
}

export interface ComparedEntry {
  readonly entry: Entry;
  readonly rounds: readonly Round[];
  /** Why it was not measured to the end, or null. */
  readonly failure: string | null;
}

export interface Compared {
  readonly comparison: Comparison;
  readonly entries: readonly ComparedEntry[];
}

/** An entry while it is measured. */
interface Running {
  readonly entry: Entry;
  readonly rounds: Round[];
  failure: string | null;
}

/** What comes in batches, which have no latency, has one in a turn: each contestant the same number, since some grow slower by them. */
const WARM_UP_BATCHES = 3;

/** Never rejects for what a contestant does: it is left out from there on, and the rest go on. */
export async function compare(comparison: Comparison, options: CompareOptions): Promise<Compared> {
  const { rounds, ms, warmUpMs, say } = options;
  const running = comparison.entries.map((entry): Running => ({ entry, rounds: [], failure: null }));
  const contestants = new Map<ContestantName, Asked>();
  const turn = async (each: Running, roundMs: number): Promise<Round | null> => {
    const asked = contestants.get(each.entry.contestant);
    if (asked === undefined || each.failure !== null) return null;
    try {
      return await asked.round(each.entry.workload, each.entry.inFlight, roundMs);
    } catch (error) {
      each.failure = messageOf(error);
      say(`${each.entry.contestant}, ${each.entry.workload}: ${each.failure}`);
      return null;
    }
  };
  try {
    for (const name of new Set(running.map(({ entry }) => entry.contestant))) {
      try {
        contestants.set(name, await options.open(name));
      } catch (error) {
        const failure = messageOf(error);
        say(`${name}: ${failure}`);
        for (const each of running) if (each.entry.contestant === name) each.failure = failure;
      }
    }
    // Code is compiled and plans are made before anything counts.
    for (const each of running) {
      let warmed = await turn(each, Math.max(ms, warmUpMs));
      for (let turns = 1; warmed?.p50Ms === null && turns < WARM_UP_BATCHES; turns += 1)
        warmed = await turn(each, ms);
    }
    const { profile } = options;
    if (profile !== null)
      await contestants
        .get(profile.contestant)
        ?.profile(profile.file)
        .catch((error: unknown) => say(`${profile.contestant}: ${messageOf(error)}`));
    for (let round = 0; round < rounds; round += 1) {
      for (const index of turnsOf(running.length, round)) {
        const each = running[index];
        const measured = each === undefined ? null : await turn(each, ms);
        if (measured !== null) each?.rounds.push(measured);
      }
    }
  } finally {
    await Promise.all([...contestants.values()].map((contestant) => contestant.close()));
  }
  return { comparison, entries: running };
}

/** The figures of the rounds, and their middle, least and most. Null: there are none. */
export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

export function spreadOf(values: readonly (number | null)[]): Spread | null {
  const known = values.filter((value) => value !== null);
  if (known.length === 0) return null;
  return { median: middle(known), least: Math.min(...known), most: Math.max(...known) };
}

/** Of an even number the mean of the two in the middle: either of them would be a choice. */
function middle(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  return (Number(low) + Number(high)) / 2;
}

export function figureOf(
  { rounds }: ComparedEntry,
  figure: Figure | "p99Ms" | "cpuUs" | "resident",
): Spread | null {
  return spreadOf(rounds.map((round) => round[figure]));
}

/** Of each round: one by the other in the same round, so that both had the same neighbours. */
export function ratioOf(entry: ComparedEntry, to: ComparedEntry, figure: Figure): Spread | null {
  return spreadOf(
    entry.rounds.flatMap((round, index) => {
      const [value, base] = [round[figure], to.rounds[index]?.[figure]];
      return value === null || base === null || base === undefined ? [] : [value / base];
    }),
  );
}

function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.trim().slice(0, 500);
}
