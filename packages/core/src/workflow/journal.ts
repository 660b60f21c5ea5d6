// Journal: what is recorded of one execution, by step, and the way to record more.
//
//   J1  Ordinals rise; one is given when its entry is about to be written, and never given again.
//   J2  `durable()` resolves when everything appended before is. A side effect waits for it; pure code does not.
//   J3  A write that failed, whatever its outcome, ends this copy of the execution: the next one reads what is there.
//   J4  What is appended becomes durable in order, without gaps: one write is under way, and what comes meanwhile goes
//       in the next, or in those that follow where it is very much. So whatever an entry followed from is there if the entry is.
//   J5  Who reads the journal for the next copy waits for `settled()` of this one: what was still under way then would be
//       missed, done again, and recorded twice.
//   J6  A write of which nobody knows whether it happened may still happen, as late as after the next copy has read. So that one
//       first writes what settles it: the same once more, or, where a transaction would have to happen once more, that its step
//       had begun: a transaction whose ordinal is taken is refused. Where entries are forgotten (continueAsNew, resume()), the
//       ordinals of such writes are taken once more; who reads leaves out what came before that (recorded-run.ts). Those of
//       transactions stay taken: that one is left out would undo none of its effects.
//   J7  The end of an execution goes to storage behind what was appended before it, and waits until the state and the attributes
//       are durable, which are asked for after it. A failed one can be resumed by what is there, so it waits for everything. The
//       last results of a completed one go beside its end. What storage fails to take meanwhile is written once more.

import type { ExecutionKey, WorkflowStorage } from "../adapter/workflow-storage.ts";
import type { StorageTransaction } from "../contract/transaction.ts";
import type { Fence } from "../data/epoch.ts";
import type { EncodedError } from "../data/encoded-error.ts";
import type { JournalEntry, JournalEvent, StepKind } from "../data/journal-entry.ts";
import { PersistenceError } from "../errors/storage.ts";
import { firstPartOf } from "./journal-parts.ts";

/** What is recorded of one step. */
export interface RecordedStep {
  readonly position: number;
  readonly kind: StepKind;
  readonly name: string;
  readonly dueAt: number | null;
  /** What it noted when it began. */
  readonly detail: string | null;
  /** Attempts that failed, in order. */
  readonly failures: readonly {
    readonly attempt: number;
    readonly error: EncodedError;
    readonly retryAt: number;
    readonly lastHeartbeat?: string;
  }[];
  readonly outcome: { readonly ordinal: number; readonly event: Outcome } | null;
}

export type Outcome = Extract<JournalEvent, { type: "completed" | "failed" }>;

export interface JournalOptions {
  readonly storage: Pick<WorkflowStorage, "appendJournal">;
  readonly execution: ExecutionKey;
  readonly fence: Fence;
  /** Those of this run of the code. */
  readonly entries: readonly JournalEntry[];
  /** Higher than all that is recorded. */
  readonly nextOrdinal: number;
  /** Everything appended so far is durable. */
  readonly written: () => void;
  /** A write failed (J3). */
  readonly failed: (error: unknown) => void;
  /** A write may still happen, until these are there (J6). Called before `settled()` resolves. */
  readonly unsettled: (entries: readonly JournalEntry[]) => void;
}

export class Journal {
  readonly #options: JournalOptions;
  readonly #steps: ReadonlyMap<number, RecordedStep>;
  #nextOrdinal: number;
  #hasGrown = false;
  #waiting: JournalEntry[] | null = null;
  #writing: Promise<void> | null = null;
  /** What the write under way, or the last one, is of. */
  #sent: readonly JournalEntry[] = NOTHING;
  /** What the write that failed rejected with. */
  #failure: unknown = null;
  #unwritten: readonly JournalEntry[] = NOTHING;
  /** Transactions that are committing. */
  #committing: Promise<void>[] = [];

  constructor(options: JournalOptions) {
    this.#options = options;
    this.#steps = stepsOf(options.entries);
    this.#nextOrdinal = options.nextOrdinal;
  }

  /** What was recorded before this copy of the execution began. */
  step(position: number): RecordedStep | undefined {
    return this.#steps.get(position);
  }

  get steps(): Iterable<RecordedStep> {
    return this.#steps.values();
  }

  /** Resolves when the write under way has ended, also when it failed; null: none is. */
  get writing(): Promise<void> | null {
    return this.#writing;
  }

  /** Whether storage has taken something. */
  get hasGrown(): boolean {
    return this.#hasGrown;
  }

  /** What was appended and storage failed to take (J7). */
  get unwritten(): readonly JournalEntry[] {
    return this.#unwritten;
  }

  takeOrdinal(): number {
    const ordinal = this.#nextOrdinal;
    this.#nextOrdinal += 1;
    return ordinal;
  }

