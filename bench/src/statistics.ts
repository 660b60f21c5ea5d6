/** The value below which this part of the values lies, 0 to 1; NaN of none. The nearest rank, nothing interpolated. */
export function quantile(values: readonly number[] | Float64Array, part: number): number {
  const sorted = Float64Array.from(values).toSorted();
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? Number.NaN;
}

export function median(values: readonly number[] | Float64Array): number {
  return quantile(values, 0.5);
}

/** Rounds to so many significant digits, for tables. */
export function shown(value: number, digits = 3): number {
  return Number(value.toPrecision(digits));
}

/** The least and the most of some figures, for tables. */
export function spread(values: readonly number[]): string {
  return `${shown(Math.min(...values))} to ${shown(Math.max(...values))}`;
}
