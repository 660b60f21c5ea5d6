/** Something that is to happen so many times. */
export interface Countdown {
  /** Resolves once all have happened. */
  readonly all: Promise<void>;
  /** @param times how many more happened, 1 by default */
  count(times?: number): void;
}

export function countdown(from: number): Countdown {
  const { promise, resolve } = Promise.withResolvers<void>();
  let left = from;
  return {
    all: promise,
    count(times = 1) {
      left -= times;
      if (left <= 0) resolve();
    },
  };
}
