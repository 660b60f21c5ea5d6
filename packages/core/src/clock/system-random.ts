import { randomFillSync } from "node:crypto";
import type { Random } from "../adapter/random.ts";
import { UuidV7 } from "./uuid-v7.ts";

/** How many words are drawn from the system at a time: one call for each would cost more than all the rest. */
const POOL_WORDS = 1024;

/** Chance from the operating system's cryptographic source. Ids of one instance rise. */
export class SystemRandom implements Random {
  readonly #pool = new Uint32Array(POOL_WORDS);
  #used = POOL_WORDS;
  readonly #ids = new UuidV7(() => this.#uint32());

  next(): number {
    return unitInterval(this.#uint32(), this.#uint32());
  }

  id(): string {
    return this.#ids.make(Date.now());
  }

  #uint32(): number {
    if (this.#used === POOL_WORDS) {
      randomFillSync(this.#pool);
      this.#used = 0;
    }
    return this.#pool[this.#used++] as number;
  }
}

/** 53 of the bits of two words as a number in [0, 1). */
export function unitInterval(high: number, low: number): number {
  return ((high >>> 5) * 0x4000000 + (low >>> 6)) / 0x20000000000000;
}
