// Ties: why it is no fair demand that a run with a crash be like the one without: things happened at one moment, or of
// themselves at none, and which of them comes first is nobody's promise.

import type { ExecutionStage } from "./execution-stage.ts";
import type { OutsideWorld, Span } from "./outside-world.ts";
import type { Observer, SeenStep } from "./program-code.ts";

/** Null: there is none. @param completedAt when the execution ended, if it just completed: what is left then is left for good */
export function tieOf(
  stage: ExecutionStage,
  world: OutsideWorld,
  observer: Observer,
  completedAt: number | null,
): string | null {
  const codeEnds = [...observer.ends.values()].filter((at) => at !== completedAt);
  return (
    tieOfSteps(observer.steps, codeEnds) ?? tieOfMoments(stage, world) ?? tieOfEnds(stage, world, codeEnds)
  );
}

/** Steps beside others that took no time, ended at one moment, or were asked for when the code ended. */
function tieOfSteps(steps: Iterable<SeenStep>, codeEnds: readonly number[]): string | null {
  const ended: SeenStep[] = [];
  for (const step of steps) {
    const { given, label, askedAt, isAlone } = step;
    if (!isAlone && codeEnds.includes(askedAt)) return `${label} is asked for when the code ends`;
    if (given === null) continue;
    if (askedAt === given.at && !isAlone && !given.isCutShort) return `${label} takes no time`;
    const other = ended.find((each) => areTied(each, step));
    if (other !== undefined) return `${other.label} and ${label} end at one moment`;
    ended.push(step);
  }
  return null;
}

function areTied(one: SeenStep, other: SeenStep): boolean {
  if (one.given === null || other.given === null || one.given.at !== other.given.at) return false;
  const areBesideEachOther = one.given.order > other.asked && other.given.order > one.asked;
  // A cancellation ends those that only wait in the order in which they were asked for.
  return areBesideEachOther && !(one.given.isCutShort && other.given.isCutShort);
}

/** Two things that come from outside, or two timers, at one moment. */
function tieOfMoments({ storage }: ExecutionStage, world: OutsideWorld): string | null {
  const moments = [...world.moments];
  for (const { event, at } of storage.written) {
    if (event.type === "begun" && event.dueAt !== null && event.dueAt > at) moments.push(event.dueAt);
    if (event.type === "attempt-failed") moments.push(event.retryAt);
  }
  return new Set(moments).size === moments.length ? null : "two things happen at one moment";
}

/** Work that is asked to end ends in no order, and what a call comes to that was sent before a crash is not asked again. */
function tieOfEnds(
  { storage }: ExecutionStage,
  world: OutsideWorld,
  codeEnds: readonly number[],
): string | null {
  const cuts = new Set<number>();
  for (const { kind, event, at } of storage.written) {
    if (event.type !== "failed" || !["activity", "run", "rpc"].includes(kind)) continue;
    if (cuts.has(at)) return "two activities end at one moment";
    cuts.add(at);
  }
  const cancels = storage.written.filter(({ kind }) => kind === "cancel").map(({ at }) => at);
  if (areUnderWay(world.calls, [...cancels, ...codeEnds]))
    return "a call is under way when the code is to end";
  return areUnderWay(world.starts, codeEnds) ? "a child is being started when the code ends" : null;
}

function areUnderWay(spans: readonly Span[], moments: readonly number[]): boolean {
  return spans.some(({ from, to }) => moments.some((moment) => from <= moment && moment < to));
}
