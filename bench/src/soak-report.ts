import { FLAT_BELOW } from "./flatness.ts";
import { LATE_MS, type Soak, type SoakWindow } from "./soak.ts";
import { median, shown } from "./statistics.ts";
import type { Asking } from "./asked-runner.ts";

/** The columns of the line that each window gets. */
export const SOAK_COLUMNS: string = line(
  "minutes",
  "heap MB",
  "resident MB",
  "entities",
  "p50/p99 ms: persisted",
  "volatile",
  "workflow",
  "faults",
);
const KINDS: readonly Asking[] = ["persisted rpc", "volatile rpc", "workflow of 10 steps"];
const SHOWN_COUNTERS = ["pendingCalls", "retried", "deadLettered", "mailboxFull", "fenced"];
const MB = 2 ** 20;

export function soakLine({ minutes, memory, entities, latencies, failed, lost, late }: SoakWindow): string {
  return line(
    minutes.toFixed(2),
    (memory.heap / MB).toFixed(2),
    (memory.resident / MB).toFixed(0),
    String(entities),
    ...KINDS.map((kind) => `${shown(latencies[kind].p50Ms)} / ${shown(latencies[kind].p99Ms)}`),
    String(failed + lost + late),
  );
}

function line(...columns: readonly string[]): string {
  return columns.map((column, index) => column.padStart([7, 8, 12, 9, 22, 14, 14, 7][index] ?? 0)).join(" ");
}

/** Prints the tables. Returns whether memory is flat, and every call was answered in time. */
export function reportSoak({
  database,
  sustained,
  perSecond,
  windows,
  heap,
  resident,
  counters,
}: Soak): boolean {
  const sum = (of: (window: SoakWindow) => number): number =>
    windows.reduce((total, each) => total + of(each), 0);
  const last = windows.at(-1);
  console.log(
    `\n${database}: ${last?.operations.toLocaleString("en")} operations in ${shown(last?.minutes ?? 0)} minutes, ` +
      `${Math.round(perSecond)} per second, half of ${Math.round(sustained)}. Latency in the windows, ms from when each was due`,
  );
  const quarter = Math.ceil(windows.length / 4);
  console.table(
    Object.fromEntries(
      KINDS.map((kind) => {
        const middle = (of: readonly SoakWindow[], figure: "p50Ms" | "p99Ms"): number =>
          shown(median(of.map(({ latencies }) => latencies[kind][figure])));
        const [first, end] = [windows.slice(0, quarter), windows.slice(-quarter)];
        return [
          kind,
          {
            "p50, first quarter": middle(first, "p50Ms"),
            "last quarter": middle(end, "p50Ms"),
            "p99, first quarter": middle(first, "p99Ms"),
            "last quarter ": middle(end, "p99Ms"),
            most: shown(Math.max(...windows.map(({ latencies }) => latencies[kind].mostMs))),
          },
        ];
      }),
    ),
  );
  // Minutes with the pauses between windows, in which nothing is asked.
  const perMinute = (each: number): number =>
    shown((each * (last?.operations ?? 0)) / (last?.minutes ?? Number.NaN) / 1_024);
  console.log(`Memory after the first quarter, in ${heap.judged} samples`);
  console.table(
    Object.fromEntries(
      [["heap", heap.each] as const, ["resident, not judged", resident] as const].map(
        ([name, { slope, least, most }]) => [
          name,
          {
            "KB per minute": perMinute(slope),
            "bytes per operation": shown(slope),
            "with 95 % confidence": `${shown(least)} to ${shown(most)}`,
          },
        ],
      ),
    ),
  );
  const faults = {
    failed: sum(({ failed }) => failed),
    lost: sum(({ lost }) => lost),
    late: sum(({ late }) => late),
  };
  console.log(
    `Failed: ${faults.failed}. Lost: ${faults.lost}. Answered after more than ${LATE_MS / 1_000} s: ${faults.late}.\n` +
      `Counted by the runner: ${SHOWN_COUNTERS.map((name) => `${name} ${counters[name] ?? "?"}`).join(", ")}.`,
  );
  for (const { failure } of windows) if (failure !== null) console.warn(failure);
  const isFlat = heap.verdict === "flat";
  console.log(
    {
      flat: `Memory is flat: the heap grows by less than ${FLAT_BELOW} byte per operation.`,
      grows: `Memory is not flat: the heap grows by more than ${FLAT_BELOW} byte per operation.`,
      "cannot be told": `Whether memory is flat cannot be told from so short a run: the heap may grow by ${FLAT_BELOW} byte per operation.`,
    }[heap.verdict],
  );
  return isFlat && faults.failed + faults.lost + faults.late === 0;
}
