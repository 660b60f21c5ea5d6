import type { InboxMessage } from "../adapter/workflow-storage.ts";
import type { JournalEntry } from "../data/journal-entry.ts";

/** An execution's journal as data: plain JSON, to be kept in a file and replayed against other code. */
export interface ExportedJournal {
  readonly format: "holdfast-journal-1";
  readonly workflow: string;
  readonly executionId: string;
  /** The request that it is: another execution of that id has another one. */
  readonly requestId: string;
  /** The encoded input with which the execution was started. */
  readonly input: string;
  /** How it ended: the encoded value or the error's message; null while it went on. */
  readonly end:
    | { readonly ok: true; readonly value: string }
    | { readonly ok: false; readonly error: string }
    | null;
  readonly entries: readonly JournalEntry[];
  readonly inbox: readonly InboxMessage[];
}
