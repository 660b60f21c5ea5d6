// Goals: what a release must reach, and what is physically possible to aim at, held against what was measured.

import { figureOf, ratioOf, type Compared, type ComparedEntry } from "./compare.ts";
import type { Facts } from "./facts.ts";
import type { ContestantName } from "./roster.ts";

/** All that was measured in one run. */
export interface Measurements {
  readonly compared: readonly Compared[];
  readonly facts: Facts;
}

/** A bar to get over, or under. */
export interface Bar {
  readonly limit: number;
  readonly better: "more" | "less";
  /** What the limit and what was measured are counted in. */
  readonly unit: string;
  /** Null: it was not measured. */
  readonly measured: (from: Measurements) => number | null;
}

export interface Goal {
  readonly title: string;
  /** More than one: all of them must be met. */
  readonly must: readonly Bar[];
  readonly aim: readonly Bar[];
}

export interface JudgedBar {
  readonly limit: number;
  readonly better: "more" | "less";
  readonly unit: string;
  readonly measured: number | null;
  readonly isMet: boolean | null;
}

export interface Judged {
  readonly title: string;
  readonly must: readonly JudgedBar[];
  readonly aim: readonly JudgedBar[];
  readonly verdict: "aim" | "must" | "missed" | "not measured";
}

export function judge({ title, must, aim }: Goal, from: Measurements): Judged {
  const musts = must.map((bar) => judgeBar(bar, from));
  const aims = aim.map((bar) => judgeBar(bar, from));
  return { title, must: musts, aim: aims, verdict: verdictOf(musts, aims) };
}

/** A must that is missed is missed, whatever else was not measured. */
function verdictOf(musts: readonly JudgedBar[], aims: readonly JudgedBar[]): Judged["verdict"] {
  if (musts.some(({ isMet }) => isMet === false)) return "missed";
  if (musts.some(({ isMet }) => isMet === null)) return "not measured";
  return aims.length > 0 && aims.every(({ isMet }) => isMet === true) ? "aim" : "must";
}

function judgeBar({ limit, better, unit, measured: measure }: Bar, from: Measurements): JudgedBar {
  const measured = measure(from);
  const isMet = measured === null ? null : better === "more" ? measured >= limit : measured <= limit;
  return { limit, better, unit, measured, isMet };
}

/** The `figure` of the comparison of Holdfast, by that of another one in the same rounds. */
function ratio(
  better: Bar["better"],
  limit: number,
  unit: string,
  at: { readonly id: string; readonly to: ContestantName | "grouped insert"; readonly by?: number },
): Bar {
  const { id, to, by = 1 } = at;
  const measured = ({ compared }: Measurements): number | null => {
    const found = compared.find(({ comparison }) => comparison.id === id);
    const ours = entryOf(found, (each) => each.entry.contestant.startsWith("holdfast-"));
    const other = entryOf(found, ({ entry }) => entry.contestant === to || entry.workload === to);
    if (found === undefined || ours === undefined || other === undefined) return null;
    const spread = ratioOf(ours, other, found.comparison.figure);
    return spread === null ? null : spread.median / by;
  };
  return { better, limit, unit, measured };
}

function entryOf(
  compared: Compared | undefined,
  isIt: (entry: ComparedEntry) => boolean,
): ComparedEntry | undefined {
  return compared?.entries.find(isIt);
}

/** A figure of Holdfast's own. */
function own(
  better: Bar["better"],
  limit: number,
  unit: string,
  at: { readonly id: string; readonly figure: "perSecond" | "cpuUs"; readonly by?: number },
): Bar {
  const measured = ({ compared }: Measurements): number | null => {
    const found = compared.find(({ comparison }) => comparison.id === at.id);
    const ours = entryOf(found, (each) => each.entry.contestant.startsWith("holdfast-"));
    const spread = ours === undefined ? null : figureOf(ours, at.figure);
    return spread === null ? null : spread.median / (at.by ?? 1);
  };
  return { better, limit, unit, measured };
}

function fact(limit: number, unit: string, of: (facts: Facts) => number | null): Bar {
  return { better: "less", limit, unit, measured: ({ facts }) => of(facts) };
}

const KB = 1_024;
const MB = 1_048_576;
const inUnits = (value: number | null, unit: number): number | null => (value === null ? null : value / unit);

