import type { DatabaseSync } from "node:sqlite";

/** Counts effects of bookings that are not there, and those that are there more than once. */
export function audit(database: DatabaseSync, bookings: number): { lost: number; doubled: number } {
  const found = { lost: 0, doubled: 0 };
  // Each booking has one row in each, and each seat of a hall is one booking's.
  for (const [table, unique] of [
    ["payments", "booking"],
    ["seats", "booking"],
    ["seats", "hall || '/' || seat"],
    ["tickets", "booking"],
  ] as const) {
    const counts = database
      .prepare(`SELECT count(*) AS rows, count(DISTINCT ${unique}) AS different FROM ${table}`)
      .get() as { rows: number; different: number };
    found.lost += bookings - counts.different;
    found.doubled += counts.rows - counts.different;
  }
  return found;
}
