import { hash } from "node:crypto";

/**
 * Chance for workflow code: the same in every replay, other for each run of an execution. Number `n` is a hash of the seed and
 * `n`, so nothing need be recorded. A fork has its origin's seed, and draws what it does anew from a branch of its own.
 */
export class DeterministicRandom {
  readonly #seed: string;
  #count = 0;

  constructor(seed: string) {
    this.#seed = seed;
  }

  /** A number in [0, 1), of 48 bits. */
  next(branch: string = ""): number {
    return this.#bytes(branch).readUIntBE(0, 6) / 2 ** 48;
  }

  /** A UUID of version 8 (RFC 9562): its bits are the hash's. */
  uuid(branch: string = ""): string {
    const bytes = this.#bytes(branch);
    bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
    bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
    const hex = bytes.toString("hex", 0, 16);
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  }

  #bytes(branch: string): Buffer {
    this.#count += 1;
    const seed = branch === "" ? this.#seed : `${this.#seed}\n${branch}`;
    return hash("sha256", `${seed}\n${this.#count}`, "buffer");
  }
}
