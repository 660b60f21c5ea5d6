// Bare runs: what runs of ten steps write at the least, without a framework: each twelve rows (the start, the steps, the
// end) of one narrow table with one index, those of 256 runs in one statement.

import type pg from "pg";

const GROUP = 256;
const START = JSON.stringify({ id: "x123456", steps: 10 });
const END = "10";

/** @param result what each step gives, as JSON @returns how many runs were written, at least `count` */
export async function writeBareRuns(reader: pg.Client, count: number, result: string): Promise<number> {
  await reader.query(
    `CREATE TABLE IF NOT EXISTS bench_runs (run bigint, seq int, kind smallint NOT NULL, payload text,
       at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (run, seq))`,
  );
  const { rows } = await reader.query<{ runs: string }>("SELECT count(DISTINCT run) AS runs FROM bench_runs");
  const first = Number(rows[0]?.runs);
  const payloads = [START, ...Array.from({ length: 10 }, () => result), END];
  const groups = Math.ceil(count / GROUP);
  for (let group = 0; group < groups; group += 1)
    for (const [seq, payload] of payloads.entries())
      await reader.query(
        `INSERT INTO bench_runs (run, seq, kind, payload)
           SELECT run, $3, 1, $4 FROM generate_series($1::bigint, $2::bigint - 1) AS run`,
        [first + group * GROUP, first + (group + 1) * GROUP, seq, payload],
      );
  return groups * GROUP;
}
