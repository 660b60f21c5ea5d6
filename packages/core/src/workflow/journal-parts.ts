// Journal parts: entries that are there at once, as writes of a bounded size. Many steps may end in one moment, each with a result
// as large as a payload may be: together they may be more than a storage takes, at that time and whenever it is tried again.

import type { EncodedError } from "../data/encoded-error.ts";
import type { JournalEntry } from "../data/journal-entry.ts";

/** What one write may carry, in characters; one entry alone may be larger. */
const MOST_AT_ONCE = 8 * 1_024 * 1_024;

/** The first of these entries, as many as go together: one at least, where there is one. */
export function firstPartOf(entries: readonly JournalEntry[]): readonly JournalEntry[] {
  if (entries.length < 2) return entries;
  let size = 0;
  const end = entries.findIndex((entry, index) => (size += sizeOf(entry)) > MOST_AT_ONCE && index > 0);
  return end === -1 ? entries : entries.slice(0, end);
}

/** All of them, in their order. */
export function* partsOf(
  entries: readonly JournalEntry[],
): Generator<readonly JournalEntry[], void, undefined> {
  for (let left = entries; left.length > 0;) {
    const part = firstPartOf(left);
    yield part;
    left = left.slice(part.length);
  }
}

function sizeOf({ event }: JournalEntry): number {
  switch (event.type) {
    case "begun":
      return event.detail?.length ?? 0;
    case "completed":
      return event.value.length;
    case "failed":
      return sizeOfError(event.error);
    case "attempt-failed":
      return sizeOfError(event.error) + (event.lastHeartbeat?.length ?? 0);
  }
}

function sizeOfError(error: EncodedError): number {
  let size = 0;
  for (let at: EncodedError | null = error; at !== null; at = at.cause)
    size += at.message.length + (at.stack?.length ?? 0) + (at.data?.length ?? 0);
  return size;
}
