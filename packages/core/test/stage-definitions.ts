// What workflows on a stage are made of: the staged workflow, its signals and activities, its child, and the entity it calls.

import type { StandardSchemaV1 } from "@standard-schema/spec";
import { transactionScopeOf, type StorageTransaction } from "../src/contract/transaction.ts";
import { rpc } from "../src/contract/rpc.ts";
import { activity, type ActivityContext, type ActivityOptions } from "../src/define/activity-group.ts";
import { defineEntity } from "../src/define/entity.ts";
import { defineWorkflow } from "../src/define/workflow.ts";

/** The entity that programs call. */
export const Echo = defineEntity({
  name: "Echo",
  rpcs: {
    echo: rpc<unknown, unknown>({ persisted: true }),
    volatile: rpc<unknown, unknown>(),
    flow: rpc<void, number>({ stream: true }),
  },
});

/** A signal's payload that no schema here takes. */
export const REFUSED = "refused";

const taken: StandardSchemaV1<unknown, unknown> = {
  "~standard": {
    version: 1,
    vendor: "stage",
    validate: (value) =>
      String(value).startsWith(REFUSED) ? { issues: [{ message: "it is refused" }] } : { value },
  },
};

export const Staged = defineWorkflow<unknown, unknown>({
  name: "Staged",
  signals: { a: taken, b: taken, c: taken },
});

/** What becomes of a child, which the outside world plays (outside-world.ts). */
export interface ChildInput {
  readonly label: string;
  readonly ms: number;
  readonly ending: "completed" | "failed";
  /** Whether it goes on although it is cancelled. */
  readonly isStubborn: boolean;
  /** So much earlier than its end is known its watchers are woken. */
  readonly wakesMsBefore: number;
}

/** A child that its input names. */
export const NamedChild = defineWorkflow<ChildInput, unknown>({
  name: "NamedChild",
  key: ({ label }) => label.replaceAll(" ", "-"),
  hashKey: false,
});
/** A child that its place in the parent names. */
export const PlacedChild = defineWorkflow<ChildInput, unknown>({ name: "PlacedChild" });

/** A transaction that keeps labels until it commits with an entry. */
export class StageTransaction implements StorageTransaction {
  readonly kind = "stage";
  readonly labels: string[] = [];
  isRolledBack = false;

  async rollback(): Promise<void> {
    this.isRolledBack = true;
  }
}

/** What activities need of a stage. */
export interface ActivityStage {
  /** Each attempt that began, as `label#attempt`. */
  readonly attempts: string[];
  readonly whenCommitting: () => void;
  /** An attempt takes so long. It may reject where `signal` is aborted. */
  readonly lasts: (attempt: string, ms: number, signal: AbortSignal) => Promise<void>;
}

const RETRIED: ActivityOptions = { retries: 3, initialInterval: "1s", maxInterval: "3s" };

/** The side effects of the programs on a stage. */
export function stageActivities(stage: ActivityStage) {
  const begin = async (label: string, ctx: ActivityContext, ms: number): Promise<void> => {
    stage.attempts.push(`${label}#${ctx.attempt}`);
    if (ms > 0) await stage.lasts(`${label}#${ctx.attempt}`, ms, ctx.signal);
  };
  return {
    /** Writes its label in the transaction that commits with its entry. */
    commit: activity(async (ctx, label: string, ms: number = 0) => {
      const begun = begin(label, ctx, ms);
      const transaction = open(ctx);
      stage.whenCommitting();
      transaction.labels.push(label);
      await begun;
      return `${label} committed`;
    }),
    /** Like `commit`, and returns what it is given. */
    commitValue: activity(async (ctx, label: string, value: unknown) => {
      await begin(label, ctx, 0);
      open(ctx).labels.push(label);
      return value;
    }),
    /** Ends when its signal is aborted, and says so. */
    untilAborted: activity(async (ctx, label: string) => {
      await begin(label, ctx, 0);
      await new Promise((resolve) => ctx.signal.addEventListener("abort", resolve, { once: true }));
      stage.attempts.push(`${label} aborted`);
    }),
    /** Takes `ms` of time and returns its label. */
    take: activity(async (ctx, label: string, ms: number = 0) => {
      await begin(label, ctx, ms);
      return label;
    }),
    /** Fails at its first `times` attempts. */
    flaky: activity(RETRIED, async (ctx, label: string, times: number, ms: number = 0) => {
      await begin(label, ctx, ms);
      if (ctx.attempt <= times) throw new Error(`${label} failed at attempt ${ctx.attempt}`);
      return `${label} at attempt ${ctx.attempt}`;
    }),
    /** Writes in its transaction, and fails at its first `times` attempts. */
    flakyCommit: activity(RETRIED, async (ctx, label: string, times: number, ms: number = 0) => {
      const begun = begin(label, ctx, ms);
      open(ctx).labels.push(`${label}#${ctx.attempt}`);
      await begun;
      if (ctx.attempt <= times) throw new Error(`${label} failed at attempt ${ctx.attempt}`);
      return label;
    }),
    broken: activity(async (ctx, label: string, ms: number = 0): Promise<string> => {
      await begin(label, ctx, ms);
      throw new Error(`${label} is broken`);
    }),
  };
}

export type StageActivities = ReturnType<typeof stageActivities>;

function open(ctx: ActivityContext): StageTransaction {
  return transactionScopeOf(ctx, "stage").open("stage") as StageTransaction;
}
