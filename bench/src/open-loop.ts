// Open loop: calls that are due at a fixed rate, whether or not those before them were answered.
//
//   O1  Call n is due n intervals after the first, whatever the calls before it did. What begins late begins at once.
//   O2  A call is timed from when it was due: what it waited because the process was busy is part of its latency.
//   O3  Each call is counted once: as answered, failed, or lost.

import { setTimeout as sleep } from "node:timers/promises";

export interface Arrivals {
  readonly perSecond: number;
  readonly count: number;
}

/** What became of the calls. */
export interface Arrived {
  readonly asked: number;
  readonly answered: number;
  readonly failed: number;
  /** Not answered within the time that is left to the last one. */
  readonly lost: number;
  /** What the first one that failed said. */
  readonly failure: string | null;
  /** From when the first was due until the last was answered, or given up. */
  readonly ms: number;
}

/** Milliseconds that pass, and waiting for them. */
export interface Time {
  now(): number;
  /** Ends early when the signal is given, and rejects then. */
  sleep(ms: number, signal?: AbortSignal): Promise<unknown>;
}

const REAL: Time = {
  now: () => performance.now(),
  sleep: (ms, signal) => sleep(ms, undefined, signal === undefined ? {} : { signal }),
};
/** After the last one was due. */
const LOST_MS = 30_000;

/**
 * Makes all calls when they are due, and waits for them.
 *
 * @param call rejects if what it got is not what it should be
 * @param answered told of each call that was answered, and the milliseconds since it was due
 */
export async function openLoop(
  call: (index: number) => Promise<unknown>,
  { perSecond, count }: Arrivals,
  answered: (index: number, ms: number) => void,
  time: Time = REAL,
): Promise<Arrived> {
  const begin = time.now();
  const interval = 1_000 / perSecond;
  const done = { answered: 0, failed: 0 };
  let failure: string | null = null;
  const { promise: allDone, resolve: last } = Promise.withResolvers<void>();
  const ask = async (index: number): Promise<void> => {
    try {
      await call(index);
      done.answered += 1;
      answered(index, time.now() - (begin + index * interval));
    } catch (error) {
      done.failed += 1;
      failure ??= error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    }
    if (done.answered + done.failed === count) last();
  };
  for (let next = 0; next < count;) {
    const due = Math.min(count, dueBy(time.now() - begin, interval));
    while (next < due) void ask(next++);
    if (next < count) await time.sleep(Math.max(0, begin + next * interval - time.now()));
  }
  const isOver = new AbortController();
  await Promise.race([allDone, time.sleep(LOST_MS, isOver.signal).catch(() => undefined)]);
  isOver.abort();
  return {
    asked: count,
    ...done,
    lost: count - done.answered - done.failed,
    failure,
    ms: time.now() - begin,
  };
}

/** How many calls are due when so much has passed since the first was. */
export function dueBy(ms: number, interval: number): number {
  return Math.floor(ms / interval) + 1;
}
