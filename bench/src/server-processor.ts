// Server processor: how much processor time a PostgreSQL server of this machine took, all of its processes together.

import { readdirSync, readFileSync } from "node:fs";
import type pg from "pg";

/** The kernel counts in ticks: 100 a second, on all that Node runs on. */
const MS_PER_TICK = 10;

interface ProcessTimes {
  readonly parent: number;
  /** Of the process itself. */
  readonly ms: number;
  /** Of those of its children that have ended. */
  readonly endedMs: number;
}

/** Milliseconds since the server's start. Null: it is not Linux, or not a process of this machine. */
export async function serverProcessorMs(reader: pg.Client): Promise<number | null> {
  const { rows } = await reader.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
  const first = timesOf(String(rows[0]?.pid))?.parent;
  if (first === undefined) return null;
  const server = timesOf(String(first));
  if (server === null) return null;
  const children = readdirSync("/proc")
    .filter((name) => /^\d+$/u.test(name))
    .map(timesOf)
    .filter((times) => times?.parent === first);
  return children.reduce((sum, times) => sum + (times?.ms ?? 0), server.ms + server.endedMs);
}

/** Null: there is no such process, any more. */
function timesOf(pid: string): ProcessTimes | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // Its name is in brackets, and may have anything in it. After it: state, parent, and from the 12th on the times.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const at = (index: number): number => Number(fields[index]);
    return {
      parent: at(1),
      ms: (at(11) + at(12)) * MS_PER_TICK,
      endedMs: (at(13) + at(14)) * MS_PER_TICK,
    };
  } catch {
    return null;
  }
}