  /** Records without waiting. The journal's owner is told if it fails. */
  append(entry: JournalEntry): void {
    if (this.#waiting === null) this.#waiting = [entry];
    else this.#waiting.push(entry);
    if (this.#writing === null) this.#write(this.#waiting);
  }

  /** Records in the transaction, which then commits. Rejects with what storage rejected with. */
  async commit(entry: JournalEntry, transaction: StorageTransaction): Promise<void> {
    const { storage, execution, fence } = this.#options;
    const committed = storage.appendJournal(execution, [entry], fence, transaction);
    this.#committing.push(committed);
    try {
      await committed;
      this.#hasGrown = true;
    } catch (error) {
      if (isUnknown(error)) this.#options.unsettled([{ ...entry, event: BEGUN }]);
      throw error;
    } finally {
      this.#committing = this.#committing.filter((other) => other !== committed);
    }
  }

  /** Resolves also when a write failed: who waits then finds the execution stopped. */
  async durable(): Promise<void> {
    while (this.#writing !== null) await this.#writing;
  }

  /** Resolves when no write is under way, whatever came of it (J5). */
  async settled(): Promise<void> {
    while (this.#writing !== null || this.#committing.length > 0)
      await (this.#committing.length === 0
        ? this.#writing
        : Promise.allSettled([this.#writing, ...this.#committing]));
  }

  /** Resolves when the end may be recorded (J7): with null, or with the error of a write that failed. */
  async endable(): Promise<unknown> {
    while (this.#waiting !== null || (this.#writing !== null && this.#sent.some(isReadAfterEnd)))
      await this.#writing;
    return this.#failure;
  }

  get isSettled(): boolean {
    return this.#writing === null && this.#committing.length === 0;
  }

  /**
   * Starts a write in the turn of its append, so that storage can group it with those of others. No loop that awaits: each
   * execution under way would keep one in memory.
   */
  #write(waiting: readonly JournalEntry[]): void {
    const { storage, execution, fence } = this.#options;
    const entries = firstPartOf(waiting);
    this.#waiting = entries.length === waiting.length ? null : waiting.slice(entries.length);
    this.#sent = entries;
    try {
      this.#writing = storage
        .appendJournal(execution, entries, fence, null)
        .then(this.#hasWritten, this.#hasFailed);
    } catch (error) {
      this.#hasFailed(error);
    }
  }

  readonly #hasWritten = (): void => {
    this.#hasGrown = true;
    if (this.#waiting !== null) return this.#write(this.#waiting);
    this.#writing = null;
    this.#options.written();
  };

  readonly #hasFailed = (error: unknown): void => {
    if (error instanceof PersistenceError) this.#unwritten = [...this.#sent, ...(this.#waiting ?? NOTHING)];
    // What was appended after it must not be there without it (J4).
    this.#waiting = null;
    this.#writing = null;
    this.#failure = error;
    if (isUnknown(error)) this.#options.unsettled(this.#sent);
    this.#options.failed(error);
    this.#options.written();
  };
}

const NOTHING: readonly JournalEntry[] = [];
/** That a step had begun, and no more. */
export const BEGUN: JournalEvent = { type: "begun", dueAt: null, detail: null };

function isReadAfterEnd({ kind }: JournalEntry): boolean {
  return kind === "state" || kind === "attributes";
}

function isUnknown(error: unknown): boolean {
  return error instanceof PersistenceError && error.outcome === "unknown";
}

/** Of all that begin: an execution in memory is the less the fewer tables it has. */
const NO_STEPS: ReadonlyMap<number, RecordedStep> = new Map();

/** What the entries of one run say of each step, by position. */
export function stepsOf(entries: readonly JournalEntry[]): ReadonlyMap<number, RecordedStep> {
  if (entries.length === 0) return NO_STEPS;
  // A list that grows: a copy for each attempt would stop the process for a step that polls, and fails thousands of times.
  const steps = new Map<number, RecordedStep & { readonly failures: RecordedStep["failures"][number][] }>();
  for (const { ordinal, position, kind, name, event } of entries) {
    if (position < 0) continue;
    const step = steps.get(position) ?? {
      position,
      kind,
      name,
      dueAt: null,
      detail: null,
      failures: [],
      outcome: null,
    };
    switch (event.type) {
      case "begun":
        steps.set(position, { ...step, dueAt: event.dueAt, detail: event.detail });
        break;
      case "attempt-failed":
        step.failures.push(event);
        steps.set(position, step);
        break;
      case "completed":
      case "failed":
        // The first one counts: a later one can only be a repeated write.
        steps.set(position, { ...step, outcome: step.outcome ?? { ordinal, event } });
        break;
    }
  }
  return steps;
}
