// JournalQueue: sends the appends to one journal one after the other.
//
// While one is under way, those that are called join into the next one, which is one script as well: a burst of appends
// costs two round trips, not one for each. Keeps nothing, and knows neither scripts nor Redis.
//
//   J1  Appends to one journal are sent in the order of calls, the next one when the one before is answered.
//   J2  After one failed, none passes that was called before the failure was told: a journal has no gap.
//   J3  Only appends under one fence are joined. They pass together or not at all.

import { PersistenceError, type Fence } from "@holdfast/core/adapter";

/** Appends entries, each as the arguments of the script that writes it. */
export type Append = (entries: readonly (readonly string[])[], fence: Fence) => Promise<void>;

interface Waiting {
  readonly entries: readonly (readonly string[])[];
  readonly fence: Fence;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** What a joined append may carry, in characters; one alone may carry more. */
const MAX_SIZE = 4 * 1024 * 1024;

export class JournalQueue {
  /** Journals with an append under way, and what waits for its end. */
  readonly #journals = new Map<string, Waiting[]>();

  /** @param append sends to the journal of that name, and is called for one at a time */
  append(
    journal: string,
    entries: readonly (readonly string[])[],
    fence: Fence,
    append: Append,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const call = { entries, fence, resolve, reject };
      const waiting = this.#journals.get(journal);
      if (waiting === undefined) {
        this.#journals.set(journal, []);
        void this.#send(journal, [call], append);
      } else {
        waiting.push(call);
      }
    });
  }

  /** Never rejects. */
  async #send(journal: string, first: readonly Waiting[], append: Append): Promise<void> {
    let group = first;
    for (;;) {
      try {
        const entries = group.flatMap((call) => call.entries);
        await append(entries, (group[0] as Waiting).fence);
        for (const { resolve } of group) resolve();
      } catch (error) {
        for (const { reject } of group) reject(error);
        for (const { reject } of this.#journals.get(journal)?.splice(0) ?? []) reject(notSent(error));
      }
      group = take(this.#journals.get(journal) ?? []);
      if (group.length > 0) continue;
      this.#journals.delete(journal);
      return;
    }
  }
}

/** Takes out what goes together: the first of what waits, and what follows under the same fence. */
function take(waiting: Waiting[]): Waiting[] {
  let size = 0;
  const end = waiting.findIndex(({ fence, entries }, index) => {
    const first = (waiting[0] as Waiting).fence;
    size += sizeOf(entries);
    return index > 0 && (fence.shardId !== first.shardId || fence.epoch !== first.epoch || size > MAX_SIZE);
  });
  return waiting.splice(0, end < 0 ? waiting.length : end);
}

function sizeOf(entries: readonly (readonly string[])[]): number {
  return entries.reduce((size, texts) => texts.reduce((sum, text) => sum + text.length, size), 0);
}

function notSent(cause: unknown): PersistenceError {
  const detail = "an append to the same journal, called before this one, failed";
  return new PersistenceError({ operation: "appendJournal", outcome: "not-written", detail }, { cause });
}
