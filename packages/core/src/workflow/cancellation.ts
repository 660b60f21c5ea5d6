// Cancellation: how an execution that is asked to end tells its code, and the steps that the code waits for.
//
//   C1  It reaches the code in its turn among the results (delivery-queue.ts), so a replay has it at the same place.
//   C2  What only waits (a sleep, a signal) rejects at once. Work (an activity, a call, a child) is asked to end, and what
//       it comes to is awaited: what it did is known to the code, which can undo it.
//   C3  The code hears of it once: from a step that rejects with it, or else from the next step that it asks for, which is
//       not done. What it asks for after that is done: it cleans up. A wait tells nobody where it was left behind, as by
//       Promise.race: so of waits beside work one counts that is as new as the last result, and an older one if the code
//       asks for something before it is given another result.
//   C4  Once the code is over, nothing reaches what is left of it: branches that nobody awaits do not go on beside the
//       compensations.

import { Abort } from "../contract/abort.ts";
import { removeFrom } from "../data/remove-from.ts";
import type { RecordedStep } from "./journal.ts";
import type { WorkflowCancelledError } from "../errors/workflow.ts";

/** What a step is to a cancellation: it only waits, it does something, or it is an execution of its own. */
export type StepRole = "wait" | "work" | "child";

/** A step that the code has asked for and was not given the result of. */
export class OpenStep {
  readonly step: Pick<RecordedStep, "position" | "kind" | "name">;
  readonly role: StepRole;
  readonly #reject: (error: Error) => void;
  readonly #cut = new Abort();
  /** Whether the code is not told any more what it came to (C4). */
  isSilenced = false;

  /** Whether something of it was done, and whether the journal knows. */
  hasBegun = false;
  isRecorded = false;

  constructor(
    step: Pick<RecordedStep, "position" | "kind" | "name">,
    role: StepRole,
    reject: (error: Error) => void,
  ) {
    this.step = step;
    this.role = role;
    this.#reject = reject;
  }

  /** How many results the code had been given when it asked for this. */
  givenBefore = 0;

  /** Whether it has no part in what happens after it was cut. */
  get isWait(): boolean {
    return this.role === "wait";
  }

  /** Why it is to end, or null. */
  get cutBy(): Error | null {
    return (this.#cut.reason as Error | undefined) ?? null;
  }

  /** Asks it to end. */
  cut(reason: Error): void {
    if (this.#cut.isAborted) return;
    if (this.isWait && !this.isSilenced) this.#reject(reason);
    this.#cut.abort(reason);
  }

  /** `callback` is told why when it is asked to end, at once if it was; unless it is forgotten. */
  whenCut(callback: (reason: unknown) => void): void {
    this.#cut.whenAborted(callback);
  }

  forget(callback: (reason: unknown) => void): void {
    this.#cut.forget(callback);
  }
}

export class Cancellation {
  /** In the order in which the code asked for them. Mostly one: see Abort. */
  #open: OpenStep[] = [];
  #error: WorkflowCancelledError | null = null;
  #isHeard = false;
  /** Whether waits have rejected with it beside work, and the code was given nothing since. */
  #mayBeHeard = false;
  #isTold = false;
  /** How many results the code was given. */
  #given = 0;
  #codeIsOver = false;
  readonly #abort = new Abort();
  readonly #whenWorkEnds: (() => void)[] = [];

  /** What the code was told, or null. */
  get error(): WorkflowCancelledError | null {
    return this.#error;
  }

  /** Aborted when the cancellation reaches the code. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get open(): readonly OpenStep[] {
    return this.#open;
  }

  opened(step: OpenStep): void {
    step.givenBefore = this.#given;
    this.#open.push(step);
  }

  /** The code has the step's result. @param error what it failed with, or null */
  closed(step: OpenStep, error: Error | null): void {
    removeFrom(this.#open, step);
    this.#given += 1;
    this.#mayBeHeard = false;
    if (this.#error !== null && error?.name === this.#error.name) this.#isHeard = this.#isTold = true;
    if (this.#whenWorkEnds.length > 0 && !this.#hasWork)
      for (const resolve of this.#whenWorkEnds.splice(0)) resolve();
  }

  deliver(error: WorkflowCancelledError): void {
    if (this.#codeIsOver || this.#error !== null) return;
    this.#error = error;
    const waits = this.#cutAll(error);
    const isHeard = this.#open.length === 0 || waits.some(({ givenBefore }) => givenBefore === this.#given);
    this.#isHeard = this.#isTold = waits.length > 0 && isHeard;
    this.#mayBeHeard = waits.length > 0 && !isHeard;
    this.#abort.abort(error);
  }

  /** The code asks for something, a step or a value. */
  asks(): void {
    if (this.#mayBeHeard) this.#isHeard = this.#isTold = true;
  }

  /** Whether the code had the time to know of it: what it asks for from now on cleans up. */
  get isTold(): boolean {
    return this.#isTold;
  }

  /** Whether the code was told, and need not be told again. */
  get isHeard(): boolean {
    return this.#error !== null && this.#isHeard;
  }

  /**
   * What the step that the code asks for now rejects with, or null: it is done (C3). Where it is recorded all the same, the code went
   * on in the version before, which took any wait for the code: it is not told half-way through its clean-up.
   */
  takeUnheard(): WorkflowCancelledError | null {
    if (this.#error === null || this.#isHeard || this.#codeIsOver) return null;
    this.#isHeard = true;
    // What is asked for in one go with this step followed from nothing that this one came to.
    void Promise.resolve().then(() => (this.#isTold = true));
    return this.#error;
  }

  /** The code is over: asks all that is open to end, and resolves when the work among it has (C4). */
  async windDown(reason: Error): Promise<void> {
    this.#codeIsOver = true;
    for (const step of this.#open) step.isSilenced = true;
    this.#cutAll(reason);
    if (this.#hasWork) await new Promise<void>((resolve) => this.#whenWorkEnds.push(resolve));
  }

  get #hasWork(): boolean {
    return this.#open.some(({ role }) => role === "work");
  }

  /** Returns those that only waited. */
  #cutAll(reason: Error): readonly OpenStep[] {
    const open = this.#open;
    this.#open = open.filter(({ isWait }) => !isWait);
    for (const step of open) step.cut(reason);
    return open.filter(({ isWait }) => isWait);
  }
}
