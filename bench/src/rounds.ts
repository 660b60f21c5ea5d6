// Rounds: runs variants in turn, once per round, in rotating order, so that a noisy neighbour hits all of them alike.

export interface Variant {
  readonly name: string;
  /** Does one operation; called by `concurrency` callers at once, each waiting for its own. */
  readonly run: (index: number) => Promise<unknown>;
  readonly concurrency: number;
}

export interface Measured {
  readonly name: string;
  readonly concurrency: number;
  /** Operations per second: the median round, the slowest and the fastest. */
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

export const ROUNDS: number = Number(process.env["BENCH_ROUNDS"] ?? 3);
export const ROUND_MS: number = Number(process.env["BENCH_MS"] ?? 700);

export async function measure(variants: readonly Variant[]): Promise<readonly Measured[]> {
  const rates = new Map<string, number[]>(variants.map(({ name }) => [name, []]));
  for (const variant of variants) await roundOf(variant, ROUND_MS / 4);
  for (let round = 0; round < ROUNDS; round += 1) {
    for (let turn = 0; turn < variants.length; turn += 1) {
      const variant = variants[(turn + round) % variants.length];
      if (variant !== undefined) rates.get(variant.name)?.push(await roundOf(variant, ROUND_MS));
    }
  }
  return variants.map(({ name, concurrency }) => {
    const sorted = (rates.get(name) ?? []).toSorted((a, b) => a - b);
    return {
      name,
      concurrency,
      median: sorted[sorted.length >> 1] ?? 0,
      least: sorted[0] ?? 0,
      most: sorted.at(-1) ?? 0,
    };
  });
}

async function roundOf(variant: Variant, durationMs: number): Promise<number> {
  const started = performance.now();
  const end = started + durationMs;
  let done = 0;
  const caller = async (): Promise<void> => {
    while (performance.now() < end) {
      await variant.run(done);
      done += 1;
    }
  };
  await Promise.all(Array.from({ length: variant.concurrency }, caller));
  return (done * 1_000) / (performance.now() - started);
}

/** A table with each variant's ratio to the first one, the baseline. */
export function report(title: string, measured: readonly Measured[]): void {
  const baseline = measured[0]?.median ?? 1;
  console.log(`\n${title}`);
  console.table(
    Object.fromEntries(
      measured.map(({ name, concurrency, median, least, most }) => [
        name,
        {
          "in flight": concurrency,
          "per second": Math.round(median),
          least: Math.round(least),
          most: Math.round(most),
          "x baseline": Number((median / baseline).toFixed(3)),
        },
      ]),
    ),
  );
}
