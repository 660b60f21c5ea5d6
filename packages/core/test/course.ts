// Course: what happened in one run of a program, as far as crashes must not change it.

import { inspect, isDeepStrictEqual } from "node:util";
import { WATCH } from "../src/contract/workflow-contract.ts";
import { DurableRun } from "./durable-run.ts";
import { ExecutionStage, type Fault } from "./execution-stage.ts";
import { codeOf, Observer, surround } from "./program-code.ts";
import type { RandomProgram } from "./random-program.ts";
import { tieOf } from "./ties.ts";

export interface Course {
  readonly end: unknown;
  /** Wall time of the end; null: it waits for what never comes. */
  readonly endedAt: number | null;
  /** By the number of the run of the code: what it saw, in order. */
  readonly traces: ReadonlyMap<number, readonly string[]>;
  /** Effects of transactions, in the order in which they were committed. */
  readonly committed: readonly string[];
  /** What entities and children were asked for, and when; of one moment in no order, which is nobody's promise. */
  readonly effects: readonly string[];
  /** What was recorded of ends and of failed attempts, in order. */
  readonly recorded: readonly string[];
  /** What queries and listings read at the end. */
  readonly state: readonly (string | undefined)[];
  /** The attempts that began after a failed one: a crash may repeat one, and adds none. */
  readonly retries: readonly string[];
  /** Whether it ended, and an execution that waits for that was not woken. */
  readonly hasForgottenWatcher: boolean;
}

export interface Crashes {
  /** By the number of the write. */
  readonly faults?: ReadonlyMap<number, Fault>;
  /** The number of the place. */
  readonly place?: number;
}

export interface CourseRun {
  readonly course: Course;
  readonly writes: number;
  readonly places: number;
  /** Why nobody says what comes first here; null: it is said (ties.ts). */
  readonly tie: string | null;
}

/** Runs a program until it is answered, or waits for what never comes. @param salt chooses the moments of what happens */
export async function runProgram(program: RandomProgram, salt: number, crashes: Crashes): Promise<CourseRun> {
  const observer = new Observer();
  const stage = new ExecutionStage(codeOf(program, salt, observer));
  const run = new DurableRun(stage);
  stage.latencyTurns = program.latencyTurns;
  stage.crashesAt = crashes.place ?? null;
  for (const [write, fault] of crashes.faults ?? []) stage.faults.set(write, fault);
  surround(run, program, salt);
  const end = await run.run();
  const endedAt = end.type === "suspended" ? null : stage.clock.now();
  const { written, inbox } = stage.storage;
  const last = (kind: string): string | undefined => {
    const event = written.findLast((entry) => entry.kind === kind)?.event;
    return event?.type === "completed" ? event.value : undefined;
  };
  const hasJustCompleted = end.type === "completed" && program.cancelAtMs === null;
  const isWatched = endedAt !== null && inbox.some(({ tag }) => tag === WATCH);
  return {
    writes: stage.writes,
    places: stage.places,
    tie: tieOf(stage, run.world, observer, hasJustCompleted ? endedAt : null),
    course: {
      end: end.type === "failed" ? { ...end, error: shownError(end.error) } : end,
      endedAt,
      traces: observer.traces,
      committed: [...stage.committed],
      // What the code does not await may begin and be recorded at the moment of its end, or not.
      effects: run.world.effects
        .filter(({ at, isOrder }) => isOrder || at !== endedAt)
        .map(({ what, at }) => `${at} ${what}`)
        .toSorted(),
      recorded: written
        .filter(({ event, at }) => event.type !== "begun" && at !== endedAt)
        .map(({ kind, name, position, event }) =>
          JSON.stringify([position, kind, name, event], withoutAsked),
        ),
      state: [last("state"), last("attributes")],
      retries: [...new Set(stage.attempts)].filter((attempt) => !attempt.endsWith("#1")).toSorted(),
      hasForgottenWatcher: isWatched && !stage.wakings.includes(stage.clock.now()),
    },
  };
}

/** How one course is not like the other, or null. */
export function differenceOf(expected: Course, found: Course): string | null {
  const lines: string[] = [];
  for (const key of Object.keys(expected) as (keyof Course)[]) {
    if (isDeepStrictEqual(expected[key], found[key])) continue;
    lines.push(`${key} without a crash: ${shown(expected[key])}`, `${key} with it: ${shown(found[key])}`);
  }
  return lines.length === 0 ? null : lines.join("\n");
}

function shown(value: unknown): string {
  return inspect(value, { depth: 6, breakLength: 110, maxArrayLength: 200 });
}

function shownError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { name, message, cause } = error;
  return { name, message, cause: shownError(cause) };
}

/** How much the code had asked for when a step failed is the most that may have followed from that, and no promise. */
function withoutAsked(key: string, value: unknown): unknown {
  return key === "asked" ? undefined : value;
}
