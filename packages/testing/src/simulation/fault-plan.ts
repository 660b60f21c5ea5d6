// FaultPlan: what will happen to a cluster in one run, as data, so that it can be shown, kept and made smaller.

import type { SeededRandom } from "@holdfast/core/internal";
import type { BackendFaultOptions, FaultOptions } from "../faults.ts";

/** Something that goes wrong from `atMs` on, for `forMs`; both in milliseconds of the run. */
export interface PlannedFault {
  readonly atMs: number;
  readonly forMs: number;
  readonly fault: Fault;
}

export type Fault =
  /** A process dies, and is started again. What was not durable is gone. */
  | { readonly kind: "crash"; readonly runner: number }
  /** A process leaves in order, and is started again: a deploy. */
  | { readonly kind: "deploy"; readonly runner: number }
  /** A process stands still, while time goes on. */
  | { readonly kind: "pause"; readonly runner: number }
  | { readonly kind: "partition"; readonly one: readonly number[]; readonly other: readonly number[] }
  | { readonly kind: "cut"; readonly from: readonly number[]; readonly to: readonly number[] }
  /** Messages are lost, repeated and delayed. */
  | { readonly kind: "network"; readonly rates: FaultOptions }
  /** Calls of storage or of the lease store fail or take long: of one runner, or of all. */
  | { readonly kind: "backend"; readonly runner: number | null; readonly rates: BackendFaultOptions }
  /** A runner's wall clock is off, by `fromMs` at first and by `toMs` at the end. */
  | { readonly kind: "clock"; readonly runner: number; readonly fromMs: number; readonly toMs: number };

/** A name of a fault that a simulation may inject. */
export type FaultKind = Fault["kind"];

export const FAULT_KINDS: readonly FaultKind[] = [
  "crash",
  "deploy",
  "pause",
  "partition",
  "cut",
  "network",
  "backend",
  "clock",
];

export interface PlanOptions {
  readonly runners: number;
  readonly durationMs: number;
  /** How long a lease lasts: stops and cuts are as often shorter as longer. */
  readonly leaseMs: number;
  readonly kinds: readonly FaultKind[];
}

/** Between so many and so many faults in a run. */
const FEWEST = 2;
const MOST = 9;

export function planFaults(random: SeededRandom, options: PlanOptions): readonly PlannedFault[] {
  const { kinds, durationMs } = options;
  if (kinds.length === 0) return [];
  const count = between(random, FEWEST, MOST);
  return Array.from({ length: count }, (): PlannedFault => {
    const kind = kinds[between(random, 0, kinds.length - 1)] ?? "crash";
    return {
      atMs: between(random, 0, Math.floor(durationMs * 0.8)),
      forMs: lengthOf(random, options.leaseMs),
      fault: drawFault(kind, random, options),
    };
  }).toSorted((a, b) => a.atMs - b.atMs);
}

export function describeFault({ atMs, forMs, fault }: PlannedFault): string {
  const { kind, ...rest } = fault;
  return `${kind} ${JSON.stringify(rest)} at ${atMs} ms for ${forMs} ms`;
}

/** Often a moment, else about a lease, sometimes two. */
function lengthOf(random: SeededRandom, leaseMs: number): number {
  const part = random.next();
  if (part < 0.4) return between(random, 1, Math.floor(leaseMs / 10));
  return between(random, Math.floor(leaseMs / 4), part < 0.9 ? Math.floor(leaseMs * 1.3) : leaseMs * 2);
}

function drawFault(kind: FaultKind, random: SeededRandom, { runners, leaseMs }: PlanOptions): Fault {
  const runner = between(random, 0, runners - 1);
  const others = Array.from({ length: runners }, (_, index) => index).filter((index) => index !== runner);
  const rate = (most: number): number => Math.round(random.next() * most * 1_000) / 1_000;
  const delay = (mostMs: number): readonly [number, number] => [0, between(random, 0, mostMs)];
  switch (kind) {
    case "crash":
    case "deploy":
    case "pause":
      return { kind, runner };
    case "partition":
      return { kind, one: [runner], other: others };
    case "cut": {
      const some = others.filter(() => random.next() < 0.6);
      return random.next() < 0.5 ? { kind, from: [runner], to: some } : { kind, from: some, to: [runner] };
    }
    case "network":
      return { kind, rates: { drop: rate(0.1), duplicate: rate(0.1), delay: delay(150) } };
    case "backend": {
      const one = random.next() < 0.5 ? runner : null;
      // Cut off from one or the other, or a rate of failures of all sorts.
      if (one !== null && random.next() < 0.4) {
        const cut = random.next() < 0.5 ? "storageErrorBeforeCommit" : "leaseErrorBeforeEffect";
        return { kind, runner: one, rates: { [cut]: 1 } };
      }
      return {
        kind,
        runner: one,
        rates: {
          storageDelay: delay(80),
          storageErrorBeforeCommit: rate(0.08),
          storageErrorAfterCommit: rate(0.08),
          leaseDelay: delay(80),
          leaseErrorBeforeEffect: rate(0.08),
          leaseErrorAfterEffect: rate(0.08),
        },
      };
    }
    case "clock": {
      const fromMs = between(random, -leaseMs, leaseMs);
      return {
        kind,
        runner,
        fromMs,
        toMs: random.next() < 0.5 ? fromMs : between(random, -leaseMs, leaseMs),
      };
    }
  }
}

function between(random: SeededRandom, least: number, most: number): number {
  return least + Math.floor(random.next() * (most - least + 1));
}
