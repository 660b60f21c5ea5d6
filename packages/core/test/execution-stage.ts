// ExecutionStage: one execution of a workflow on a journal that keeps what was durable, through crashes, in virtual time.
//
// Stands in for storage, for the cluster around a workflow, and for the runner that calls its handler again after a
// suspension, a crash or a failed write. A crash ends one copy of the execution as the end of a process does: its timers
// never fire, its writes under way are lost, and the next copy has the journal and nothing else.

import type { WorkflowStorage } from "../src/adapter/workflow-storage.ts";
import { SeededRandom } from "../src/clock/seeded-random.ts";
import { sleep } from "../src/clock/sleep.ts";
import { VirtualClock, type VirtualClockView } from "../src/clock/virtual-clock.ts";
import type { LogFields, Logger } from "../src/contract/logger.ts";
import { encodePayload } from "../src/contract/payload.ts";
import { rpc } from "../src/contract/rpc.ts";
import {
  TransactionScope,
  transactionScopeOf,
  type StorageTransaction,
} from "../src/contract/transaction.ts";
import { EXECUTE } from "../src/contract/workflow-contract.ts";
import type { JournalEntry } from "../src/data/journal-entry.ts";
import type { CallOptions, CallTarget } from "../src/client/caller.ts";
import { activity, type ActivityOptions } from "../src/define/activity-group.ts";
import { defineEntity } from "../src/define/entity.ts";
import { defineWorkflow, type WorkflowContext } from "../src/define/workflow.ts";
import { Suspension, type Call, type EntityBehavior } from "../src/entity/behavior.ts";
import { FencedError, PersistenceError, TransactionUnavailableError } from "../src/errors/storage.ts";
import { NonDeterminismError } from "../src/errors/workflow.ts";

/** What happens at one write of the journal. */
export type Fault =
  | "crash-before"
  | "crash-after"
  | "not-written"
  | "unknown-written"
  | "unknown-lost"
  | "fenced"
  /** A statement in the transaction failed before. */
  | "cannot-commit";

export type StageContext = WorkflowContext<StageActivities>;
export type Program = (ctx: StageContext, stage: ExecutionStage) => Promise<unknown>;

/** How the execution ended, or what it waits for. */
export type StageEnd =
  | { readonly type: "completed"; readonly value: unknown }
  | { readonly type: "failed"; readonly error: unknown }
  | { readonly type: "suspended"; readonly until: number | null }
  | { readonly type: "crashed" };

/** The entity that programs call. */
export const Echo = defineEntity({
  name: "Echo",
  rpcs: {
    echo: rpc<unknown, unknown>({ persisted: true }),
    volatile: rpc<unknown, unknown>(),
    flow: rpc<void, number>({ stream: true }),
  },
});

const FENCE = { shardId: "default:1", epoch: 7 } as const;
const WORKFLOW = "Staged";

/** A transaction that keeps labels until it commits with an entry. */
export class StageTransaction implements StorageTransaction {
  readonly kind = "stage";
  readonly labels: string[] = [];
  isRolledBack = false;

  async rollback(): Promise<void> {
    this.isRolledBack = true;
  }
}

