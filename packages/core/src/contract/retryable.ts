import { isHoldfastError } from "../errors/holdfast-error.ts";
import { FencedError, PersistenceError } from "../errors/storage.ts";
import { isAnswer } from "./answers.ts";

/** Whether an error thrown by a handler asks for another attempt instead of being the reply. */
export function isRetryable(thrown: unknown): boolean {
  try {
    // Another handler's answer is final there, and says nothing of this one's storage.
    if (isAnswer(thrown)) return false;
    if (thrown instanceof PersistenceError || thrown instanceof FencedError) return true;
    return (
      thrown instanceof Error &&
      !isHoldfastError(thrown) &&
      "retryable" in thrown &&
      thrown.retryable === true
    );
  } catch {
    // A getter of the user's that throws asks for nothing.
    return false;
  }
}
