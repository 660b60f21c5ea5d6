// RecordedRun: what a journal says of the run of the code that is under way: what it began with, and what it did.
//
// An execution that continues as new begins another run under the same id. Its journal then has a "continue" entry, after
// which nothing before it counts; the entries before it may be gone (WorkflowStorage.trimExecution).

import type { StoredExecution } from "../adapter/workflow-storage.ts";
import { decodePayload, encodePayload } from "../contract/payload.ts";
import { CANCEL, SIGNAL, WATCH, type Watcher } from "../contract/workflow-contract.ts";
import type { JournalEntry, JournalEvent, StepKind } from "../data/journal-entry.ts";
import { DefinitionError } from "../errors/config.ts";
import { signalTakenBy } from "./taken-signal.ts";

export type FailedEvent = Extract<JournalEvent, { type: "failed" }>;

/** How a run begins, as the entry that begins it says. */
export interface RunStart {
  /** How many runs came before. */
  readonly number: number;
  /** The encoded input. */
  readonly input: string;
  readonly version: string | null;
  /** The encoded state that the run before left to queries, or null. */
  readonly state: string | null;
  /** Signals of the inbox that earlier runs were given. */
  readonly consumed: readonly string[];
  /** Whether its code has heard that the execution is cancelled. */
  readonly isCancelled: boolean;
  /** Executions that earlier runs have started, and that are not known to have ended. */
  readonly children: readonly Watcher[];
}

/** What the entry of a resumption says. */
export interface Resumed {
  /** Places of calls that were answered with an error. */
  readonly usedUp: readonly string[];
  /** How many steps the code had asked for when the step failed that is done anew first. Null: none is. */
  readonly from: number | null;
  /** Positions of steps before that which are done anew, too. Those of earlier releases do not say it. */
  readonly anew?: readonly number[];
}

/** From this position on a fork does anew what its origin did: ids that it draws for that must not be those of its origin. */
export interface Branch {
  readonly from: number;
  readonly label: string;
}

/** What the first entry of a fork says. */
export interface ForkStart {
  readonly executionId: string;
  readonly fromStep: number;
  readonly seed: string;
  readonly branches: readonly Branch[];
  /** The encoded state that its origin's run began with. Those of earlier versions have none. */
  readonly state?: string | null;
}

export interface RecordedRun {
  readonly number: number;
  /** The encoded input, or null: that of the request. */
  readonly input: string | null;
  /** The version of the code that began it, or null: none, or nothing is recorded yet. */
  readonly version: string | null;
  /** Entries of this run, in order. */
  readonly entries: readonly JournalEntry[];
  /** Where the run before ended: what has lower ordinals is over. */
  readonly firstOrdinal: number;
  readonly nextOrdinal: number;
  readonly cancellation: { readonly ordinal: number; readonly reason: string } | null;
  /** Whether an earlier run has heard of the cancellation: it is not told again. */
  readonly wasCancelled: boolean;
  readonly children: readonly Watcher[];
  /** How many steps the code had asked for when the first one failed, also if that is done anew; Infinity: none has. */
  readonly failedAt: number;
  readonly isResumed: boolean;
  /** Places of calls that were answered with an error, and are made anew at others. */
  readonly usedUp: ReadonlySet<string>;
  /** Where its chance comes from, if it is a fork: its origin's. */
  readonly seed: string | null;
  /** Where its chance parts from that of its origin, and of the origin of that: the last one counts. */
  readonly branches: readonly Branch[];
  /** The encoded state that queries read, or null; and the one that it began with. */
  readonly state: string | null;
  readonly firstState: string | null;
  /** Signals that this run or an earlier one was given, by their request ids. */
  readonly consumed: ReadonlySet<string>;
}

/** What most executions begin with: one for all of them, as are its tables. */
const NOTHING: RecordedRun = {
  number: 0,
  input: null,
  version: null,
  entries: [],
  firstOrdinal: 0,
  nextOrdinal: 0,
  cancellation: null,
  wasCancelled: false,
  children: [],
  failedAt: Number.POSITIVE_INFINITY,
  isResumed: false,
  usedUp: new Set(),
  seed: null,
  branches: [],
  state: null,
  firstState: null,
  consumed: new Set(),
};

const KINDS: Readonly<Record<StepKind, true>> = {
  activity: true,
  run: true,
  sleep: true,
  rpc: true,
  child: true,
  signal: true,
  value: true,
  patch: true,
  compensate: true,
  state: true,
  attributes: true,
  continue: true,
  cancel: true,
  fork: true,
  version: true,
  resume: true,
};
const EVENTS: Readonly<Record<JournalEvent["type"], true>> = {
  begun: true,
  "attempt-failed": true,
  completed: true,
  failed: true,
};

/** @throws {DefinitionError} the journal has something of another release's that this one cannot read */
export function recordedRun(stored: StoredExecution): RecordedRun {
  try {
    return runIn(stored);
  } catch (cause) {
    throw unreadableJournal(cause);
  }
}

/** Another release can read it: the execution waits for that, and does not end with it. */
export function unreadableJournal(cause: unknown): DefinitionError {
  const why = cause instanceof Error ? cause.message.replace(/\.$/u, "") : "what was thrown is no Error";
  return new DefinitionError(
    `Its journal was written by another release of @holdfast/core, and this one cannot read it (${why}). ` +
      `The journal is unchanged; deploy a release that can.`,
    { cause },
  );
}

