import type { EncodedError } from "./encoded-error.ts";
import type { Envelope } from "./envelope.ts";

/** A persisted request that failed its last attempt, kept for a person to requeue or drop. */
export interface DeadLetter {
  readonly envelope: Envelope;
  readonly attempts: number;
  readonly error: EncodedError;
  /** Wall time, in milliseconds since 1970. */
  readonly deadSince: number;
}
