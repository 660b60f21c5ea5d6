// ExecutionStage: one execution of a workflow on a journal that keeps what was durable, through crashes, in virtual time.
//
// Stands in for the cluster around a workflow, and for the runner that calls its handler again after a suspension, a crash
// or a failed write. A crash ends one copy of the execution as the end of a process does: its timers never fire, its
// writes under way are lost, and the next copy has the journal and nothing else. What is durable is in stage-storage.ts;
// signals, children and what else the outside world does come with a DurableRun (durable-run.ts).

import type { Clock } from "../src/adapter/clock.ts";
import type { RequestState } from "../src/adapter/message-storage.ts";
import type { InboxMessage } from "../src/adapter/workflow-storage.ts";
import type { CallOptions } from "../src/client/call-options.ts";
import type { CallTarget } from "../src/client/caller.ts";
import { SeededRandom } from "../src/clock/seeded-random.ts";
import { sleep } from "../src/clock/sleep.ts";
import { VirtualClock, type VirtualClockView } from "../src/clock/virtual-clock.ts";
import { Abort } from "../src/contract/abort.ts";
import type { LogFields, Logger } from "../src/contract/logger.ts";
import { decodePayload, encodePayload } from "../src/contract/payload.ts";
import { TransactionScope } from "../src/contract/transaction.ts";
import { EXECUTE } from "../src/contract/workflow-contract.ts";
import type { JournalEntry } from "../src/data/journal-entry.ts";
import type { WorkflowServices } from "../src/define/context-parts.ts";
import type { WorkflowContext } from "../src/define/workflow-context.ts";
import { handlersOf, Suspension, type Call, type Handler } from "../src/entity/behavior.ts";
import { FencedError, PersistenceError } from "../src/errors/storage.ts";
import { stageActivities, Staged, StageTransaction, type StageActivities } from "./stage-definitions.ts";
import { FENCE, never, StageStorage, type Fault } from "./stage-storage.ts";

export { Echo } from "./stage-definitions.ts";
export type { Fault } from "./stage-storage.ts";

export type StageContext = WorkflowContext<StageActivities>;
export type Program = (ctx: StageContext, stage: ExecutionStage, input?: unknown) => Promise<unknown>;

/** How the execution ended, or what it waits for. */
export type StageEnd =
  | { readonly type: "completed"; readonly value: unknown }
  | { readonly type: "failed"; readonly error: unknown }
  | { readonly type: "suspended"; readonly until: number | null }
  | { readonly type: "crashed" };

/** What the cluster around a workflow does for it. */
export type Surroundings = Pick<
  WorkflowServices,
  "workflow" | "lookUp" | "isHosted" | "hasten" | "callEntity" | "notifyEntity"
>;

/** The same call, in which the process may crash: just before it leaves, and just before its answer comes. */
export type Crashable = <Arguments extends readonly unknown[], Result>(
  call: (...args: Arguments) => Promise<Result>,
) => (...args: Arguments) => Promise<Result>;

/** One process: it has the handlers of the execution, and all of it is gone after a crash. */
interface StageProcess {
  readonly view: VirtualClockView;
  readonly clock: Clock;
  readonly passes: () => boolean;
  readonly crashable: Crashable;
  readonly handlers: Readonly<Record<string, Handler>>;
  readonly reply: (recorded: () => void) => Promise<void>;
}

const REQUEST = "request-1";
const CRASHED = new Error("crashed");

