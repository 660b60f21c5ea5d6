// Fork: an execution that begins with steps of another one, its origin, as they are recorded there.

import { encodePayload } from "../contract/payload.ts";
import type { ForkOrigin } from "../contract/workflow-contract.ts";
import type { JournalEntry, JournalEvent } from "../data/journal-entry.ts";
import { seedOf, versionEntry, type ForkStart, type RecordedRun } from "./recorded-run.ts";

/**
 * The position up to which another execution can take over the steps of a run: what was asked for after a cancellation
 * followed from that, which a fork does not have.
 */
export function forkableUpTo(run: RecordedRun): number {
  const { cancellation, entries } = run;
  const asked = entries.reduce((most, { position }) => Math.max(most, position + 1), 0);
  if (cancellation === null) return asked;
  const before = entries.filter(({ ordinal }) => ordinal < cancellation.ordinal);
  return before.reduce((most, { position }) => Math.max(most, position + 1), 0);
}

/**
 * The first entries of a fork: where it comes from, what it takes over, which has ended, and its version.
 *
 * @param run the origin's
 * @param requestId the fork's
 * @param version of the code that the fork goes on with; null: none
 */
export function forkEntries(
  origin: ForkOrigin,
  run: RecordedRun,
  requestId: string,
  version: string | null,
): readonly JournalEntry[] {
  const { executionId, fromStep } = origin;
  const branches = [
    ...run.branches.filter(({ from }) => from < fromStep),
    { from: fromStep, label: requestId },
  ];
  const seed = seedOf(origin.requestId, run);
  const start: ForkStart = { executionId, fromStep, seed, branches, state: run.firstState };
  const ended = new Set(
    run.entries.flatMap(({ position, event }) =>
      event.type === "completed" || event.type === "failed" ? [position] : [],
    ),
  );
  const taken = run.entries
    .filter(({ position }) => position >= 0 && position < fromStep && ended.has(position))
    .map((entry) => ({ ...entry, event: askedBefore(entry.event, fromStep) }));
  const first: JournalEntry = {
    ordinal: 0,
    position: -1,
    kind: "fork",
    name: "fork",
    event: { type: "completed", value: encodePayload(start, "The origin of a fork") },
  };
  const versions = run.entries.filter(({ kind }) => kind === "version");
  const entries = [first, ...versions, ...taken].map((entry, ordinal) => ({ ...entry, ordinal }));
  // That of a run which continued as new is in no entry of its own.
  if (version !== null && versions.length === 0) entries.push(versionEntry(entries.length, version));
  return entries;
}

/** What was asked for after the steps that a fork takes over, it asks for anew: the failure may come before that now. */
function askedBefore(event: JournalEvent, fromStep: number): JournalEvent {
  if (event.type !== "failed" || event.asked === undefined) return event;
  return { ...event, asked: Math.min(event.asked, fromStep) };
}
