// Compensations: what undoes an execution's work, in reverse order, once its code has failed.

import { beginningOf } from "../contract/beginning.ts";
import { encodeError } from "../contract/error-codec.ts";
import { encodePayload } from "../contract/payload.ts";
import type { FailedCompensation } from "../errors/workflow.ts";
import type { Execution } from "./execution.ts";

/** Characters. */
const MOST_OF_A_REASON = 2_000;

/** What the code failed with, after its compensations have run. */
export class FailedAndCompensated extends Error {
  readonly error: unknown;
  readonly failedCompensations: readonly FailedCompensation[];

  constructor(error: unknown, failedCompensations: readonly FailedCompensation[]) {
    super("The code failed, and was compensated", { cause: error });
    this.error = error;
    this.failedCompensations = failedCompensations;
  }
}

export class Compensations {
  readonly #execution: Execution;
  readonly #registered: { readonly name: string; readonly undo: () => unknown }[] = [];

  constructor(execution: Execution) {
    this.#execution = execution;
  }

  register(name: string, undo: () => unknown): void {
    this.#registered.push({ name, undo });
  }

  /**
   * Runs them, the last one first, each one's steps journaled like any other's. One that fails keeps none of the others
   * from running. Rejects with what the code failed with, always.
   */
  async run(error: unknown): Promise<never> {
    if (this.#registered.length === 0) throw error;
    await this.#execution.beginCompensation(error);
    const failed: FailedCompensation[] = [];
    // What they register themselves does not run: it would undo what they undid.
    for (const { name, undo } of this.#registered.toReversed()) {
      this.#execution.instant(name).note("compensate", name, encodePayload(null, name));
      try {
        await undo();
      } catch (failure) {
        failed.push({ name, reason: reasonOf(failure) });
      }
    }
    throw new FailedAndCompensated(error, failed);
  }
}

/** Also of what cannot be made a text: the others are to run. Not so long that the error would lose all of them. */
function reasonOf(failure: unknown): string {
  let reason: string;
  try {
    reason = String(failure instanceof Error ? failure.message : failure);
  } catch {
    reason = encodeError(failure, { exposeStacks: false }).message;
  }
  return beginningOf(reason, MOST_OF_A_REASON);
}
