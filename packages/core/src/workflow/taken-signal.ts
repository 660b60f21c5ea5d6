// A signal as the step that was given it keeps it: what the code got, and the message of the inbox that it was.

import type { JournalEvent } from "../data/journal-entry.ts";

export function encodeSignal(requestId: string, value: string): string {
  return JSON.stringify([requestId, value]);
}

/** The encoded value that the code was given. */
export function signalValueOf(recorded: string): string {
  return (JSON.parse(recorded) as [string, string])[1];
}

/** Which message of the inbox an event of a signal's step says that it took. */
export function signalTakenBy(event: JournalEvent): string | null {
  if (event.type === "completed") return (JSON.parse(event.value) as [string, string])[0];
  return event.type === "failed" ? (event.signal ?? null) : null;
}
