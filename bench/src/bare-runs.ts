// Bare runs: what runs of ten steps write at the least, without a framework: each twelve rows (the start, the steps, the
// end) of one narrow table with one index, in groups: one statement writes the same row of 256 runs.

import type pg from "pg";

const GROUP = 256;
const START = JSON.stringify({ id: "x123456", steps: 10 });
const END = "10";

/** Writes at least `count` runs whose steps give `result`, as JSON, and resolves to how many it wrote. */
export type WriteRuns = (count: number, result: string) => Promise<number>;

/** Makes their table. */
export async function bareRuns(client: pg.Client): Promise<WriteRuns> {
  await client.query(
    `CREATE TABLE bench_runs (run bigint, seq int, kind smallint NOT NULL, payload text,
       at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (run, seq))`,
  );
  let runs = 0;
  return async (count, result) => {
    const first = runs;
    const payloads = [START, ...Array.from({ length: 10 }, () => result), END];
    for (; runs < first + count; runs += GROUP)
      for (const [seq, payload] of payloads.entries())
        await client.query(
          `INSERT INTO bench_runs (run, seq, kind, payload)
             SELECT run, $3, 1, $4 FROM generate_series($1::bigint, $2::bigint - 1) AS run`,
          [runs, runs + GROUP, seq, payload],
        );
    return runs - first;
  };
}
