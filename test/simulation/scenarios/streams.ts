// Streams: persisted ones are read to their end across every hand-over, each element once and in order; volatile ones have
// no gap, and say when they break off; and readers who leave leave nothing behind that keeps others waiting.

import { defineEntity, rpc } from "@holdfast/core";
import { Violation, type Scenario, type SimulatedProcess, type Simulation } from "@holdfast/testing";

interface Count {
  /** Who reads it. */
  readonly reader: number;
  readonly to: number;
  readonly pauseMs: number;
}

const Source = defineEntity({
  name: "Source",
  rpcs: {
    count: rpc<Count, number>({ stream: true }),
    keep: rpc<Count, number>({ stream: true, persisted: true }),
    touch: rpc<string, string>({ persisted: true }),
  },
});

const READERS = 16;
/** So many elements may be on their way to a reader. */
const WINDOW = 64;

export const streams: Scenario = {
  name: "streams",
  duration: "12s",
  start: (sim) => new Streams(sim),
};

class Streams {
  /** Each element is a write that may fail and cost an attempt: so few as by default are soon used up where one in eight does. */
  readonly options = { storageMessageMaxRetries: 100 };
  readonly #sim: Simulation;
  readonly #readers: readonly {
    readonly kind: "keep" | "count" | "leave kept" | "leave" | "touch";
    readonly count: Count;
    readonly readsMs: number;
  }[];

  /** How many elements each reader has. */
  readonly #reads = Array.from({ length: READERS }, () => 0);
  #violation: Violation | null = null;

  constructor(sim: Simulation) {
    this.#sim = sim;
    this.#readers = Array.from({ length: READERS }, (_, reader) => ({
      kind: (["keep", "keep", "count", "leave kept", "leave", "touch"] as const)[sim.integer(0, 5)] ?? "keep",
      count: {
        reader,
        to: [0, 1, 30, 300][sim.integer(0, 3)] ?? 0,
        pauseMs: [0, 0, 10, 120][sim.integer(0, 3)] ?? 0,
      },
      readsMs: [0, 0, 15, 150][sim.integer(0, 3)] ?? 0,
    }));
  }

  register(process: SimulatedProcess) {
    const upTo = (count: Count): AsyncGenerator<number, void, undefined> => this.#produce(process, count);
    return [Source.implement({ count: upTo, keep: upTo, touch: (text) => text })];
  }

  async *#produce(
    process: SimulatedProcess,
    { reader, to, pauseMs }: Count,
  ): AsyncGenerator<number, void, undefined> {
    for (let number = 0; number < to; number += 1) {
      if (pauseMs > 0 && number % 5 === 4) await process.sleep(pauseMs);
      const ahead = number - (this.#reads[reader] ?? 0);
      if (ahead > WINDOW)
        this.#violation ??= new Violation(
          "a stream is bounded",
          `reader ${reader} is ${ahead} elements behind`,
        );
      yield number;
    }
  }

  run(): Promise<void> {
    return this.#sim.operations(READERS, async (index) => {
      const reader = this.#readers[index];
      if (reader === undefined) return;
      const { kind, count } = reader;
      const source = this.#sim.cluster.entity(Source, `${index % 4}`);
      const who = `reader ${index} (${kind} ${count.to})`;
      if (kind === "touch") {
        await source.touch(who);
        return;
      }
      const leavesAt = kind.startsWith("leave") ? Math.floor(count.to / 2) : Infinity;
      const isVolatile = kind === "count" || kind === "leave";
      const elements = isVolatile ? source.count(count) : source.keep(count);
      const { read, error } = await this.#read(index, elements, leavesAt);
      const isComplete = read.length === count.to || read.length === leavesAt + 1;
      if (read.some((element, place) => element !== place))
        throw new Violation("streams are whole", `${who} got ${read.join(" ")}`);
      if (error !== null && !isVolatile) throw error;
      if (error === null && !isComplete)
        throw new Violation("streams are whole", `${who} ended after ${read.length} elements`);
    });
  }

  async #read(
    reader: number,
    elements: AsyncIterable<number>,
    leavesAt: number,
  ): Promise<{ readonly read: readonly number[]; readonly error: Error | null }> {
    const read: number[] = [];
    const readsMs = this.#readers[reader]?.readsMs ?? 0;
    try {
      for await (const element of elements) {
        read.push(element);
        this.#reads[reader] = read.length;
        if (element === leavesAt) break;
        if (readsMs > 0 && element % 10 === 9) await this.#sim.sleep(readsMs);
      }
      return { read, error: null };
    } catch (error) {
      return { read, error: error as Error };
    } finally {
      // Nobody is to wait for a reader who is gone.
      this.#reads[reader] = Infinity;
    }
  }

  check(): void {
    if (this.#violation !== null) throw this.#violation;
  }
}
