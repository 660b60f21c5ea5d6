// Execution: one run of a workflow's code over its journal, in memory until it ends, waits long, or has to leave.
//
// Gives each step its position, finds what is recorded of it, does what is not, and decides when the code waits for
// nothing but time. Knows nothing of what a step means to users (define/workflow.ts), nor of messages.
//
//   E1  A step's position is the order in which the code asked for it. Kind and name must be those of the journal.
//   E2  What the code gets for a step is what replay would give it: decoded from what is recorded, in the recorded order
//       (delivery-queue.ts).
//   E3  A side effect starts only when everything recorded before is durable.
//   E4  After `#stop` nothing is recorded, nothing is delivered, and nothing new starts. The code just never goes on.
//   E5  Nothing is recorded or started before the code has asked for, and was given, everything that is recorded. What a
//       recorded step followed from is recorded, too (J4), so a replay gets there by itself; one that does not has
//       diverged, and its journal is as it was.

import { createHash } from "node:crypto";
import type { Clock, Timer } from "../adapter/clock.ts";
import type { Random } from "../adapter/random.ts";
import type { WorkflowStorage } from "../adapter/workflow-storage.ts";
import { backoffMs } from "../clock/backoff.ts";
import { decodeError, encodeError } from "../contract/error-codec.ts";
import { isKey } from "../contract/key.ts";
import { decodePayload, encodeBoundedPayload } from "../contract/payload.ts";
import type { ErrorClass } from "../contract/rpc.ts";
import type { StorageTransaction } from "../contract/transaction.ts";
import type { EncodedError } from "../data/encoded-error.ts";
import type { JournalEntry, JournalEvent, StepKind } from "../data/journal-entry.ts";
import type { Call } from "../entity/behavior.ts";
import { isHoldfastError } from "../errors/holdfast-error.ts";
import { TransactionUnavailableError } from "../errors/storage.ts";
import { ClusterClosedError } from "../errors/routing.ts";
import { NonDeterminismError } from "../errors/workflow.ts";
import type { ActivitySettings, AttemptBody } from "./activity-attempt.ts";
import { ActivityStep, type ActivitySurroundings, type Settle } from "./activity-step.ts";
import { DeliveryQueue } from "./delivery-queue.ts";
import { Journal, type Outcome, type RecordedStep } from "./journal.ts";
import { Replay, type Asked } from "./replay.ts";
import { Waits } from "./waits.ts";

/** A timer due sooner than this is awaited in memory: leaving and coming back would take about as long. */
const RESIDENT_MS = 1_000;
/** So long a replay may stand still, in code that awaits something of its own, before that counts as divergence. */
const STALLED_MS = 1_000;
const RPC_RETRY = { kind: "exponential", initialMs: 100, maxMs: 10_000, jitter: 0 } as const;

export interface ExecutionOptions {
  readonly workflow: string;
  readonly call: Call;
  readonly entries: readonly JournalEntry[];
  readonly storage: WorkflowStorage;
  readonly clock: Clock;
  readonly random: Random;
  readonly exposeStacks: boolean;
  readonly maxPayloadBytes: number;
  readonly errors: readonly ErrorClass[];
  readonly beginTransaction: (() => StorageTransaction) | undefined;
}

/** How a run of the code ended. */
export type ExecutionEnd =
  | { readonly type: "completed"; readonly value: unknown }
  /** The code threw. */
  | { readonly type: "failed"; readonly error: unknown }
  | { readonly type: "suspended"; readonly until: number }
  /** It may not go on here; what is recorded stays, and another copy takes it from there. */
  | { readonly type: "stopped"; readonly error: unknown };

export class Execution {
  readonly #options: ExecutionOptions;
  readonly #journal: Journal;
  readonly #queue: DeliveryQueue;
  readonly #waits: Waits;
  readonly #abort = new AbortController();
  readonly #replay: Replay;
  /** What the attempts of activities see of this. */
  readonly #surroundings: ActivitySurroundings;
  #stalled: Timer | null = null;
  /** Steps that are doing something here and now. While there are any, the execution stays. */
  #busy = 0;
  /** Of those, calls that another copy joins by their key: they need not end before the execution leaves. */
  #joinable = 0;
  #isStopped = false;
  #isChecking = false;
  #end: ((end: ExecutionEnd) => void) | null = null;

