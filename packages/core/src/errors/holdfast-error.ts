import { noteCopy } from "./copies.ts";

// Of the whole process: another copy of the library knows its errors by it.
const BRAND = Symbol.for("@holdfast/core/error");

/** The base of every error that the library throws. Branch on `code` or `instanceof`; messages may improve. */
export abstract class HoldfastError extends Error {
  /** Stable, for programs: `"MAILBOX_FULL"`. Part of the semantic version. */
  abstract readonly code: string;
  /** Whether the same call may succeed later, and surely had no effect or is safe to repeat. */
  readonly retryable: boolean = false;

  static {
    Object.defineProperty(this.prototype, BRAND, { value: true });
    noteCopy(import.meta.url);
  }
}

/** Whether `error` came from this library, also from another copy of it in the same process. */
export function isHoldfastError(error: unknown): error is HoldfastError {
  return error instanceof Error && BRAND in error;
}