export const GOALS: readonly Goal[] = [
  {
    title: "Workflows of ten steps per second, 50 in flight",
    must: [ratio("more", 15, "x DBOS", { id: "workflow-10-steps", to: "dbos" })],
    aim: [ratio("more", 30, "x DBOS", { id: "workflow-10-steps", to: "dbos" })],
  },
  {
    title: "Workflows of ten steps per second, 500 in flight",
    must: [ratio("more", 0.3, "x raw inserts", { id: "workflow-10-steps-500", to: "raw-postgres" })],
    aim: [ratio("more", 0.5, "x raw inserts", { id: "workflow-10-steps-500", to: "raw-postgres" })],
  },
  {
    title: "Workflows of one step per second, 50 in flight",
    must: [
      ratio("more", 12, "x DBOS", { id: "workflow-1-step", to: "dbos" }),
      ratio("more", 20, "x Effect", { id: "workflow-1-step", to: "effect" }),
    ],
    aim: [
      ratio("more", 25, "x DBOS", { id: "workflow-1-step", to: "dbos" }),
      ratio("more", 40, "x Effect", { id: "workflow-1-step", to: "effect" }),
    ],
  },
  {
    title: "Processor time of the client per step, 50 in flight",
    must: [own("less", 60, "us", { id: "workflow-10-steps", figure: "cpuUs", by: 10 })],
    aim: [own("less", 25, "us", { id: "workflow-10-steps", figure: "cpuUs", by: 10 })],
  },
  {
    title: "Durable commits per run of ten steps",
    must: [
      fact(12, "idle", (facts) => facts.commitsIdle),
      fact(0.5, "at load", (facts) => facts.commitsAtLoad),
    ],
    aim: [fact(0.1, "at load", (facts) => facts.commitsAtLoad)],
  },
  {
    title: "WAL per run of ten steps",
    must: [fact(4.5, "KB", (facts) => inUnits(facts.walBytes, KB))],
    aim: [fact(3.5, "KB", (facts) => inUnits(facts.walBytes, KB))],
  },
  {
    title: "Persisted rpcs per second, 256 in flight",
    must: [
      ratio("more", 15, "x Effect", { id: "persisted-rpc", to: "effect" }),
      ratio("more", 1.5, "x raw inserts", { id: "persisted-rpc", to: "raw-postgres" }),
    ],
    aim: [
      ratio("more", 30, "x Effect", { id: "persisted-rpc", to: "effect" }),
      ratio("more", 2.5, "x raw inserts", { id: "persisted-rpc", to: "raw-postgres" }),
    ],
  },
  {
    title: "A persisted rpc on an idle system, p50",
    must: [ratio("less", 3, "x a bare commit", { id: "persisted-rpc-idle", to: "raw-postgres" })],
    aim: [ratio("less", 1.3, "x a bare commit", { id: "persisted-rpc-idle", to: "raw-postgres" })],
  },
  {
    title: "Activities with SQL of the user's per second, 16 in flight",
    must: [ratio("more", 0.6, "x the bare transaction", { id: "sql-activity", to: "raw-postgres" })],
    aim: [ratio("more", 0.9, "x the bare transaction", { id: "sql-activity", to: "raw-postgres" })],
  },
  {
    title: "Volatile rpcs per second, 64 in flight, with a deadline",
    must: [ratio("more", 8, "x Effect", { id: "volatile-rpc", to: "effect-memory" })],
    aim: [own("more", 400, "K/s", { id: "volatile-rpc", figure: "perSecond", by: 1_000 })],
  },
  {
    title: "A hop over gRPC, 64 in flight",
    must: [ratio("more", 6, "x unary", { id: "grpc-hop", to: "raw-grpc" })],
    aim: [ratio("more", 12, "x unary", { id: "grpc-hop", to: "raw-grpc" })],
  },
  {
    title: "A hop over gRPC, 1 in flight, p50",
    must: [ratio("less", 0.8, "x unary", { id: "grpc-hop-1", to: "raw-grpc" })],
    aim: [ratio("less", 0.5, "x unary", { id: "grpc-hop-1", to: "raw-grpc" })],
  },
  {
    title: "A hop over NATS, 64 in flight",
    must: [ratio("more", 0.9, "x request/reply", { id: "nats-hop", to: "raw-nats" })],
    aim: [ratio("more", 2, "x request/reply", { id: "nats-hop", to: "raw-nats" })],
  },
  {
    title: "Waking another process up on an idle system, p50",
    must: [ratio("less", 3, "x a bare commit", { id: "wake-up", to: "raw-postgres" })],
    aim: [ratio("less", 2, "x a bare commit", { id: "wake-up", to: "raw-postgres" })],
  },
  {
    title: "Sends in bulk, 100 a call",
    must: [ratio("more", 1, "x graphile-worker", { id: "bulk-send", to: "graphile-worker" })],
    aim: [ratio("more", 0.5, "x grouped rows", { id: "bulk-send", to: "grouped insert" })],
  },
  {
    title: "Draining persisted messages, empty handler",
    must: [ratio("more", 1, "x pg-boss", { id: "drain", to: "pg-boss" })],
    aim: [ratio("more", 1, "x graphile-worker", { id: "drain", to: "graphile-worker" })],
  },
  {
    title: "Heap per idle resident entity without state",
    must: [fact(1.5, "KB", (facts) => inUnits(facts.heapPerEntity, KB))],
    aim: [fact(0.6, "KB", (facts) => inUnits(facts.heapPerEntity, KB))],
  },
  {
    // None at all is the goal; what a whole heap moves by while it is measured is less than a timer for each.
    title: "Heap per sleeping execution beyond the due window (0, within the noise)",
    must: [fact(0.5, "x a bare timer", (facts) => facts.sleeperByTimer)],
    aim: [],
  },
  {
    title: "Resident size of an idle runner above bare Node",
    must: [fact(40, "MB", (facts) => inUnits(facts.residentAboveNode, MB))],
    aim: [fact(25, "MB", (facts) => inUnits(facts.residentAboveNode, MB))],
  },
  {
    title: "Step 10,000 against step 10 of one execution",
    must: [fact(1.2, "x", (facts) => facts.lateStep)],
    aim: [fact(1, "x", (facts) => facts.lateStep)],
  },
];
