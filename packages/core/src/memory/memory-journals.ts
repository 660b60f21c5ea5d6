// MemoryJournals: the data of a memory storage's journals, and what they say that executions are found by.
//
// A fence is checked and the entries written without an `await` between, as in memory-messages.ts.
//
//   J1  A journal is in the order of its ordinals, each there once.
//   J2  Attributes are those of all entries that were ever appended, in the order of that: forgetting entries leaves them.

import type { ExecutionKey } from "../adapter/workflow-storage.ts";
import type { Fence } from "../data/epoch.ts";
import type { AttributeValue } from "../data/execution-record.ts";
import type { JournalEntry } from "../data/journal-entry.ts";
import type { MemoryEpochs } from "./memory-epochs.ts";

/** The data of a memory storage's journals, shared by its sessions. */
export class MemoryJournals {
  readonly #epochs: MemoryEpochs;
  readonly #journals = new Map<string, JournalEntry[]>();
  readonly #attributes = new Map<string, Map<string, AttributeValue>>();

  constructor(epochs: MemoryEpochs) {
    this.#epochs = epochs;
  }

  append(execution: ExecutionKey, entries: readonly JournalEntry[], fence: Fence): void {
    this.#epochs.check(fence);
    this.add(execution, entries);
  }

  /** Appends under no fence, for who has made sure of what that would. */
  add(execution: ExecutionKey, entries: readonly JournalEntry[]): void {
    if (entries.length === 0) return;
    const key = keyOf(execution);
    let journal = this.#journals.get(key);
    if (journal === undefined) this.#journals.set(key, (journal = []));
    for (const entry of entries) {
      const { kind, event } = entry;
      if (insert(journal, entry) && kind === "attributes" && event.type === "completed")
        this.#setAttributes(key, JSON.parse(event.value) as Record<string, AttributeValue | null>);
    }
  }

  read(execution: ExecutionKey): readonly JournalEntry[] {
    return this.#journals.get(keyOf(execution))?.slice() ?? [];
  }

  attributesOf(execution: ExecutionKey): ReadonlyMap<string, AttributeValue> {
    return this.#attributes.get(keyOf(execution)) ?? new Map();
  }

  /** Keeps only the entries of which this is true. */
  retain(execution: ExecutionKey, isKept: (entry: JournalEntry) => boolean): void {
    const key = keyOf(execution);
    const journal = this.#journals.get(key);
    if (journal !== undefined) this.#journals.set(key, journal.filter(isKept));
  }

  /** Forgets the journal and the attributes of an execution. */
  forget(execution: ExecutionKey): void {
    const key = keyOf(execution);
    this.#journals.delete(key);
    this.#attributes.delete(key);
  }

  #setAttributes(key: string, changes: Readonly<Record<string, AttributeValue | null>>): void {
    let attributes = this.#attributes.get(key);
    if (attributes === undefined) this.#attributes.set(key, (attributes = new Map()));
    for (const [name, value] of Object.entries(changes)) {
      if (value === null) attributes.delete(name);
      else attributes.set(name, value);
    }
  }
}

/** Entity types are checked names without `/`. */
function keyOf(execution: ExecutionKey): string {
  return `${execution.entityType}/${execution.executionId}`;
}

/** Returns whether it was not there. */
function insert(journal: JournalEntry[], entry: JournalEntry): boolean {
  // Nearly always the last one: found in one step from the end.
  let at = journal.length;
  while (at > 0 && (journal[at - 1] as JournalEntry).ordinal > entry.ordinal) at -= 1;
  if (at > 0 && journal[at - 1]?.ordinal === entry.ordinal) return false;
  journal.splice(at, 0, entry);
  return true;
}
