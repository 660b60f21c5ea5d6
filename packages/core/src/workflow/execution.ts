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

import type { Clock } from "../adapter/clock.ts";
import type { Random } from "../adapter/random.ts";
import type { WorkflowStorage } from "../adapter/workflow-storage.ts";
import { backoffMs } from "../clock/backoff.ts";
import { decodeError, encodeError } from "../contract/error-codec.ts";
import { decodePayload, encodeBoundedPayload } from "../contract/payload.ts";
import type { ErrorClass } from "../contract/rpc.ts";
import { TransactionScope, type StorageTransaction } from "../contract/transaction.ts";
import type { JournalEntry, JournalEvent, StepKind } from "../data/journal-entry.ts";
import type { Call } from "../entity/behavior.ts";
import { isHoldfastError } from "../errors/holdfast-error.ts";
import { FencedError } from "../errors/storage.ts";
import { NonDeterminismError } from "../errors/workflow.ts";
import { runAttempt, type ActivitySettings, type AttemptBody } from "./activity-attempt.ts";
import { DeliveryQueue } from "./delivery-queue.ts";
import { Journal, type Outcome, type RecordedStep } from "./journal.ts";
import { Waits } from "./waits.ts";

/** A timer due sooner than this is awaited in memory: leaving and coming back would take about as long. */
const RESIDENT_MS = 1_000;
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
  readonly #heartbeats = new Map<number, unknown>();
  readonly #unasked: Set<number>;
  #position = 0;
  /** Steps that are doing something here and now. While there are any, the execution stays. */
  #busy = 0;
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
      failed: (error) => this.#stop({ type: "stopped", error }),
    });
    const recorded = [...this.#journal.steps];
    const delivered = recorded.filter((step) => step.outcome !== null && step.kind !== "value");
    const ordinals = delivered.map((step) => step.outcome?.ordinal ?? 0).toSorted((a, b) => a - b);
    this.#unasked = new Set(recorded.map((step) => step.position));
    this.#queue = new DeliveryQueue(clock, ordinals, () => this.#check());
    this.#waits = new Waits(clock);
  }

  get id(): string {
    return this.#options.call.envelope.address.entityId;
  }

  /** Whether recorded results are still on their way to the code. */
  get isReplaying(): boolean {
    return this.#unasked.size > 0 || this.#queue.isReplaying;
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
  activity(kind: "activity" | "run", name: string, settings: ActivitySettings, body: AttemptBody): Promise<unknown> {
    const { position, step } = this.#ask(kind, name);
    return this.#outcomeOf({ position, kind, name }, step, async (settle) => {
      let failures = step?.failures.length ?? 0;
      let retryAt = step?.failures.at(-1)?.retryAt ?? 0;
      for (;;) {
        if (retryAt > this.#options.clock.now()) await this.#idly(() => this.#waits.until(retryAt));
        await this.#ready();
        const attempt = failures + 1;
        const outcome = await this.#attempt(position, name, attempt, settings, body);
        if (outcome === "settled") return;
        if (outcome.type === "completed") return settle(outcome.event, outcome.transaction);
        const isFinal = attempt > settings.retries || settings.nonRetryable.some((errorClass) => outcome.error instanceof errorClass);
        const error = encodeError(outcome.error, { exposeStacks: this.#options.exposeStacks });
        if (isFinal) return settle({ type: "failed", error }, null);
        failures = attempt;
        retryAt = this.#options.clock.now() + this.#pauseAfter(attempt, settings);
        this.#record(position, kind, name, { type: "attempt-failed", attempt, error, retryAt });
      }
    });
  }

  /** A durable timer. `dueAt` is asked for when the step is new. */
  sleep(name: string, dueAt: () => number): Promise<unknown> {
    const { position, step } = this.#ask("sleep", name);
    return this.#outcomeOf({ position, kind: "sleep", name }, step, async (settle) => {
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
   */
  rpc(name: string, send: (idempotencyKey: string, signal: AbortSignal) => Promise<unknown>): Promise<unknown> {
    const { position, step } = this.#ask("rpc", name);
    const key = `${this.#options.call.envelope.address.entityType}/${this.id}/${position}`;
    return this.#outcomeOf({ position, kind: "rpc", name }, step, async (settle) => {
      for (let attempt = 1; ; attempt += 1) {
        await this.#ready();
        try {
          const value = await send(key, this.#abort.signal);
          return await settle(this.#completed(value, name), null);
        } catch (error) {
          if (this.#isStopped) return;
          // A volatile rpc that was cut short may have run: that is for the code to decide.
          if (!isHoldfastError(error) || !error.retryable || error.name === "InterruptedError") {
            const event: Outcome = { type: "failed", error: encodeError(error, { exposeStacks: this.#options.exposeStacks }) };
            return settle(event, null);
          }
        }
        const until = this.#options.clock.now() + backoffMs(RPC_RETRY, attempt, this.#options.random);
        await this.#waits.until(until);
      }
    });
  }

  /** A value taken once, at once, and the same in every replay. */
  value<Value>(name: string, take: () => Value): Value {
    const { position, step } = this.#ask("value", name);
    if (step?.outcome?.event.type === "completed") return decodePayload(step.outcome.event.value, name) as Value;
    const value = take();
    this.#record(position, "value", name, { type: "completed", value: encodeBoundedPayload(value, name, this.#options.maxPayloadBytes) });
    return value;
  }

  /** The next step's position, and what is recorded of it (E1). Stops the execution if that is another step. */
  #ask(kind: StepKind, name: string): { readonly position: number; readonly step: RecordedStep | undefined } {
    const position = this.#position;
    this.#position += 1;
    const step = this.#journal.step(position);
    this.#unasked.delete(position);
    if (step !== undefined && (step.kind !== kind || step.name !== name)) {
      const error = this.#divergence(position, describeStep(step.kind, step.name), describeStep(kind, name));
      this.#stop({ type: "stopped", error });
      throw error;
    }
    return { position, step };
  }

  /** The promise of a step's outcome: the recorded one, or what `perform` comes to. */
  #outcomeOf(
    asked: { readonly position: number; readonly kind: StepKind; readonly name: string },
    step: RecordedStep | undefined,
    perform: (settle: (event: Outcome, transaction: StorageTransaction | null) => Promise<void>) => Promise<void>,
  ): Promise<unknown> {
    const promise = new Promise<unknown>((resolve, reject) => {
      const hand = (event: Outcome): void => {
        if (this.#isStopped) return;
        if (event.type === "completed") resolve(decodePayload(event.value, `The result of ${asked.name}`));
        else reject(decodeError(event.error, this.#options.errors));
      };
      if (step !== undefined && step.outcome !== null) {
        const { ordinal, event } = step.outcome;
        return this.#queue.deliver(ordinal, () => hand(event));
      }
      void this.#busily(() =>
        perform(async (event, transaction) => {
          if (this.#isStopped) return void (await transaction?.rollback());
          const entry: JournalEntry = { ordinal: this.#journal.takeOrdinal(), ...asked, event };
          this.#queue.announce(entry.ordinal);
          if (transaction === null) this.#journal.append(entry);
          else await this.#journal.commit(entry, transaction);
          this.#queue.deliver(entry.ordinal, () => hand(event));
        }),
      );
    });
    // A step that nobody awaits, such as the loser of a race, must not end the process when it fails.
    promise.catch(() => undefined);
    return promise;
  }

  async #attempt(
    position: number,
    name: string,
    attempt: number,
    settings: ActivitySettings,
    body: AttemptBody,
  ): Promise<
    | { readonly type: "completed"; readonly event: Outcome; readonly transaction: StorageTransaction | null }
    | { readonly type: "failed"; readonly error: unknown }
    | "settled"
  > {
    const { clock, beginTransaction } = this.#options;
    const transactions = new TransactionScope(
      beginTransaction,
      "the cluster's storage has no transactions for activities; configure one that has, such as Postgres",
    );
    const outcome = await runAttempt(
      {
        clock,
        settings,
        executionId: this.id,
        position,
        name,
        attempt,
        transactions,
        signal: this.#abort.signal,
        lastHeartbeat: this.#heartbeats.get(position),
        heartbeat: (details) => void this.#heartbeats.set(position, details),
      },
      body,
    );
    if (this.#isStopped) {
      if (outcome.type === "completed") await outcome.transaction?.rollback().catch(() => undefined);
      return "settled";
    }
    if (outcome.type === "failed") {
      // A lost fence is no failure of the activity: this copy of the execution is over.
      if (outcome.error instanceof FencedError && outcome.error.shardId === this.#options.call.fence.shardId) {
        this.#stop({ type: "stopped", error: outcome.error });
        return "settled";
      }
      return outcome;
    }
    try {
      return { type: "completed", event: this.#completed(outcome.value, name), transaction: outcome.transaction };
    } catch (error) {
      await outcome.transaction?.rollback().catch(() => undefined);
      return { type: "failed", error };
    }
  }

  #completed(value: unknown, name: string): Outcome {
    return { type: "completed", value: encodeBoundedPayload(value, `The result of ${name}`, this.#options.maxPayloadBytes) };
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

  #pauseAfter(attempt: number, settings: ActivitySettings): number {
    const { backoff: kind, initialIntervalMs: initialMs, maxIntervalMs: maxMs } = settings;
    return backoffMs({ kind, initialMs, maxMs, jitter: 0 }, attempt, this.#options.random);
  }

  /** Soon, when everything that is ready has run: does the code wait for nothing but time? Then it leaves memory. */
  #check(): void {
    if (this.#isChecking || this.#isStopped) return;
    this.#isChecking = true;
    void this.#options.clock.nextTurn().then(() => {
      this.#isChecking = false;
      this.#leaveIfIdle();
    });
  }

  #leaveIfIdle(): void {
    if (this.#isStopped || this.#busy > 0 || this.#queue.isPumping || this.#journal.isWriting) return;
    if (this.#options.call.leaving.aborted) return this.#stop({ type: "suspended", until: 0 });
    const unaskedOutcome = !this.#queue.isEmpty;
    const earliest = this.#waits.earliest;
    if (earliest === null) {
      // Recorded results wait for steps that the code does not ask for, and nothing else will make it go on.
      if (unaskedOutcome && this.#unasked.size > 0) this.#stop({ type: "stopped", error: this.#unaskedStep() });
      return;
    }
    if (earliest - this.#options.clock.now() >= RESIDENT_MS) this.#stop({ type: "suspended", until: earliest });
  }

  #finish(end: ExecutionEnd): void {
    this.#stop(this.#unasked.size > 0 ? { type: "stopped", error: this.#unaskedStep() } : end);
  }

  #stop(end: ExecutionEnd): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#queue.stop();
    this.#waits.stop();
    this.#abort.abort(end.type === "stopped" ? end.error : new Error("The execution is over"));
    this.#end?.(end);
  }

  #unaskedStep(): NonDeterminismError {
    const position = Math.min(...this.#unasked);
    const step = this.#journal.step(position);
    return this.#divergence(position, step === undefined ? "another step" : describeStep(step.kind, step.name), "no step there");
  }

  #divergence(position: number, recorded: string, asked: string): NonDeterminismError {
    return new NonDeterminismError({ workflow: this.#options.workflow, executionId: this.id, position, recorded, asked });
  }
}

function describeStep(kind: StepKind, name: string): string {
  return `${kind} "${name}"`;
}
