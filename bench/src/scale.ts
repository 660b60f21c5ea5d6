// Scale: where a value is on an axis, and where the axis has its marks.

export interface Scale {
  readonly kind: "linear" | "log";
  /** Where the axis begins and ends. */
  readonly from: number;
  readonly to: number;
  readonly ticks: readonly number[];
  /** 0 at the beginning of the axis, 1 at its end; what lies outside is put there. */
  at(value: number): number;
}

/** Values further apart than this are seen on a logarithmic axis only. */
const FAR_APART = 30;
const MARKS = 5;

/** An axis that has all the values. Those of a logarithmic one are above 0. */
export function scaleOf(values: readonly number[]): Scale {
  const positive = values.filter((value) => Number.isFinite(value) && value > 0);
  if (positive.length === 0) return linear(1);
  const [least, most] = [Math.min(...positive), Math.max(...positive)];
  return most / least > FAR_APART ? log(least, most) : linear(most);
}

/** Begins at 0: a bar's length is its value. */
function linear(most: number): Scale {
  const step = roundStep(most / MARKS);
  const count = Math.ceil(most / step - 1e-9);
  const to = count * step;
  const ticks = Array.from({ length: count + 1 }, (_, index) => Number((index * step).toPrecision(12)));
  return { kind: "linear", from: 0, to, ticks, at: (value) => within(value / to) };
}

/** Begins at a power of ten below the least, so that its bar has some length. */
function log(least: number, most: number): Scale {
  const first = Math.floor(Math.log10(least) - 0.1);
  const last = Math.ceil(Math.log10(most));
  const ticks = Array.from({ length: last - first + 1 }, (_, index) =>
    Number((10 ** (first + index)).toPrecision(1)),
  );
  return {
    kind: "log",
    from: 10 ** first,
    to: 10 ** last,
    ticks,
    at: (value) => (value <= 0 ? 0 : within((Math.log10(value) - first) / (last - first))),
  };
}

/** The next of 1, 2, 5, 10, 20, ... */
function roundStep(step: number): number {
  const power = 10 ** Math.floor(Math.log10(step));
  return ([1, 2, 5].find((digit) => digit * power >= step) ?? 10) * power;
}

function within(part: number): number {
  return Math.min(1, Math.max(0, part));
}
