import { HoldfastError } from "@holdfast/core/adapter";

/** Something that must hold does not. Thrown by checkers; a scenario may throw any other error just as well. */
export class Violation extends HoldfastError {
  override readonly name = "Violation";
  readonly code = "VIOLATION";
  /** Which rule: `exactly once`, `order`, ... What is made smaller must break the same one. */
  readonly invariant: string;

  constructor(invariant: string, what: string) {
    super(`${invariant}: ${what}`);
    this.invariant = invariant;
  }
}

/** Which rule an error of a run says that was broken. */
export function invariantOf(error: unknown): string {
  if (error instanceof Violation) return error.invariant;
  return error instanceof Error
    ? `${error.name}: ${error.message.slice(0, 60)}`
    : "something that is no Error";
}
