/** The base of every error that the library throws. Branch on `code` or `instanceof`; messages may improve. */
export abstract class HoldfastError extends Error {
  /** Stable, for programs: `"MAILBOX_FULL"`. Part of the semantic version. */
  abstract readonly code: string;
  /** Whether the same call may succeed later, and surely had no effect or is safe to repeat. */
  readonly retryable: boolean = false;
}

/** Whether `error` came from this library, also from another copy of it in the same process. */
export function isHoldfastError(error: unknown): error is HoldfastError {
  if (error instanceof HoldfastError) return true;
  return error instanceof Error && "code" in error && "retryable" in error && typeof error.code === "string";
}
