// StepDescription: the steps of a journal as people and programs read them.

import { decodeError } from "../contract/error-codec.ts";
import { decodePayload } from "../contract/payload.ts";
import type { ErrorClass } from "../contract/rpc.ts";
import type { OpenStepInfo } from "../contract/workflow-contract.ts";
import type { JournalEntry, StepKind } from "../data/journal-entry.ts";
import { stepsOf, type RecordedStep } from "./journal.ts";
import { signalValueOf } from "./taken-signal.ts";

/** One step that an execution's code asked for, as far as it is recorded or its owner says. */
export interface StepDescription {
  /** Its place among the steps, from 0. */
  readonly position: number;
  readonly kind: StepKind;
  /** `group.activity`, the name of an inline activity, `Entity.rpc`, the name of a signal or a child workflow. */
  readonly name: string;
  /** `running`: at work in memory. `waiting`: for a time, a signal, a child, or the next attempt. */
  readonly status: "running" | "waiting" | "completed" | "failed";
  /** Attempts that are known to have ended. */
  readonly attempts: number;
  readonly result?: unknown;
  /** What it failed with; of one that waits for its next attempt, what the last one failed with. */
  readonly error?: Error;
  /** When it goes on, at the earliest. */
  readonly dueAt?: Date;
}

/**
 * @param open what the execution's code waits for in memory, which the journal may not know of yet
 * @param now wall time: an activity whose next attempt is due, and whose execution is in memory, is at work
 */
export function describeSteps(
  entries: readonly JournalEntry[],
  errors: readonly ErrorClass[],
  open: readonly OpenStepInfo[] = [],
  now: number = 0,
): readonly StepDescription[] {
  const recorded = stepsOf(entries);
  const atWork = new Set(
    open.flatMap(({ position, kind, isWait }) => (isWait || kind === "child" ? [] : [position])),
  );
  const isAtWork = ({ position, failures }: RecordedStep): boolean =>
    atWork.has(position) && (failures.at(-1)?.retryAt ?? 0) <= now;
  const running = open.flatMap(({ position, kind, name, isWait }): StepDescription[] =>
    recorded.has(position)
      ? []
      : [{ position, kind, name, status: isWait ? "waiting" : "running", attempts: 0 }],
  );
  return [...recorded.values()]
    .map((step) => describeStep(step, errors, isAtWork(step)))
    .concat(running)
    .toSorted((a, b) => a.position - b.position);
}

function describeStep(step: RecordedStep, errors: readonly ErrorClass[], isAtWork: boolean): StepDescription {
  const { position, kind, name, failures, outcome } = step;
  const last = failures.at(-1);
  const of = { position, kind, name };
  if (outcome === null) {
    const dueAt = isAtWork ? null : (last?.retryAt ?? step.dueAt);
    return {
      ...of,
      status: isAtWork ? "running" : "waiting",
      attempts: failures.length,
      ...(last === undefined ? {} : { error: decodeError(last.error, errors) }),
      ...(dueAt === null ? {} : { dueAt: new Date(dueAt) }),
    };
  }
  const attempts = failures.length + 1;
  const { event } = outcome;
  if (event.type === "failed")
    return { ...of, status: "failed", attempts, error: decodeError(event.error, errors) };
  return { ...of, status: "completed", attempts, result: resultOf(kind, event.value) };
}

function resultOf(kind: StepKind, value: string): unknown {
  if (kind === "attributes") return JSON.parse(value);
  return decodePayload(kind === "signal" ? signalValueOf(value) : value, "A result");
}