export class ExecutionStage {
  readonly clock: VirtualClock = new VirtualClock();
  readonly executionId: string;
  /** What is durable. */
  readonly journal: JournalEntry[] = [];
  /** Labels that transactional activities committed. */
  readonly committed: string[] = [];
  /** Each attempt of an activity that began, as `label#attempt`. */
  readonly attempts: string[] = [];
  /** Calls of entities that were sent: their keys. */
  readonly sent: string[] = [];
  /** What the last copy's code said of itself. */
  trace: string[] = [];
  readonly transactions: StageTransaction[] = [];
  readonly logged: string[] = [];
  /** How many writes were made so far; the first is number 1. */
  writes = 0;
  copies = 0;
  /** Whether a write of the last copy failed, or its process crashed, after its code had ended: its last entries may not be there. */
  lostItsEnd = false;
  /** By the number of the write. */
  readonly faults: Map<number, Fault> = new Map<number, Fault>();
  /** By the number of the copy, the first being 1: after how many milliseconds its shard is about to move. */
  readonly leaves: Map<number, number> = new Map<number, number>();
  /** Turns that a write takes. */
  latencyTurns = 1;
  /** By the number of the write: milliseconds that it takes besides, whether or not its copy of the execution is over. */
  readonly slowWrites: Map<number, number> = new Map<number, number>();
  /** The handler of the entity that programs call. */
  answer: (input: unknown, options: CallOptions) => unknown = (input) => input;
  /** Is given the fields of each error that is logged. */
  logError: (fields: LogFields) => void = () => undefined;
  /** Runs in each attempt of `commit`; throws as a statement of a transaction does. */
  whenCommitting: () => void = () => undefined;
  program: Program;
  #abort = new AbortController();
  #leaving = new AbortController();
  #view: VirtualClockView = this.clock.view();
  #copy = 0;
  /** A crash ends the process; copies that ended otherwise leave it, and their writes under way, as they are. */
  #process = 1;
  #behavior: EntityBehavior | null = null;
  #lane: Promise<void> = Promise.resolve();

  constructor(program: Program, executionId: string = "execution-1") {
    this.program = program;
    this.executionId = executionId;
  }

  /** Runs copies of the execution until it ends, past all crashes, failed writes and suspensions. */
  async run(): Promise<StageEnd> {
    for (let copies = 0; copies < 500; copies += 1) {
      const end = await this.activate();
      if (end.type === "completed") return end;
      if (end.type === "suspended") {
        if (end.until === null) return end;
        await this.clock.advance(Math.max(0, end.until - this.clock.now()));
      } else if (end.type === "failed") {
        if (!(end.error instanceof PersistenceError) && !(end.error instanceof FencedError)) return end;
        await this.clock.advance(100);
      }
    }
    throw new Error("The execution never ends");
  }

  /** Runs one copy until it ends, suspends or crashes. Time moves on whenever nothing else happens. */
  async activate(): Promise<StageEnd> {
    this.begin();
    return this.settle();
  }

