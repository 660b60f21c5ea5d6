import type { Result } from "./world.ts";

const COLUMNS: readonly { readonly title: string; readonly of: (result: Result) => string }[] = [
  { title: "scenario", of: ({ scenario }) => scenario },
  { title: "sent", of: ({ sent }) => String(sent) },
  { title: "answered", of: ({ answered }) => String(answered) },
  { title: "failed", of: ({ failed }) => String(failed) },
  { title: "of them persisted", of: ({ failedPersisted }) => String(failedPersisted) },
  { title: "lost", of: ({ lost }) => String(lost) },
  { title: "doubled", of: ({ doubled }) => String(doubled) },
  { title: "no owner, s", of: ({ longestGapMs }) => (longestGapMs / 1_000).toFixed(2) },
  { title: "slowest answer, s", of: ({ slowestMs }) => (slowestMs / 1_000).toFixed(2) },
  { title: "violations", of: ({ violations }) => String(violations.length) },
];

/** The results as a table for people: a line for each. */
export function tableOf(results: readonly Result[]): string {
  const rows = [
    COLUMNS.map(({ title }) => title),
    ...results.map((result) => COLUMNS.map(({ of }) => of(result))),
  ];
  const widths = COLUMNS.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join("  ");
  return rows.map(line).join("\n");
}
