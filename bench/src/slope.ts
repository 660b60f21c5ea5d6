export interface Point {
  readonly x: number;
  readonly y: number;
}

/** A slope, and between which two it is with 95 % confidence. NaN where too few points say anything. */
export interface Slope {
  readonly slope: number;
  readonly least: number;
  readonly most: number;
}

/** Of the standard normal distribution, two-sided. */
const Z_95 = 1.96;

/**
 * The median of the slopes between each two points: what single points that stick out do not move.
 *
 * Source: Sen 1968, "Estimates of the regression coefficient based on Kendall's tau", sections 3 and 5.
 *
 * @param points each with an x of its own
 */
export function slopeOf(points: readonly Point[]): Slope {
  const slopes = Float64Array.from(
    points.flatMap((from, index) => points.slice(index + 1).map((to) => (to.y - from.y) / (to.x - from.x))),
  ).toSorted();
  const n = points.length;
  // By how many of the slopes chance moves the rank of the true one, if the points were in any order.
  const span = Z_95 * Math.sqrt((n * (n - 1) * (2 * n + 5)) / 18);
  const at = (rank: number): number => slopes[rank] ?? Number.NaN;
  const middle = slopes.length >> 1;
  return {
    slope: slopes.length % 2 === 1 ? at(middle) : (at(middle - 1) + at(middle)) / 2,
    least: at(Math.floor((slopes.length - span) / 2) - 1),
    most: at(Math.ceil((slopes.length + span) / 2)),
  };
}
