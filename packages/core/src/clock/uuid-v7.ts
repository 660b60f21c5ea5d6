/**
 * Makes ids of 32 hexadecimal digits laid out as UUIDv7: 48 bits of wall time in milliseconds, the version, a counter of
 * 12 bits, the variant, and 62 bits of chance. Ids of one generator sort in the order in which they were made, also
 * within a millisecond and when the wall time went back: then the last time is used again. They are unique, not secret:
 * those of one millisecond differ in the counter alone.
 * Source: RFC 9562, section 6.2, method 1.
 */
export class UuidV7 {
  /** A whole number of 32 bits, without sign. */
  readonly #uint32: () => number;
  #time = 0;
  #counter = 0xfff;
  #timeDigits = "";
  /** The variant and the chance of the millisecond. */
  #chanceDigits = "";

  constructor(uint32: () => number) {
    this.#uint32 = uint32;
  }

  make(now: number): string {
    if (now > this.#time) {
      this.#setTime(now);
      // A start in the lower half leaves room to count up.
      this.#counter = this.#uint32() & 0x7ff;
    } else if (this.#counter === 0xfff) {
      this.#setTime(this.#time + 1);
      this.#counter = 0;
    } else {
      this.#counter += 1;
    }
    return this.#timeDigits + (0x7000 | this.#counter).toString(16) + this.#chanceDigits;
  }

  #setTime(time: number): void {
    this.#time = Math.floor(time);
    this.#timeDigits = this.#time.toString(16).padStart(12, "0");
    const high = ((this.#uint32() & 0x3fffffff) | 0x80000000) >>> 0;
    this.#chanceDigits = high.toString(16) + this.#uint32().toString(16).padStart(8, "0");
  }
}
