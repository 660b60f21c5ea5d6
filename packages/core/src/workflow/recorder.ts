// Recorder: writes down what an execution does, and hands out results in the order in which they are written down.
//
//   W1  A result gets its place among the others when it is recorded, live and in replay alike (delivery-queue.ts).
//   W2  Nothing is handed out that could not be recorded.

import { rollBack, type StorageTransaction } from "../contract/transaction.ts";
import type { JournalEntry, StepKind } from "../data/journal-entry.ts";
import { TransactionUnavailableError } from "../errors/storage.ts";
import type { DeliveryQueue } from "./delivery-queue.ts";
import type { Journal, Outcome } from "./journal.ts";
import type { Progress } from "./progress.ts";
import type { RecordedRun } from "./recorded-run.ts";
import type { Settle } from "./step.ts";
import { signalTakenBy } from "./taken-signal.ts";

/** Steps whose result is there as soon as they are asked for: they wait for no place. */
export const INSTANT: ReadonlySet<StepKind> = new Set([
  "value",
  "state",
  "attributes",
  "patch",
  "compensate",
  "continue",
]);

type EntryOfOutcome = Omit<JournalEntry, "ordinal"> & { readonly event: Outcome };
type Hand = (event: Outcome) => void;

/** The ordinals of the results that a journal holds, rising. */
export function recordedOrdinals(journal: Journal, run: RecordedRun): readonly number[] {
  const ordinals = run.cancellation === null ? [] : [run.cancellation.ordinal];
  for (const { kind, outcome } of journal.steps)
    if (outcome !== null && !INSTANT.has(kind)) ordinals.push(outcome.ordinal);
  return ordinals.toSorted((a, b) => a - b);
}

export class Recorder {
  readonly #journal: Journal;
  readonly #queue: DeliveryQueue;
  readonly #progress: Readonly<Progress>;
  /** Signals of the inbox that this run or an earlier one was given: when this copy began, and since. */
  readonly #consumedBefore: Iterable<string>;
  readonly #consumed: string[] = [];

  constructor(journal: Journal, queue: DeliveryQueue, run: RecordedRun, progress: Readonly<Progress>) {
    this.#journal = journal;
    this.#queue = queue;
    this.#consumedBefore = run.consumed;
    this.#progress = progress;
  }

  get consumed(): readonly string[] {
    return [...this.#consumedBefore, ...this.#consumed];
  }

  /** Writes an entry down, without waiting for it. */
  append(entry: Omit<JournalEntry, "ordinal">): number {
    const ordinal = this.#journal.takeOrdinal();
    this.#journal.append({ ...entry, ordinal });
    this.#noteSignal(entry);
    return ordinal;
  }

  /** Writes down what reaches the code in its turn, by `hand`. */
  deliver(entry: Omit<JournalEntry, "ordinal">, hand: () => void): void {
    const ordinal = this.append(entry);
    this.#queue.announce(ordinal);
    this.#queue.deliver(ordinal, hand);
  }

  /** Writes down a step's outcome, in `transaction` if it has one, and hands it out in its turn. */
  settle(outcome: EntryOfOutcome, transaction: StorageTransaction | null, hand: Hand): ReturnType<Settle> {
    if (transaction !== null) return this.#commit(outcome, transaction, hand);
    if (!this.#progress.isOver) this.deliver(outcome, () => hand(outcome.event));
    return undefined;
  }

  async #commit(
    outcome: EntryOfOutcome,
    transaction: StorageTransaction,
    hand: Hand,
  ): Promise<TransactionUnavailableError | undefined> {
    if (this.#progress.isOver) {
      await rollBack(transaction);
      return undefined;
    }
    const { event } = outcome;
    const entry = { ...outcome, ordinal: this.#journal.takeOrdinal() };
    this.#queue.announce(entry.ordinal);
    try {
      await this.#journal.commit(entry, transaction);
    } catch (error) {
      if (!(error instanceof TransactionUnavailableError)) throw error;
      this.#queue.giveUp(entry.ordinal);
      return error;
    }
    this.#queue.deliver(entry.ordinal, () => hand(event));
    return undefined;
  }

  #noteSignal({ kind, event }: Pick<JournalEntry, "kind" | "event">): void {
    const requestId = kind === "signal" ? signalTakenBy(event) : null;
    if (requestId !== null) this.#consumed.push(requestId);
  }
}