export class ExecutionStage {
  readonly clock: VirtualClock = new VirtualClock();
  readonly executionId: string;
  readonly storage: StageStorage = new StageStorage();
  /** Each attempt of an activity that began, as `label#attempt`. */
  readonly attempts: string[] = [];
  /** Calls of entities that were sent: their keys. */
  readonly sent: string[] = [];
  /** What the last copy's code said of itself. */
  trace: string[] = [];
  readonly transactions: StageTransaction[] = [];
  /** Wall times at which an execution was woken that waits for the end of this one. */
  readonly wakings: number[] = [];
  readonly logged: string[] = [];
  copies = 0;
  /** By the number of the copy, the first being 1: after how many milliseconds its shard is about to move. */
  readonly leaves: Map<number, number> = new Map<number, number>();
  /** The places passed so far at which the runtime or the code waits, or something reaches the outside world. */
  places = 0;
  /** The number of the place at which the process crashes, the first being 1; null: at none. */
  crashesAt: number | null = null;
  /** The handler of the entity that programs call. */
  answer: (input: unknown, options: CallOptions) => unknown = (input) => input;
  /** Is given the fields of each error that is logged. */
  logError: (fields: LogFields) => void = () => undefined;
  /** Runs in each attempt of `commit`; throws as a statement of a transaction does. */
  whenCommitting: () => void = () => undefined;
  /** How long an attempt of an activity takes. */
  lasts: (attempt: string, ms: number, signal: AbortSignal) => Promise<void> = (_attempt, ms) =>
    this.pass(ms);
  /** What the cluster does for the execution. Each process asks for it once. */
  surround: (crashable: Crashable) => Partial<Surroundings> = () => ({});
  program: Program;
  #abort = new Abort();
  #leaving = new Abort();
  #copy = 0;
  #process: StageProcess | null = null;
  #processes = 0;
  #end: StageEnd | null = null;
  readonly #whenCrashed: (() => void)[] = [];
  readonly #workflow = Staged.implement({
    activities: stageActivities({
      attempts: this.attempts,
      whenCommitting: () => this.whenCommitting(),
      lasts: (...args) => this.#process?.crashable(this.lasts)(...args) ?? never(),
    }),
    execute: (ctx, input) => this.program(ctx, this, input),
  });

  constructor(program: Program, executionId: string = "execution-1") {
    this.program = program;
    this.executionId = executionId;
    this.storage.hasEnded = () => this.#end !== null;
  }

  get journal(): readonly JournalEntry[] {
    return this.storage.journal;
  }

  get committed(): readonly string[] {
    return this.storage.committed;
  }

  get writes(): number {
    return this.storage.writes;
  }

  get faults(): Map<number, Fault> {
    return this.storage.faults;
  }

  get slowWrites(): Map<number, number> {
    return this.storage.slowWrites;
  }

  get lostItsEnd(): boolean {
    return this.storage.lostItsEnd;
  }

  get latencyTurns(): number {
    return this.storage.latencyTurns;
  }

  set latencyTurns(turns: number) {
    this.storage.latencyTurns = turns;
  }

  get end(): StageEnd | null {
    return this.#end;
  }

  /** How many processes there were. */
  get processes(): number {
    return this.#processes;
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

  /** Begins one copy. @param attempt how often its request was begun without being put off, this time included */
  begin(attempt: number = 1): void {
    this.copies += 1;
    this.#copy += 1;
    this.#process ??= this.#boot();
    this.#abort = new Abort();
    this.#leaving = new Abort();
    this.trace = [];
    this.storage.lostItsEnd = false;
    this.#end = null;
    const copy = this.#copy;
    const { view, handlers } = this.#process;
    const leaveAfterMs = this.leaves.get(this.copies);
    if (leaveAfterMs !== undefined) {
      view.setTimer(leaveAfterMs, () => {
        if (copy === this.#copy) this.leave();
      });
    }
    const ended = (end: StageEnd): void => {
      if (copy === this.#copy) this.#end ??= end;
    };
    const message = { requestId: REQUEST, tag: EXECUTE, payload: encodePayload({}, "input") };
    void (async () => handlers[EXECUTE]?.({}, this.#call(message, attempt)))().then(
      (value) =>
        ended(
          value instanceof Suspension
            ? { type: "suspended", until: value.until }
            : { type: "completed", value },
        ),
      (error: unknown) => ended({ type: "failed", error }),
    );
  }

  /** Has the execution's entity handle a message, and records that it did. Never resolves if its process crashes first. */
  async deliver(message: InboxMessage): Promise<void> {
    this.#process ??= this.#boot();
    const { clock, handlers, passes } = this.#process;
    if (!passes()) return never();
    await handlers[message.tag]?.(decodePayload(message.payload, "input"), this.#call(message, 1));
    // That takes as long as a write of the journal, which is on its way beside it.
    for (let turns = 0; turns <= this.latencyTurns; turns += 1) await clock.nextTurn();
  }

  /** Records what the execution came to. Never resolves if its process crashes before it knows. */
  async reply(recorded: () => void): Promise<void> {
    await (this.#process?.reply(recorded) ?? never());
  }

  /** The turns of the process of now. Where it crashes they never end. */
  turns(): () => Promise<void> {
    const { clock } = (this.#process ??= this.#boot());
    return () => clock.nextTurn();
  }

  /** Waits for work of the process of now, or for its crash. */
  async crashOr(work: Promise<void>): Promise<void> {
    await Promise.race([work, new Promise<void>((resolve) => this.#whenCrashed.push(resolve))]);
  }

  /** Moves time on until the copy ended. */
  async settle(): Promise<StageEnd> {
    await this.clock.settle();
    for (;;) {
      if (this.#end !== null) return this.#end;
      const due = this.clock.nextDueAt();
      if (due === null) throw new Error(`The execution waits for nothing; so far: ${this.trace.join(", ")}`);
      await this.clock.advance(due - this.clock.monotonic());
    }
  }

  /** Ends this copy as the end of its process would. */
  crash(): void {
    this.storage.lostItsEnd ||= this.#end !== null;
    this.#end = { type: "crashed" };
    this.#copy += 1;
    this.#process?.view.stop();
    this.#process = null;
    this.#processes += 1;
    this.#abort.abort(CRASHED);
    for (const resolve of this.#whenCrashed.splice(0)) resolve();
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
  async pass(ms: number): Promise<void> {
    await (this.#process === null ? never() : sleep(this.#process.view, ms));
  }

  /** Where a process may crash. Returns whether it lives on. */
  #passes(process: number): boolean {
    if (process !== this.#processes) return false;
    this.places += 1;
    if (this.places !== this.crashesAt) return true;
    this.crash();
    return false;
  }

  #call({ requestId, tag, payload }: InboxMessage, attempt: number): Call {
    const { name } = Staged.entity;
    const address = { entityType: name, entityId: this.executionId, shardId: FENCE.shardId };
    return {
      envelope: {
        requestId,
        address,
        tag,
        payload,
        headers: {},
        persisted: true,
        expects: "reply",
        deduplicationKey: tag === EXECUTE ? EXECUTE : requestId,
        deliverAt: null,
        uninterruptible: true,
        fromInside: true,
        sender: "test",
        readPendingFirst: false,
      },
      attempt,
      isNew: false,
      signal: this.#abort.signal,
      aborted: this.#abort,
      leaving: this.#leaving,
      fence: FENCE,
      transactions: new TransactionScope(undefined, "none here"),
      mayBegin: () => true,
      countAnew: () => undefined,
      owes: () => undefined,
    };
  }

  #boot(): StageProcess {
    const process = this.#processes;
    const view = this.clock.view();
    const passes = (): boolean => this.#passes(process);
    const clock: Clock = {
      now: () => view.now(),
      monotonic: () => view.monotonic(),
      setTimer: (delayMs, fire) => view.setTimer(delayMs, () => (passes() ? fire() : undefined)),
      nextTurn: async () => {
        await view.nextTurn();
        if (!passes()) await never();
      },
      afterTurn: (fire) => view.afterTurn(() => (passes() ? fire() : undefined)),
    };
    const storage = this.storage.connect({
      clock,
      passes,
      isGone: () => process !== this.#processes,
      crash: () => this.crash(),
    });
    const crashable: Crashable =
      (call) =>
      async (...args) => {
        if (!passes()) return never();
        const result = await call(...args);
        return passes() ? result : never();
      };
    const behavior = this.#workflow.bind({ ...this.#services(clock, crashable), storage });
    const { name } = Staged.entity;
    const handlers = handlersOf(behavior, {
      address: { entityType: name, entityId: this.executionId, shardId: FENCE.shardId },
      fence: FENCE,
      signal: this.#abort.signal,
      onEvict: () => undefined,
    });
    return { view, clock, passes, crashable, handlers, reply: (recorded) => storage.reply(recorded) };
  }

  #services(clock: Clock, crashable: Crashable): Omit<WorkflowServices, "storage"> {
    const log = (message: string): void => void this.logged.push(message);
    const error: Logger["error"] = (message, fields = {}) => {
      this.logged.push(message);
      this.logError(fields);
    };
    const around: Surroundings = {
      workflow: () => {
        throw new Error("not on this stage");
      },
      lookUp: async (): Promise<RequestState> => ({
        state: "pending",
        requestId: REQUEST,
        deliverAt: null,
        attempts: 1,
      }),
      isHosted: () => this.#end === null,
      hasten: async () => undefined,
      callEntity: (target, input, options) => this.#send(target, input, options),
      notifyEntity: async (target, input, options) => void (await this.#send(target, input, options)),
      ...this.surround(crashable),
    };
    return {
      ...around,
      clock,
      random: new SeededRandom(1 + this.#processes),
      logger: { debug: log, info: log, warn: log, error },
      exposeStacks: false,
      maxPayloadBytes: 100_000,
      replayOnly: false,
      beginTransaction: () => {
        const transaction = new StageTransaction();
        this.transactions.push(transaction);
        return transaction;
      },
      entity: () => {
        throw new Error("not on this stage");
      },
      wake: crashable(async () => void this.wakings.push(this.clock.now())),
    };
  }

  async #send(_target: CallTarget, input: unknown, options: CallOptions): Promise<unknown> {
    this.sent.push(options.idempotencyKey ?? "none");
    return this.answer(input, options);
  }
}