  constructor(options: ExecutionOptions) {
    this.#options = options;
    const { call, storage, entries, clock } = options;
    const { entityType, entityId } = call.envelope.address;
    this.#journal = new Journal({
      storage,
      execution: { entityType, executionId: entityId },
      fence: call.fence,
      entries,
      written: () => this.#check(),
      failed: (error) => this.#stop({ type: "stopped", error }),
    });
    const recorded = [...this.#journal.steps];
    const delivered = recorded.filter((step) => step.outcome !== null && step.kind !== "value");
    const ordinals = delivered.map((step) => step.outcome?.ordinal ?? 0).toSorted((a, b) => a - b);
    this.#replay = new Replay({ workflow: options.workflow, executionId: entityId, journal: this.#journal });
    this.#queue = new DeliveryQueue(clock, ordinals, () => this.#check());
    this.#waits = new Waits(clock);
    this.#surroundings = {
      ...options,
      executionId: entityId,
      fence: call.fence,
      signal: this.#abort.signal,
      isStopped: () => this.#isStopped,
      stop: (error) => this.#stop({ type: "stopped", error }),
      ready: () => this.#ready(),
      until: (at) => this.#idly(() => this.#waits.until(at)),
      record: (position, kind, name, event) => this.#record(position, kind, name, event),
      completed: (value, name) => this.#completed(value, name),
    };
  }

  get id(): string {
    return this.#options.call.envelope.address.entityId;
  }

  /** Whether recorded results are still on their way to the code. */
  get isReplaying(): boolean {
    return !this.#replay.isOver || this.#queue.isReplaying;
  }

  /** Resolves when nothing that it recorded is on its way to storage any more; null: nothing is. After its end (J5). */
  settled(): Promise<void> | null {
    return this.#journal.isSettled ? null : this.#journal.settled();
  }

  /** Runs the code until it ends, waits long, or has to stop. Never rejects. */
  async run(code: () => Promise<unknown>): Promise<ExecutionEnd> {
    const { call } = this.#options;
    const ended = new Promise<ExecutionEnd>((resolve) => (this.#end = resolve));
    const onAbort = (): void => this.#stop({ type: "stopped", error: call.signal.reason });
    const onLeaving = (): void => this.#check();
    call.signal.addEventListener("abort", onAbort, { once: true });
    call.leaving.addEventListener("abort", onLeaving, { once: true });
    if (call.signal.aborted) onAbort();
    else {
      code().then(
        (value) => this.#finish({ type: "completed", value }),
        (error: unknown) => this.#finish({ type: "failed", error }),
      );
      this.#check();
    }
    const end = await ended;
    call.signal.removeEventListener("abort", onAbort);
    call.leaving.removeEventListener("abort", onLeaving);
    return end;
  }

  /** A step with a body that is run until it succeeds or may not be tried again. */
  activity(
    kind: "activity" | "run",
    name: string,
    settings: ActivitySettings,
    body: AttemptBody,
  ): Promise<unknown> {
    return this.#step(kind, name, (position, step, settle) => {
      const activity = new ActivityStep({ position, kind, name, settings, body }, step, this.#surroundings);
      return activity.perform(settle);
    });
  }

  /** A durable timer. `dueAt` is asked for when the step is new. */
  sleep(name: string, dueAt: () => number): Promise<unknown> {
    return this.#step("sleep", name, async (position, step, settle) => {
      const due = step?.dueAt ?? dueAt();
      if (step?.dueAt === undefined || step.dueAt === null) {
        this.#record(position, "sleep", name, { type: "begun", dueAt: due, detail: null });
        // It may leave memory only once its due time is known for good.
        await this.#journal.durable();
      }
      await this.#idly(() => this.#waits.until(due));
      await settle({ type: "completed", value: "null" }, null);
    });
  }

  /**
   * A call of an entity. What surely did not run is called again; `send` gets a key that is the same however often the
   * step is repeated, so that a persisted rpc runs once.
   *
   * @param isJoinable whether the same call with the same key, made elsewhere, joins this one
   */
  rpc(
    name: string,
    isJoinable: boolean,
    send: (idempotencyKey: string, signal: AbortSignal) => Promise<unknown>,
  ): Promise<unknown> {
    return this.#step("rpc", name, async (position, _step, settle) => {
      const joinable = isJoinable ? 1 : 0;
      for (let attempt = 1; ; attempt += 1) {
        await this.#ready();
        this.#joinable += joinable;
        try {
          const value = await send(this.#keyOf(position), this.#abort.signal);
          return void (await settle(this.#completed(value, name), null));
        } catch (error) {
          if (this.#isStopped) return;
          if (!mayBeSentAgain(error, isJoinable)) {
            return void (await settle({ type: "failed", error: this.#encode(error) }, null));
          }
        } finally {
          this.#joinable -= joinable;
        }
        const until = this.#options.clock.now() + backoffMs(RPC_RETRY, attempt, this.#options.random);
        await this.#idly(() => this.#waits.until(until));
      }
    });
  }

  /** A value taken once, at once, and the same in every replay. */
  value<Value>(name: string, take: () => Value): Value {
    const { position, step } = this.#ask("value", name);
    if (step?.outcome?.event.type === "completed")
      return decodePayload(step.outcome.event.value, name) as Value;
    // It was recorded before anything that followed it, so what is recorded further on followed another step (E5).
    if (!this.#replay.isOver) throw this.#diverge(this.#replay.unaskedStep());
    const value = take();
    const text = encodeBoundedPayload(value, name, this.#options.maxPayloadBytes);
    this.#record(position, "value", name, { type: "completed", value: text });
    return value;
  }

  /** The next step's position, and what is recorded of it (E1). @throws {NonDeterminismError} after stopping: it is another */
  #ask(kind: StepKind, name: string): Asked {
    const asked = this.#replay.ask(kind, name);
    if (asked instanceof NonDeterminismError) throw this.#diverge(asked);
    if (this.#replay.isOver && !this.isReplaying) this.#replay.catchUp();
    return asked;
  }

  /** Asks for a step and returns the promise of its outcome: the recorded one, or what `perform` comes to. */
  #step(
    kind: StepKind,
    name: string,
    perform: (position: number, step: RecordedStep | undefined, settle: Settle) => Promise<void>,
  ): Promise<unknown> {
    const promise = new Promise<unknown>((resolve, reject) => {
      if (this.#isStopped) return;
      const asked = this.#tryAsk(kind, name);
      if (asked === null) return;
      const { position, step } = asked;
      const hand = (event: Outcome): void => {
        if (this.#isStopped) return;
        if (event.type === "completed") resolve(decodePayload(event.value, `The result of ${name}`));
        else reject(decodeError(event.error, this.#options.errors));
      };
      if (step !== undefined && step.outcome !== null) {
        const { ordinal, event } = step.outcome;
        return this.#queue.deliver(ordinal, () => hand(event));
      }
      const settle: Settle = async (event, transaction) => {
        if (this.#isStopped) {
          await transaction?.rollback();
          return undefined;
        }
        const entry: JournalEntry = { ordinal: this.#journal.takeOrdinal(), position, kind, name, event };
        this.#queue.announce(entry.ordinal);
        if (transaction === null) this.#journal.append(entry);
        else {
          try {
            await this.#journal.commit(entry, transaction);
          } catch (error) {
            if (!(error instanceof TransactionUnavailableError)) throw error;
            this.#queue.giveUp(entry.ordinal);
            return error;
          }
        }
        this.#queue.deliver(entry.ordinal, () => hand(event));
        return undefined;
      };
      const work = (): Promise<void> => this.#busily(() => perform(position, step, settle));
      if (this.isReplaying) void this.#replay.caughtUp.then(work);
      else void work();
    });
    // A step that nobody awaits, such as the loser of a race, must not end the process when it fails.
    promise.catch(() => undefined);
    return promise;
  }

  /** Like `#ask`, and null where that throws: code that asks for a step just never goes on (E4). */
  #tryAsk(kind: StepKind, name: string): Asked | null {
    try {
      return this.#ask(kind, name);
    } catch {
      return null;
    }
  }

  #encode(error: unknown): EncodedError {
    return encodeError(error, { exposeStacks: this.#options.exposeStacks });
  }

  /** Names a step for others, and is the same however often it is repeated. */
  #keyOf(position: number): string {
    const key = `${this.#options.call.envelope.address.entityType}/${this.id}/${position}`;
    // An execution's id may be as long as a key may, and here the rest is added to it.
    return key.length <= 512 && isKey(key) ? key : createHash("sha256").update(key).digest("hex");
  }

  #completed(value: unknown, name: string): Outcome {
    return {
      type: "completed",
      value: encodeBoundedPayload(value, `The result of ${name}`, this.#options.maxPayloadBytes),
    };
  }

  #record(position: number, kind: StepKind, name: string, event: JournalEvent): void {
    if (this.#isStopped) return;
    this.#journal.append({ ordinal: this.#journal.takeOrdinal(), position, kind, name, event });
  }

  /** Resolves when a side effect may start (E3); never once the execution is over or has to leave. */
  async #ready(): Promise<void> {
    await this.#journal.durable();
    if (this.#isStopped || this.#options.call.leaving.aborted) {
      this.#busy -= 1;
      this.#check();
      await new Promise<never>(() => undefined);
    }
  }

  /** Runs a step's work; while it runs the execution stays in memory. */
  async #busily(work: () => Promise<void>): Promise<void> {
    this.#busy += 1;
    try {
      await work();
    } catch (error) {
      // Only storage's refusals come here: what is written is read back by the next copy (J3).
      this.#stop({ type: "stopped", error });
    }
    this.#busy -= 1;
    this.#check();
  }

  /** Waits for time alone: the execution may leave memory meanwhile. */
  async #idly(wait: () => Promise<void>): Promise<void> {
    this.#busy -= 1;
    this.#check();
    await wait();
    this.#busy += 1;
  }

  /** Soon, when everything that is ready has run: does the code wait for nothing but time? Then it leaves memory. */
  #check(): void {
    if (this.#isChecking || this.#isStopped) return;
    this.#isChecking = true;
    void this.#options.clock.nextTurn().then(() => {
      this.#isChecking = false;
      if (!this.isReplaying) this.#replay.catchUp();
      this.#leaveIfIdle();
    });
  }

  #leaveIfIdle(): void {
    if (this.#isStopped || this.#queue.isPumping || this.#journal.isWriting) return;
    const isLeaving = this.#options.call.leaving.aborted;
    if (this.#busy > (isLeaving ? this.#joinable : 0)) return;
    if (isLeaving) return this.#stop({ type: "suspended", until: 0 });
    if (!this.#replay.isOver) return this.#watchStall();
    const earliest = this.#waits.earliest;
    if (earliest !== null && earliest - this.#options.clock.now() >= RESIDENT_MS) {
      this.#stop({ type: "suspended", until: earliest });
    }
  }

  /** The replay does nothing. Unless the code awaits something of its own, it waits for what will never come. */
  #watchStall(): void {
    if (this.#stalled !== null) return;
    const { position } = this.#replay;
    this.#stalled = this.#options.clock.setTimer(STALLED_MS, () => {
      this.#stalled = null;
      if (this.#isStopped || this.#replay.isOver) return;
      if (this.#replay.position === position) this.#diverge(this.#replay.unaskedStep());
      else this.#check();
    });
  }

  #finish(end: ExecutionEnd): void {
    if (!this.#replay.isOver) this.#diverge(this.#replay.unaskedStep());
    else this.#stop(end);
  }

  #diverge(error: NonDeterminismError): NonDeterminismError {
    this.#stop({ type: "stopped", error });
    return error;
  }

  #stop(end: ExecutionEnd): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#queue.stop();
    this.#waits.stop();
    this.#stalled?.cancel();
    this.#abort.abort(end.type === "stopped" ? end.error : new Error("The execution is over"));
    this.#end?.(end);
  }
}

/** Whether a call that failed so is made again by the execution itself, instead of failing in its code. */
function mayBeSentAgain(error: unknown, isJoinable: boolean): boolean {
  if (!isHoldfastError(error)) return false;
  // The member is on its way out: the execution will be, too.
  if (error instanceof ClusterClosedError) return true;
  // A volatile rpc that was cut short may have run: that is for the code to decide.
  return error.retryable && (isJoinable || error.name !== "InterruptedError");
}