  /** Begins one copy. */
  begin(): void {
    this.copies += 1;
    this.#copy += 1;
    this.#behavior ??= this.#bind();
    this.#abort = new AbortController();
    this.#leaving = new AbortController();
    this.trace = [];
    this.lostItsEnd = false;
    this.#end = null;
    const copy = this.#copy;
    const leaveAfterMs = this.leaves.get(this.copies);
    if (leaveAfterMs !== undefined) {
      this.#view.setTimer(leaveAfterMs, () => {
        if (copy === this.#copy) this.leave();
      });
    }
    const handler = this.#behavior.activate({
      address: this.#call().envelope.address,
      fence: FENCE,
      signal: this.#abort.signal,
      onEvict: () => undefined,
    });
    if (handler instanceof Promise) throw new TypeError("executions are activated at once");
    const ended = (end: StageEnd): void => {
      if (copy === this.#copy) this.#end ??= end;
    };
    void (async () => handler[EXECUTE]?.({}, this.#call()))().then(
      (value) =>
        ended(
          value instanceof Suspension
            ? { type: "suspended", until: value.until }
            : { type: "completed", value },
        ),
      (error: unknown) => ended({ type: "failed", error }),
    );
  }

  #end: StageEnd | null = null;

  get end(): StageEnd | null {
    return this.#end;
  }

  /** Moves time on until the copy ended. */
  async settle(): Promise<StageEnd> {
    for (;;) {
      await this.clock.settle();
      if (this.#end !== null) return this.#end;
      const due = this.clock.nextDueAt();
      if (due === null) throw new Error(`The execution waits for nothing; so far: ${this.trace.join(", ")}`);
      await this.clock.advance(due - this.clock.monotonic());
    }
  }

  /** Ends this copy as the end of its process would. */
  crash(): void {
    this.lostItsEnd ||= this.#end !== null;
    this.#end = { type: "crashed" };
    this.#copy += 1;
    this.#process += 1;
    this.#behavior = null;
    this.#lane = Promise.resolve();
    this.#view.stop();
    this.#view = this.clock.view();
    this.#abort.abort(new Error("crashed"));
  }

  /** The shard is about to move. */
  leave(): void {
    this.#leaving.abort(new Error("leaving"));
  }

  /** Replays the journal as it is, once more. */
  async replay(): Promise<{ end: StageEnd; trace: readonly string[]; writes: number; attempts: number }> {
    const before = { writes: this.writes, attempts: this.attempts.length };
    const end = await this.activate();
    return {
      end,
      trace: this.trace,
      writes: this.writes - before.writes,
      attempts: this.attempts.length - before.attempts,
    };
  }

  /** Virtual time passes, for activities that take some. */
  pass(ms: number): Promise<void> {
    return sleep(this.#view, ms);
  }

  #call(): Call {
    const envelope: Call["envelope"] = {
      requestId: "request-1",
      address: { entityType: `workflow:${WORKFLOW}`, entityId: this.executionId, shardId: FENCE.shardId },
      tag: EXECUTE,
      payload: encodePayload({}, "input"),
      headers: {},
      persisted: true,
      expects: "reply",
      deduplicationKey: EXECUTE,
      deliverAt: null,
      uninterruptible: true,
      fromInside: true,
      sender: "test",
      readPendingFirst: false,
    };
    return {
      envelope,
      attempt: 1,
      signal: this.#abort.signal,
      leaving: this.#leaving.signal,
      fence: FENCE,
      transactions: new TransactionScope(undefined, "none here"),
    };
  }

  #bind(): EntityBehavior {
    const log = (message: string): void => void this.logged.push(message);
    const error: Logger["error"] = (message, fields = {}) => {
      this.logged.push(message);
      this.logError(fields);
    };
    return stagedWorkflow()
      .implement({
        activities: stageActivities(this),
        execute: (ctx) => this.program(ctx, this),
      })
      .bind({
        storage: this.#storage(this.#process),
        clock: this.#view,
        random: new SeededRandom(1),
        logger: { debug: log, info: log, warn: log, error },
        exposeStacks: false,
        maxPayloadBytes: 100_000,
        beginTransaction: () => {
          const transaction = new StageTransaction();
          this.transactions.push(transaction);
          return transaction;
        },
        entity: () => {
          throw new Error("not on this stage");
        },
        workflow: () => {
          throw new Error("not on this stage");
        },
        callEntity: (target, input, options) => this.#send(target, input, options),
        notifyEntity: async (target, input, options) => void (await this.#send(target, input, options)),
      });
  }

  async #send(_target: CallTarget, input: unknown, options: CallOptions): Promise<unknown> {
    this.sent.push(options.idempotencyKey ?? "none");
    return this.answer(input, options);
  }

  #storage(process: number): WorkflowStorage {
    const view = this.#view;
    const isGone = (): boolean => process !== this.#process;
    const write = (entries: readonly JournalEntry[], transaction: StageTransaction | null): void => {
      for (const entry of entries) {
        if (this.journal.some(({ ordinal }) => ordinal === entry.ordinal)) {
          if (transaction === null) continue;
          throw new PersistenceError({
            operation: "appendJournal",
            outcome: "unknown",
            detail: "it is there already",
          });
        }
        this.journal.push(entry);
        this.journal.sort((a, b) => a.ordinal - b.ordinal);
      }
      if (transaction !== null) this.committed.push(...transaction.labels);
    };
    return {
      readJournal: async () => this.journal.map((entry) => structuredClone(entry)),
      appendJournal: async (_execution, entries, fence, transaction) => {
        if (isGone()) return never();
        this.writes += 1;
        const fault = this.faults.get(this.writes);
        const slowMs = this.slowWrites.get(this.writes) ?? 0;
        this.lostItsEnd ||= fault === "not-written" || fault === "unknown-lost" || fault === "fenced";
        const tx = transaction as StageTransaction | null;
        const turn = tx === null ? this.#lane : Promise.resolve();
        const done = (async () => {
          await turn;
          for (let turns = 0; turns < this.latencyTurns; turns += 1) await view.nextTurn();
          if (slowMs > 0) await sleep(view, slowMs);
        })();
        if (tx === null) this.#lane = done;
        await done;
        if (isGone()) return never();
        switch (fault) {
          case undefined:
            return write(entries, tx);
          case "crash-before":
            this.crash();
            return never();
          case "crash-after":
            write(entries, tx);
            this.crash();
            return never();
          case "not-written":
            throw failure("not-written");
          case "unknown-lost":
            throw failure("unknown");
          case "unknown-written":
            write(entries, tx);
            // What was appended after it is not written.
            this.lostItsEnd ||= this.#end !== null;
            throw failure("unknown");
          case "cannot-commit":
            if (tx === null) return write(entries, tx);
            throw new TransactionUnavailableError({ wanted: "stage", why: "a statement in it failed" });
          case "fenced":
            throw new FencedError({ ...fence, current: fence.epoch + 1 });
        }
      },
    };
  }
}

