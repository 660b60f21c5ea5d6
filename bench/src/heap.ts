import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** What this process keeps in memory, in bytes. */
export interface Memory {
  /** Objects of JavaScript that something still refers to. */
  readonly heap: number;
  /** Of all, as the system counts it: also what the heap has kept of what it once needed, and the memory of WebAssembly. */
  readonly resident: number;
}

/** Collects what nothing refers to any more, and measures what is left. */
export async function settledMemory(): Promise<Memory> {
  const collect = collector();
  // What a first collection finalizes, a later one takes away.
  for (let time = 0; time < 3; time += 1) {
    collect();
    await sleep(50);
  }
  const { heapUsed, rss } = process.memoryUsage();
  return { heap: heapUsed, resident: rss };
}

function collector(): () => void {
  const { gc } = globalThis as { gc?: () => void };
  if (gc !== undefined) return gc;
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc") as () => void;
}
