// Resumption: what a failed execution's journal has to forget, so that it goes on from its last good step.

import type { StoredExecution } from "../adapter/workflow-storage.ts";
import { short } from "../contract/error-codec.ts";
import { encodePayload } from "../contract/payload.ts";
import type { EncodedError } from "../data/encoded-error.ts";
import type { JournalEntry, StepKind } from "../data/journal-entry.ts";
import { askedBy, recordedRun, type Resumed } from "./recorded-run.ts";

/** Kinds of steps that have no effect, and wait for nothing. */
const NOTES: ReadonlySet<StepKind> = new Set(["value", "patch", "state", "attributes"]);

/** What is forgotten, by ordinal, and what is done anew. */
export interface Resumption extends Resumed {
  readonly forget: readonly number[];
  readonly anew: readonly number[];
}

/**
 * What to forget: the entries of the step whose error the execution ended with, of steps beside it that
 * failed after it, and of what the code asked for once it had that error. If the error is no step's, it may be what the code
 * made of failures (`Promise.any` makes one of many): then those count after which no other step came to a good end. None,
 * if there are none: then the code runs to the same place again. Null: compensations have run.
 *
 * @param failure the error of the execution; what its code threw is its cause
 */
export function resumption(stored: StoredExecution, failure: EncodedError): Resumption | null {
  const { entries } = recordedRun(stored);
  if (entries.some(({ kind }) => kind === "compensate")) return null;
  const thrown: EncodedError[] = [];
  for (let cause = failure.cause; cause !== null; cause = cause.cause) thrown.push(cause);
  const culprit =
    entries.findLast(
      ({ event }) => event.type === "failed" && thrown.some((error) => isSame(error, event.error)),
    ) ?? firstUnmended(entries);
  if (culprit?.event.type !== "failed") return { forget: [], usedUp: [], from: null, anew: [] };
  const asked = askedBy(culprit.position, culprit.event);
  const failed = entries.filter(
    ({ event, ordinal }) => event.type === "failed" && ordinal >= culprit.ordinal,
  );
  const positions = new Set(failed.map(({ position }) => position));
  const isForgotten = ({ position }: JournalEntry): boolean =>
    position >= 0 && (position >= asked || positions.has(position));
  return {
    forget: entries.filter((each) => isForgotten(each) && !isBegun(each)).map(({ ordinal }) => ordinal),
    usedUp: failed
      .filter((entry) => entry === culprit || !wasRepeated(entry, entries))
      .flatMap(({ event }) => (event.type === "failed" ? (event.answered ?? []) : [])),
    from: asked,
    anew: [...positions].filter((position) => position < asked),
  };
}

/**
 * Says of an activity that it had begun. It may have taken the ordinal of a transaction of unknown outcome, and stays: such a
 * one that comes late is refused as long as the ordinal is taken (journal.ts, J6). Who reads leaves it out (recorded-run.ts).
 */
function isBegun({ kind, event }: JournalEntry): boolean {
  return event.type === "begun" && (kind === "activity" || kind === "run");
}

/** Whether the code may have made a call again by itself, with a good end: then it will again, and joins that. */
function wasRepeated({ kind, name, ordinal }: JournalEntry, entries: readonly JournalEntry[]): boolean {
  return entries.some(
    (other) =>
      other.ordinal > ordinal &&
      other.kind === kind &&
      other.name === name &&
      other.event.type === "completed",
  );
}

/** The first failure that the code did not get over: it asked for no step after it that came to a good end. */
function firstUnmended(entries: readonly JournalEntry[]): JournalEntry | undefined {
  let lastGood = -1;
  for (const { kind, event, position } of entries)
    if (event.type === "completed" && !NOTES.has(kind)) lastGood = Math.max(lastGood, position);
  return entries.find(
    ({ position, event }) => event.type === "failed" && askedBy(position, event) > lastGood,
  );
}

function isSame(one: EncodedError, other: EncodedError): boolean {
  // Not the code: what an activity threw without one has another once its workflow's code has thrown it on.
  return one.name === other.name && (one.message === other.message || one.message === short(other.message));
}

/** The entry that says that an execution was resumed. */
export function resumeEntry({ entries }: StoredExecution, { usedUp, from, anew }: Resumption): JournalEntry {
  const ordinal = (entries.at(-1)?.ordinal ?? -1) + 1;
  const value = encodePayload({ usedUp, from, anew } satisfies Resumed, "A resumption");
  return { ordinal, position: -1, kind: "resume", name: "resume", event: { type: "completed", value } };
}