function stagedWorkflow() {
  return defineWorkflow<unknown, unknown>({ name: WORKFLOW });
}

const RETRIED: ActivityOptions = { retries: 3, initialInterval: "1s", maxInterval: "3s" };

/** The side effects of the programs on a stage. */
function stageActivities(stage: ExecutionStage) {
  const attempt = (label: string, ctx: { attempt: number }): void => {
    stage.attempts.push(`${label}#${ctx.attempt}`);
  };
  return {
    /** Writes its label in the transaction that commits with its entry. */
    commit: activity(async (ctx, label: string, ms: number = 0) => {
      attempt(label, ctx);
      const transaction = transactionScopeOf(ctx, "stage").open("stage") as StageTransaction;
      stage.whenCommitting();
      transaction.labels.push(label);
      if (ms > 0) await stage.pass(ms);
      return `${label} committed`;
    }),
    /** Like `commit`, and returns what it is given. */
    commitValue: activity(async (ctx, label: string, value: unknown) => {
      attempt(label, ctx);
      (transactionScopeOf(ctx, "stage").open("stage") as StageTransaction).labels.push(label);
      return value;
    }),
    /** Ends when its signal is aborted, and says so. */
    untilAborted: activity(async (ctx, label: string) => {
      attempt(label, ctx);
      await new Promise((resolve) => ctx.signal.addEventListener("abort", resolve, { once: true }));
      stage.attempts.push(`${label} aborted`);
    }),
    /** Takes `ms` of time and returns its label. */
    take: activity(async (ctx, label: string, ms: number = 0) => {
      attempt(label, ctx);
      if (ms > 0) await stage.pass(ms);
      return label;
    }),
    /** Fails at its first `times` attempts. */
    flaky: activity(RETRIED, async (ctx, label: string, times: number) => {
      attempt(label, ctx);
      if (ctx.attempt <= times) throw new Error(`${label} failed at attempt ${ctx.attempt}`);
      return `${label} at attempt ${ctx.attempt}`;
    }),
    /** Writes in its transaction, and fails at its first `times` attempts. */
    flakyCommit: activity(RETRIED, async (ctx, label: string, times: number) => {
      attempt(label, ctx);
      const transaction = transactionScopeOf(ctx, "stage").open("stage") as StageTransaction;
      transaction.labels.push(`${label}#${ctx.attempt}`);
      if (ctx.attempt <= times) throw new Error(`${label} failed at attempt ${ctx.attempt}`);
      return label;
    }),
    broken: activity(async (ctx, label: string, ms: number = 0): Promise<string> => {
      attempt(label, ctx);
      if (ms > 0) await stage.pass(ms);
      throw new Error(`${label} is broken`);
    }),
  };
}

function never(): Promise<never> {
  return new Promise(() => undefined);
}

function failure(outcome: "not-written" | "unknown"): PersistenceError {
  return new PersistenceError({ operation: "appendJournal", outcome, detail: "told to" });
}

export type StageActivities = ReturnType<typeof stageActivities>;
export { NonDeterminismError };
