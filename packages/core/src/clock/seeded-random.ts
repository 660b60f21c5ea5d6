import type { Random } from "../adapter/random.ts";
import { unitInterval } from "./system-random.ts";
import { UuidV7 } from "./uuid-v7.ts";

/**
 * Chance that a seed decides: the same seed gives the same numbers and ids on every machine. For simulations; predictable,
 * so never for secrets. Source: Blackman and Vigna 2018, xoshiro128** 1.1, whose state is filled by splitmix32.
 */
export class SeededRandom implements Random {
  readonly #seed: number;
  readonly #now: () => number;
  readonly #state: Uint32Array;
  readonly #ids = new UuidV7(() => this.uint32());

  /** @param now wall time for `id()`, so that ids of several streams sort by time of making. Default: it stands still */
  constructor(seed: number, now: () => number = () => 0) {
    // Both halves of a seed over 32 bits count.
    this.#seed = (seed ^ mix(Math.floor(seed / 0x100000000))) >>> 0;
    this.#now = now;
    this.#state = expand(this.#seed);
  }

  next(): number {
    return unitInterval(this.uint32(), this.uint32());
  }

  id(): string {
    return this.#ids.make(this.#now());
  }

  /**
   * A stream of its own for one part of a simulation. It depends on this stream's seed and on `label`, and not on what was
   * drawn before: a part that draws more leaves the others as they were.
   */
  fork(label: string): SeededRandom {
    let hash = mix(this.#seed);
    for (let at = 0; at < label.length; at += 1) hash = mix(hash ^ label.charCodeAt(at));
    return new SeededRandom(hash, this.#now);
  }

  /** A whole number of 32 bits, without sign. */
  uint32(): number {
    const state = this.#state;
    const [s0, s1, s2, s3] = state as unknown as [number, number, number, number];
    const result = Math.imul(rotate(Math.imul(s1, 5), 7), 9) >>> 0;
    const next2 = s2 ^ s0;
    const next3 = s3 ^ s1;
    state[1] = s1 ^ next2;
    state[0] = s0 ^ next3;
    state[2] = next2 ^ (s1 << 9);
    state[3] = rotate(next3, 11);
    return result;
  }
}

function rotate(word: number, by: number): number {
  return (word << by) | (word >>> (32 - by));
}

/** The finaliser of splitmix32 over one step of its sequence. */
function mix(word: number): number {
  let z = (word + 0x9e3779b9) | 0;
  z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
  return (z ^ (z >>> 15)) >>> 0;
}

function expand(seed: number): Uint32Array {
  const state = new Uint32Array(4);
  let word = seed >>> 0;
  for (let at = 0; at < 4; at += 1) {
    state[at] = mix(word);
    word = (word + 0x9e3779b9) >>> 0;
  }
  // The one state from which the generator never moves.
  if (state.every((part) => part === 0)) state[0] = 1;
  return state;
}
