// Comparisons: who is held against whom, at what.

import type { ContestantName } from "./roster.ts";
import type { InFlight } from "./workload-round.ts";

export type WorkloadName =
  | "raw insert"
  | "grouped insert"
  | "bare transaction"
  | "persisted rpc"
  | "volatile rpc"
  | "workflow of 10 steps"
  | "workflow of 1 step"
  | "sql activity"
  | "bulk send"
  | "drain"
  | "wake-up"
  | "hop";

export interface Entry {
  readonly contestant: ContestantName;
  readonly workload: WorkloadName;
  readonly inFlight: InFlight;
}

/** What is compared. More per second is better; fewer milliseconds are. */
export type Figure = "perSecond" | "p50Ms";

export interface Comparison {
  readonly id: string;
  readonly title: string;
  /** What one unit is, in the plural. */
  readonly units: string;
  readonly figure: Figure;
  /** The first one is the baseline of the ratios. */
  readonly entries: readonly Entry[];
  /** What a reader must know. */
  readonly note?: string;
}

const entry = (contestant: ContestantName, workload: WorkloadName, inFlight: InFlight): Entry => ({
  contestant,
  workload,
  inFlight,
});
/** The yardstick on PostgreSQL: one row, one commit, on as many connections as gain anything. */
const RAW_INSERTS = entry("raw-postgres", "raw insert", 16);
const GROUPED_INSERTS = entry("raw-postgres", "grouped insert", 2);
const BARE_COMMIT = entry("raw-postgres", "raw insert", "alone");
const BULLMQ_NOTE =
  "BullMQ acknowledges before Redis has anything on disk: up to a second of it may be lost.";

export const COMPARISONS: readonly Comparison[] = [
  {
    id: "workflow-10-steps",
    title: "Workflows of ten steps, 50 in flight",
    units: "workflows",
    figure: "perSecond",
    entries: [
      RAW_INSERTS,
      entry("holdfast-postgres", "workflow of 10 steps", 50),
      entry("dbos", "workflow of 10 steps", 50),
      entry("openworkflow", "workflow of 10 steps", 50),
      entry("effect", "workflow of 10 steps", 50),
    ],
  },
  {
    id: "workflow-10-steps-500",
    title: "Workflows of ten steps, 500 in flight",
    units: "workflows",
    figure: "perSecond",
    entries: [RAW_INSERTS, GROUPED_INSERTS, entry("holdfast-postgres", "workflow of 10 steps", 500)],
  },
  {
    id: "workflow-1-step",
    title: "Workflows of one step, 50 in flight",
    units: "workflows",
    figure: "perSecond",
    entries: [
      RAW_INSERTS,
      entry("holdfast-postgres", "workflow of 1 step", 50),
      entry("dbos", "workflow of 1 step", 50),
      entry("openworkflow", "workflow of 1 step", 50),
      entry("effect", "workflow of 1 step", 50),
    ],
  },
  {
    id: "persisted-rpc",
    title: "Persisted rpcs, 256 in flight",
    units: "rpcs",
    figure: "perSecond",
    entries: [
      RAW_INSERTS,
      entry("holdfast-postgres", "persisted rpc", 256),
      entry("effect", "persisted rpc", 256),
    ],
  },
  {
    id: "persisted-rpc-idle",
    title: "A persisted rpc on an idle system",
    units: "rpcs",
    figure: "p50Ms",
    entries: [
      BARE_COMMIT,
      entry("holdfast-postgres", "persisted rpc", "alone"),
      entry("effect", "persisted rpc", "alone"),
    ],
  },
  {
    id: "sql-activity",
    title: "Activities with SQL of the user's, 16 in flight",
    units: "activities",
    figure: "perSecond",
    entries: [entry("raw-postgres", "bare transaction", 16), entry("holdfast-postgres", "sql activity", 16)],
    note: "The baseline is BEGIN, an update, an insert and COMMIT, each a trip of its own.",
  },
  {
    id: "volatile-rpc",
    title: "Volatile rpcs within a process, 64 in flight",
    units: "rpcs",
    figure: "perSecond",
    entries: [
      entry("raw-memory", "volatile rpc", 64),
      entry("holdfast-memory", "volatile rpc", 64),
      entry("effect-memory", "volatile rpc", 64),
    ],
  },
  ...(["grpc", "nats"] as const).flatMap((kind): readonly Comparison[] => {
    const hop = (inFlight: number): readonly Entry[] => [
      entry(`raw-${kind}`, "hop", inFlight),
      entry(`holdfast-${kind}`, "hop", inFlight),
    ];
    const name = kind === "grpc" ? "gRPC" : "NATS";
    return [
      {
        id: `${kind}-hop`,
        title: `To another process and back over ${name}, 64 in flight`,
        units: "hops",
        figure: "perSecond",
        entries: hop(64),
      },
      {
        id: `${kind}-hop-1`,
        title: `To another process and back over ${name}, 1 in flight`,
        units: "hops",
        figure: "p50Ms",
        entries: hop(1),
      },
    ];
  }),
  {
    id: "wake-up",
    title: "From a send to the start of its handler in another process, on an idle system",
    units: "wake-ups",
    figure: "p50Ms",
    entries: [
      BARE_COMMIT,
      entry("holdfast-postgres", "wake-up", "alone"),
      entry("dbos", "wake-up", "alone"),
      entry("pg-boss", "wake-up", "alone"),
      entry("graphile-worker", "wake-up", "alone"),
      entry("bullmq", "wake-up", "alone"),
    ],
    note: BULLMQ_NOTE,
  },
  {
    id: "bulk-send",
    title: "Sends in bulk, 100 a call, 4 calls in flight",
    units: "messages",
    figure: "perSecond",
    entries: [
      GROUPED_INSERTS,
      entry("holdfast-postgres", "bulk send", 4),
      entry("graphile-worker", "bulk send", 4),
      entry("pg-boss", "bulk send", 4),
      entry("bullmq", "bulk send", 4),
    ],
    note: `Nobody takes what is sent. Holdfast has no call for many: its 100 sends are begun together. ${BULLMQ_NOTE}`,
  },
  {
    id: "drain",
    title: "Draining a backlog, empty handler",
    units: "messages",
    figure: "perSecond",
    entries: [
      RAW_INSERTS,
      entry("holdfast-postgres", "drain", 1),
      entry("pg-boss", "drain", 1),
      entry("graphile-worker", "drain", 1),
      entry("bullmq", "drain", 1),
    ],
    note: `Holdfast's time begins before its runner starts and takes its shards. ${BULLMQ_NOTE}`,
  },
];

/** @param only ids, or how they begin. @throws {RangeError} nothing has such an id */
export function comparisonsNamed(only: readonly string[]): readonly Comparison[] {
  for (const name of only) {
    if (!COMPARISONS.some(({ id }) => id.startsWith(name)))
      throw new RangeError(
        `There is no comparison "${name}". There are: ${COMPARISONS.map(({ id }) => id).join(", ")}.`,
      );
  }
  return COMPARISONS.filter(({ id }) =>
    only.some((name) => id === name || (!isId(name) && id.startsWith(name))),
  );
}

function isId(name: string): boolean {
  return COMPARISONS.some(({ id }) => id === name);
}