function runIn(stored: StoredExecution): RecordedRun {
  const { entries: all } = stored;
  for (const { tag, payload } of stored.inbox)
    if (tag === WATCH || tag === CANCEL) decodePayload(payload, "A message to an execution");
  if (all.length === 0) return NOTHING;
  const begin = all.findLastIndex(({ kind }) => kind === "continue");
  const start = begin === -1 ? null : runStartOf(all[begin] as JournalEntry);
  const entries = withoutForgotten(begin === -1 ? all : all.slice(begin + 1));
  const inbox = new Set(stored.inbox.map(({ requestId }) => requestId));
  // Those that are gone from the inbox need not be remembered.
  const consumed = new Set(start?.consumed.filter((requestId) => inbox.has(requestId)));
  let cancellation: RecordedRun["cancellation"] = null;
  let seed: string | null = null;
  const branches: Branch[] = [];
  let version = start?.version ?? null;
  let firstState = start?.state ?? null;
  let state = firstState;
  let failedAt = Number.POSITIVE_INFINITY;
  let isResumed = false;
  const usedUp = new Set<string>();
  /** What an attempt left to the next one, by the position of their step. */
  const heartbeats = new Map<number, string>();
  // The runner decodes it later, where that it cannot would be a failure of the code's.
  if (start !== null) decodePayload(start.input, "The input of a run");
  for (const { kind, ordinal, position, event } of entries) {
    checkKnown(kind, event);
    if (event.type === "attempt-failed") {
      if (event.lastHeartbeat === undefined) heartbeats.delete(position);
      else heartbeats.set(position, event.lastHeartbeat);
    } else if (event.type !== "begun") heartbeats.delete(position);
    if (kind === "signal") {
      const requestId = signalTakenBy(event);
      if (requestId !== null) consumed.add(requestId);
    }
    if (event.type === "failed") failedAt = Math.min(failedAt, askedBy(position, event));
    if (event.type !== "completed") continue;
    if (kind === "state") state = event.value;
    if (kind === "cancel")
      cancellation ??= { ordinal, reason: String(decodePayload(event.value, "A reason")) };
    if (kind === "fork") {
      const fork = decodePayload(event.value, "The origin of a fork") as ForkStart;
      ({ seed } = fork);
      state = firstState = fork.state ?? null;
      branches.push(...fork.branches);
    }
    if (kind === "resume") {
      const resumed = decodePayload(event.value, "A resumption") as Resumed;
      isResumed = true;
      failedAt = Math.min(failedAt, resumed.from ?? failedAt);
      for (const place of resumed.usedUp) usedUp.add(place);
    }
    if (kind === "version") version = decodePayload(event.value, "A version") as string | null;
  }
  for (const details of heartbeats.values()) decodePayload(details, "The last heartbeat of an activity");
  return {
    number: start?.number ?? 0,
    input: start?.input ?? null,
    version,
    entries,
    firstOrdinal: all[begin]?.ordinal ?? 0,
    nextOrdinal: (all.at(-1)?.ordinal ?? -1) + 1,
    cancellation,
    wasCancelled: start?.isCancelled ?? false,
    children: start?.children ?? [],
    failedAt,
    isResumed,
    usedUp,
    seed,
    branches,
    state,
    firstState,
    consumed,
  };
}

/**
 * A write of an entry that a resumption forgot may come after that (journal.ts, J6): one of unknown outcome, which was written
 * once more, and then forgotten. No transaction does: what takes its ordinal stays (resumption.ts).
 */
function withoutForgotten(entries: readonly JournalEntry[]): readonly JournalEntry[] {
  const at = entries.findLastIndex(({ kind }) => kind === "resume");
  const { event } = entries[at] ?? {};
  if (event?.type !== "completed") return entries;
  const { from, anew } = decodePayload(event.value, "A resumption") as Resumed;
  const again = new Set(anew);
  const isLeft = ({ position }: JournalEntry): boolean =>
    position < 0 || (position < (from ?? Number.POSITIVE_INFINITY) && !again.has(position));
  return [...withoutForgotten(entries.slice(0, at)).filter(isLeft), ...entries.slice(at)];
}

/** What is passed over may have ended a step, which would be done once more. @throws it is none of this release's */
function checkKnown(kind: string, { type }: { readonly type: string }): void {
  if (!Object.hasOwn(KINDS, kind)) throw new Error(`It does not know entries of the kind "${kind}"`);
  if (!Object.hasOwn(EVENTS, type)) throw new Error(`It does not know events of the type "${type}"`);
}

/** How many steps the code had asked for when this one failed. */
export function askedBy(position: number, event: FailedEvent): number {
  return event.asked ?? position + 1;
}

/** The entry with which the next run begins. */
export function continueEntry(ordinal: number, position: number, start: RunStart): JournalEntry {
  const value = encodePayload(start, "The beginning of a run");
  return { ordinal, position, kind: "continue", name: "continueAsNew", event: { type: "completed", value } };
}

/** The entry that says which version of the code began a run. */
export function versionEntry(ordinal: number, version: string | null): JournalEntry {
  const value = JSON.stringify(version);
  return { ordinal, position: -1, kind: "version", name: "version", event: { type: "completed", value } };
}

function runStartOf({ event }: JournalEntry): RunStart | null {
  return event.type === "completed"
    ? (decodePayload(event.value, "The beginning of a run") as RunStart)
    : null;
}

/** Seeds the chance of a run: other for each, and a fork's is its origin's. */
export function seedOf(requestId: string, run: Pick<RecordedRun, "number" | "seed">): string {
  return run.seed ?? (run.number === 0 ? requestId : `${requestId}\n#${run.number}`);
}

/** What of the inbox no run was given. */
export function unconsumed(stored: StoredExecution, run: RecordedRun): StoredExecution["inbox"] {
  return stored.inbox.filter(({ tag, requestId }) => {
    if (tag === CANCEL) return !run.wasCancelled;
    return tag !== SIGNAL || !run.consumed.has(requestId);
  });
}
