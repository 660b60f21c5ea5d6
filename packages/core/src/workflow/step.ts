// Step: what the work of one step knows of itself and of its execution.

import type { Clock } from "../adapter/clock.ts";
import type { Random } from "../adapter/random.ts";
import type { Abort } from "../contract/abort.ts";
import type { ErrorClass } from "../contract/rpc.ts";
import type { StorageTransaction } from "../contract/transaction.ts";
import type { EncodedError } from "../data/encoded-error.ts";
import type { Fence } from "../data/epoch.ts";
import type { JournalEvent, StepKind } from "../data/journal-entry.ts";
import type { TransactionUnavailableError } from "../errors/storage.ts";
import type { OpenStep, StepRole } from "./cancellation.ts";
import type { Outcome, RecordedStep } from "./journal.ts";

/**
 * Records a step's outcome and hands it to the code. Undefined: there is nothing to wait for. With a transaction it resolves
 * when that has committed, or to the error of one that cannot, which makes a failed attempt of it. Rejects where storage does.
 */
export type Settle = (
  event: Outcome,
  transaction: StorageTransaction | null,
) => Promise<TransactionUnavailableError | undefined> | undefined;

/** A step that the code asked for, and whose outcome is not recorded. */
export interface Step {
  readonly position: number;
  /** What its keys are told apart by from those of other steps. */
  readonly place: string;
  readonly kind: StepKind;
  readonly name: string;
  /** What is recorded of it: that it began, attempts that failed. */
  readonly recorded: RecordedStep | undefined;
  /** Whether this copy of the execution was the first to ask for it: no other can have begun it. */
  readonly isFresh: boolean;
  /** Asks it to end when the execution is cancelled. */
  readonly open: OpenStep;
  readonly settle: Settle;
}

/** What the code asks for. */
export interface StepRequest {
  readonly kind: StepKind;
  readonly name: string;
  readonly role: StepRole;
  /** What it is given, for steps that have keys. */
  readonly content?: (() => unknown) | undefined;
  /** The classes that who is called lists in its own `errors`. */
  readonly errors?: readonly ErrorClass[] | undefined;
}

/** Does a step: settles it, or waits for ever where its execution ends first. Rejects where storage does. */
export type Perform = (step: Step) => Promise<void>;

/** What a wait came to. */
export type WaitOutcome<Message> =
  | { readonly type: "due" }
  /** It was asked to end. */
  | { readonly type: "cut"; readonly reason: Error }
  | { readonly type: "came"; readonly message: Message };

/** What a step's work sees of its execution. */
export interface StepScope {
  readonly clock: Clock;
  readonly random: Random;
  readonly executionId: string;
  readonly exposeStacks: boolean;
  readonly maxPayloadBytes: number;
  readonly fence: Fence;
  readonly beginTransaction: (() => StorageTransaction) | undefined;
  /** Aborted when the execution is over or has to leave. */
  readonly stopped: Abort;
  isStopped(): boolean;
  /** Tells the log what is repeated, and why. */
  warn(message: string, error: Error): void;
  /** Ends this copy of the execution: storage refused, or failed. */
  readonly stop: (error: unknown) => void;
  /** Resolves when a side effect may start, undefined if at once; never once the execution is over or has to leave. */
  readonly ready: () => Promise<void> | undefined;
  /** Waits for a wall time, or until the step is cut. The execution may leave memory meanwhile. */
  until(at: number, open: OpenStep): Promise<WaitOutcome<never>>;
  /**
   * Waits for what comes from outside, for a wall time if one is given, or until the step is cut. The execution may leave
   * memory meanwhile: what comes then wakes it.
   *
   * @param listen is given what to call with what came, which says whether it was taken; returns what ends the wait
   */
  message<Message>(
    dueAt: number | null,
    open: OpenStep,
    listen: (take: (message: Message) => boolean) => () => void,
  ): Promise<WaitOutcome<Message>>;
  /** Does what another copy joins when it is done again: it need not end before the execution leaves. */
  joinably<Result>(work: () => Promise<Result>): Promise<Result>;
  record(step: Step, event: JournalEvent): void;
  /** The outcome of a step that came to this value. @throws {SerializationError} @throws {PayloadTooLargeError} */
  completed(value: unknown, name: string): Outcome;
  failed(error: unknown): Outcome & { readonly type: "failed" };
  /** An error as it is recorded: no larger than a payload may be. */
  encoded(error: unknown): EncodedError;
  /** Names the step at a place (places.ts) for others: the same however often it is repeated. */
  keyOf(place: string): string;
  /** The place at which a call is made: another one where it was answered with an error, and the execution was resumed. */
  callPlaceOf(place: string): string;
}
