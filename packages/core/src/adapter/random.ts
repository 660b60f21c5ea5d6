/** All that the core knows of chance. A simulation gives a seeded one. */
export interface Random {
  /** A number in [0, 1). */
  next(): number;
  /** An id that no other call anywhere gives: 32 hexadecimal digits that sort by time of making, as UUIDv7 does. */
  id(): string;
}
