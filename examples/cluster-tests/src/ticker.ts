import { setTimeout as wait } from "node:timers/promises";
import { defineSingleton, type SingletonDefinition } from "@holdfast/core";
import type { Database } from "@holdfast/example-orders/database.ts";

const TICK_MS = 50;

/** Writes a row per tick: which runner ticked, and under which fencing token. */
export function tickerOf(database: Database, runner: string): SingletonDefinition {
  return defineSingleton({
    name: "ticker",
    async run(ctx) {
      while (!ctx.signal.aborted) {
        await database.query(
          "insert into suite.ticks (runner, pid, fencing_token, at) values ($1, $2, $3, $4)",
          [runner, process.pid, String(ctx.fencingToken), Date.now()],
        );
        await wait(TICK_MS, undefined, { signal: ctx.signal }).catch(() => undefined);
      }
    },
  });
}

/** The singleton as its rows show it. */
export interface Ticks {
  readonly ticks: number;
  /** Of the latest tick. */
  readonly runner: string | null;
  readonly pid: number | null;
  readonly lastTickAt: number | null;
  /** How often the runner changed from one tick to the next. One singleton at a time means one change per move. */
  readonly moves: number;
  /** Whether a tick came under a lower fencing token than one before it. */
  readonly wentBack: boolean;
  /** The longest time in milliseconds between two ticks. */
  readonly longestPauseMs: number;
}

export async function readTicks(database: Database): Promise<Ticks> {
  const { rows } = await database.query<{
    runner: string;
    pid: number;
    token: string;
    at: number;
  }>("select runner, pid, fencing_token::text as token, at from suite.ticks order by n");
  const last = rows.at(-1);
  let moves = 0;
  let wentBack = false;
  let longestPauseMs = 0;
  for (const [index, row] of rows.entries()) {
    const before = rows[index - 1];
    if (before === undefined) continue;
    if (before.pid !== row.pid) moves += 1;
    if (BigInt(before.token) > BigInt(row.token)) wentBack = true;
    longestPauseMs = Math.max(longestPauseMs, row.at - before.at);
  }
  return {
    ticks: rows.length,
    runner: last?.runner ?? null,
    pid: last?.pid ?? null,
    lastTickAt: last?.at ?? null,
    moves,
    wentBack,
    longestPauseMs,
  };
}

export async function resetTicks(database: Database): Promise<void> {
  await database.query("truncate suite.ticks");
}
