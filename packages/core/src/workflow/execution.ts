// Execution: one run of a workflow's code over its journal, in memory until it ends, waits long, or has to leave.
//
// Gives each step its position, finds what is recorded of it, and has done what is not (the files *-step.ts). When it may leave
// is in departure.ts. Knows nothing of what a step means to users (define/), nor how messages come.
//
//   E1  A step's position is the order in which the code asked for it. Kind and name must be those of the journal.
//   E2  What the code gets for a step is what replay would give it: decoded from what is recorded, in the recorded order
//       (delivery-queue.ts).
//   E3  A side effect starts only when everything recorded before is durable, and while the lease is held at that very moment.
//   E4  After `#stop` nothing is recorded, nothing is delivered, and nothing new starts. The code just never goes on.
//   E5  Nothing is recorded or started before the code has asked for, and was given, everything that is recorded. What a
//       recorded step followed from is recorded, too (J4), so a replay gets there by itself; one that does not has
//       diverged, and its journal is as it was.
//   E6  What came from outside waits until then (arrivals.ts). It leaves the inbox only by an entry of the journal.

import type { InboxMessage } from "../adapter/workflow-storage.ts";
import { Abort } from "../contract/abort.ts";
import { decodeError } from "../contract/error-codec.ts";
import { quietLog, withFields, type Logger } from "../contract/logger.ts";
import { decodePayload } from "../contract/payload.ts";
import { errorsOf, type OpenStepInfo, type Watcher } from "../contract/workflow-contract.ts";
import type { JournalEntry, StepKind } from "../data/journal-entry.ts";
import { DefinitionError } from "../errors/config.ts";
import { InterruptedError } from "../errors/routing.ts";
import { FencedError, PersistenceError } from "../errors/storage.ts";
import { JournalFullError, NonDeterminismError, type WorkflowCancelledError } from "../errors/workflow.ts";
import { misplaced } from "./activity-body.ts";
import { Arrivals } from "./arrivals.ts";
import { BegunSteps } from "./begun-steps.ts";
import { CancelRequest } from "./cancel-request.ts";
import { Cancellation, OpenStep } from "./cancellation.ts";
import { Continuation, type Prepare } from "./continuation.ts";
import { DeliveryQueue } from "./delivery-queue.ts";
import { Departure } from "./departure.ts";
import { executionKeyOf } from "./execution-key.ts";
import type { ExecutionEnd, ExecutionOptions } from "./execution-options.ts";
import { ExecutionScope } from "./execution-scope.ts";
import { InstantSteps } from "./instant-steps.ts";
import { Journal, type Outcome } from "./journal.ts";
import { Places } from "./places.ts";
import { Progress } from "./progress.ts";
import { unreadableJournal } from "./recorded-run.ts";
import { INSTANT, Recorder, recordedOrdinals } from "./recorder.ts";
import { Replay, type Asked } from "./replay.ts";
import { Residence } from "./residence.ts";
import type { SignalBuffer } from "./signal-buffer.ts";
import type { Perform, Settle, Step, StepRequest, StepScope } from "./step.ts";
import { signalValueOf } from "./taken-signal.ts";
import { unattended } from "./unattended.ts";

/** Why what an execution left behind is to end. One for all: no stack of it says anything. */
const OVER = new InterruptedError({ what: "The work of an execution", why: "the execution is over" });
/** From this part of `maxSteps` on the log warns. */
const WARNED_PART = 0.8;

export class Execution {
  readonly #options: ExecutionOptions;
  readonly #progress = new Progress();
  readonly #journal: Journal;
  readonly #queue: DeliveryQueue;
  readonly #residence: Residence;
  readonly #stopped = new Abort();
  readonly #replay: Replay;
  readonly #cancellation = new Cancellation();
  readonly #cancelRequest: CancelRequest;
  /** Made when the code asks for it: most never do. */
  #continuation: Continuation | null = null;
  readonly #places: Places;
  readonly #arrivals: Arrivals;
  readonly #recorder: Recorder;
  readonly #begun: BegunSteps;
  readonly #departure: Departure;
  /** Work of steps that are not recorded whole, in the order in which the code asked for them. */
  readonly #whenCaughtUp: (() => void)[] = [];
  #log: Logger | null = null;
  #isCompensating = false;
  #overflow: ((error: unknown) => void) | null = null;
  #end: ((end: ExecutionEnd) => void) | null = null;
  /** What the steps' work sees of this. */
  readonly scope: StepScope;
  #instant: InstantSteps | null = null;

  constructor(options: ExecutionOptions) {
    this.#options = options;
    const { services, contract, call, run } = options;
    const { storage, clock, replayOnly } = services;
    const progress = this.#progress;
    const check = (): void => this.#departure.check();
    const { entityId } = call.envelope.address;
    this.#journal = new Journal({
      storage,
      execution: executionKeyOf(call.envelope),
      fence: call.fence,
      entries: run.entries,
      nextOrdinal: run.nextOrdinal,
      written: check,
      failed: this.#stopBy,
      unsettled: options.unsettled,
    });
    this.#replay = new Replay({ workflow: contract.name, executionId: entityId, journal: this.#journal });
    this.#queue = new DeliveryQueue(clock, recordedOrdinals(this.#journal, run), check);
    this.#recorder = new Recorder(this.#journal, this.#queue, run, progress);
    this.#places = new Places(run.failedAt);
    this.#residence = new Residence(clock, check);
    this.scope = new ExecutionScope({
      options,
      stopped: this.#stopped,
      residence: this.#residence,
      recorder: this.#recorder,
      progress,
      stop: this.#stopBy,
      ready: this.#ready,
    });
    this.#begun = new BegunSteps(clock, this.#cancellation, this.#recorder, progress);
    this.#departure = new Departure({
      clock,
      replay: this.#replay,
      queue: this.#queue,
      journal: this.#journal,
      residence: this.#residence,
      leaving: call.leaving,
      replayOnly,
      progress,
      catchUp: () => this.#catchUp(),
      recordBegun: () => this.#begun.record(),
      leave: (until) => this.#stop({ type: "suspended", until }),
      stuck: () => void this.#diverge(this.#replay.unaskedStep(), false),
    });
    this.#cancelRequest = new CancelRequest({
      options,
      recorder: this.#recorder,
      queue: this.#queue,
      cancellation: this.#cancellation,
      progress,
    });
    this.#arrivals = new Arrivals(options.inbox, run.consumed, (reason) => this.#cancelRequest.take(reason));
  }

  get id(): string {
    return this.#options.call.envelope.address.entityId;
  }

  /** Whether recorded results are still on their way to the code. */
  get isReplaying(): boolean {
    return !this.#replay.isOver || this.#queue.isReplaying;
  }

  get isStopped(): boolean {
    return this.#progress.isStopped;
  }

  get signals(): SignalBuffer {
    return this.#arrivals.signals;
  }

  /** The encoded state that queries read. */
  get state(): string | null {
    return this.#instant === null ? this.#options.run.state : this.#instant.state;
  }

  /** Steps that need no work, for code that asks for `what`. @throws {DefinitionError} it is an activity's */
  instant(what: string): InstantSteps {
    this.checkAsker(what);
    this.#instant ??= new InstantSteps({
      replay: this.#replay,
      maxPayloadBytes: this.#options.services.maxPayloadBytes,
      state: this.#options.run.state,
      progress: this.#progress,
      ask: (kind, name) => this.#ask(kind, name),
      append: (entry) => void this.#recorder.append(entry),
      diverge: (error) => this.#diverge(error),
      unreadable: (cause) => this.#unreadable(cause),
    });
    return this.#instant;
  }

  /** Aborted when a cancellation reaches the code. */
  get cancelled(): AbortSignal {
    return this.#cancellation.signal;
  }

  /** Whether the code had the time to know of a cancellation. */
  get isToldOfCancellation(): boolean {
    return this.#cancellation.isTold;
  }

  /** What reached the code, or null. */
  get cancelledBy(): WorkflowCancelledError | null {
    return this.#cancellation.error;
  }

  /** Silent while recorded results are on their way. */
  get log(): Logger {
    this.#log ??= quietLog(
      withFields(this.#options.services.logger, { executionId: this.id }),
      () => this.isReplaying,
    );
    return this.#log;
  }

  /** Who is to be woken at its end. */
  get watchers(): readonly Watcher[] {
    return this.#arrivals.watchers;
  }

  /** What earlier runs have started. */
  get inheritedChildren(): readonly Watcher[] {
    return this.#options.run.children;
  }

  /** What the chance that is drawn now is told apart by from an origin's: "", unless it is what a fork does anew. */
  get branch(): string {
    const { branches } = this.#options.run;
    if (branches.length === 0) return "";
    return branches.findLast(({ from }) => this.#replay.position >= from)?.label ?? "";
  }

  /** Whether the step that is asked for next is a fork's origin's, which has done it. */
  get isTakenOver(): boolean {
    const { position, step } = this.#replay.next;
    return position < (this.#options.run.branches.at(-1)?.from ?? 0) && step != null && step.outcome !== null;
  }

  /** What the code waits for. */
  get openSteps(): readonly OpenStepInfo[] {
    return [...this.#cancellation.open].map(({ step, isWait }) => ({ ...step, isWait }));
  }

  /** Whether storage has taken something that it recorded. */
  get hasRecorded(): boolean {
    return this.#journal.hasGrown;
  }

  /** Resolves when nothing that it recorded is on its way to storage any more; null: nothing is. After its end (J5). */
  settled(): Promise<void> | null {
    return this.#journal.isSettled ? null : this.#journal.settled();
  }

  /** Once its code is over: resolves when that may be recorded, with null, or with why not (J7). */
  endable(): Promise<unknown> {
    return this.#journal.endable();
  }

  /** What it recorded and storage failed to take. */
  get unwritten(): readonly JournalEntry[] {
    return this.#journal.unwritten;
  }

  /** Runs the code until it ends, waits long, or has to stop. Never rejects. */
  run(code: () => Promise<unknown>): Promise<ExecutionEnd> {
    const { call } = this.#options;
    return new Promise((resolve) => {
      this.#end = resolve;
      call.aborted.whenAborted(this.#stopBy);
      if (this.#progress.isStopped) return;
      call.leaving.whenAborted(this.#prepareToLeave);
      code().then(
        (value) => this.#finish({ type: "completed", value }),
        (error: unknown) => this.#finish({ type: "failed", error }),
      );
      this.#departure.check();
    });
  }

  /** @throws {DefinitionError} an activity's code asks */
  checkAsker(what: string): void {
    const error = misplaced(this.scope, what);
    if (error !== null) throw error;
  }

  readonly #stopBy = (error: unknown): void => this.#stop({ type: "stopped", error });

  readonly #prepareToLeave = (): void => {
    // Who goes on may not get to hear what is under way here.
    this.#begun.record();
    this.#departure.check();
  };

  /** `tell` is called when the code asked for more steps than it may. */
  whenOverflowing(tell: (error: unknown) => void): void {
    this.#overflow = tell;
  }

  /** Takes a message that came for it. Returns false where it is over: then the next copy finds it in the inbox. */
  receive(message: InboxMessage): boolean {
    if (this.#progress.isStopped) return false;
    return this.#reads(() => this.#arrivals.add(message));
  }

  /**
   * Asks for a step and returns the promise of its outcome: the recorded one, or what `perform` comes to.
   *
   * @param unheard is called where nothing is done and the code is not told an outcome: with the one of which it does not hear any
   * more, or with null where the step is refused
   */
  step(
    request: StepRequest,
    perform: Perform,
    unheard?: (event: Outcome | null, place: string) => void,
  ): Promise<unknown> {
    const { kind, name, role } = request;
    const outcome = new Promise<unknown>((resolve, reject) => {
      const refused = misplaced(this.scope, `The step ${name}`);
      if (refused !== null) reject(refused);
      const asked = this.#progress.isOver || refused !== null ? null : this.#tryAsk(kind, name);
      if (asked === null) return unheard?.(null, "");
      const { position, step: recorded } = asked;
      const place = this.#places.next(position, request);
      // What is recorded of a step says that it was asked for before.
      const cancelled = this.#cancellation.takeUnheard();
      if (cancelled !== null && recorded === undefined) return reject(cancelled);
      const open = new OpenStep({ position, kind, name }, role, reject);
      open.isRecorded = recorded !== undefined;
      this.#cancellation.opened(open);
      const hand = (event: Outcome): void => {
        if (this.#progress.isOver) return;
        let read: Read;
        try {
          read = this.#read(request, event);
        } catch (cause) {
          return void this.#unreadable(cause);
        }
        this.#cancellation.closed(open, read.error);
        if (open.isSilenced) return unheard?.(event, place);
        if (read.error === null) resolve(read.value);
        else reject(read.error);
      };
      if (recorded !== undefined && recorded.outcome !== null) {
        const { ordinal, event } = recorded.outcome;
        return this.#queue.deliver(ordinal, () => hand(event));
      }
      const settle: Settle = (event, transaction) =>
        event.type === "failed" && event.asked === undefined
          ? this.#onceAsked(event).then((failure) => settle(failure, transaction))
          : this.#recorder.settle({ position, kind, name, event }, transaction, hand);
      // Copies that left memory in order have recorded what they had begun; those that crashed were an attempt. What is recorded
      // of a step goes when it is to be done anew.
      const { call, run } = this.#options;
      const isFresh =
        recorded === undefined && this.#progress.isCaughtUp && call.attempt === 1 && !run.isResumed;
      const step: Step = { position, place, kind, name, recorded, isFresh, open, settle };
      const work = (): void => {
        // It only waited, and was cut before this copy came to it.
        if (open.isWait && open.cutBy !== null) return;
        this.#perform(step, perform);
      };
      this.#onceCaughtUp(work);
    });
    return unattended(outcome);
  }

  /** @throws it was recorded by another release, in a way that this one cannot read */
  #read({ kind, name, errors = [] }: StepRequest, event: Outcome): Read {
    if (event.type === "failed")
      return { error: decodeError(event.error, [...errors, ...errorsOf(this.#options.contract)]) };
    const text = kind === "signal" ? signalValueOf(event.value) : event.value;
    return { error: null, value: decodePayload(text, () => `The result of ${name}`) };
  }

  /** Whether the code asked for the next run: what it returns after that is nobody's. */
  get isContinued(): boolean {
    return this.#continuation !== null;
  }

  /** Ends this run and begins the next one. The promise never settles: the code is over. */
  continueAsNew(prepare: Prepare): Promise<never> {
    const error = misplaced(this.scope, "continueAsNew");
    if (error !== null) return unattended(Promise.reject(error));
    const over = new Promise<never>(() => undefined);
    if (this.#progress.isOver) return over;
    const asked = this.#tryAsk("continue", "continueAsNew");
    if (asked === null) return over;
    this.#continuation ??= new Continuation({
      options: this.#options,
      journal: this.#journal,
      recorder: this.#recorder,
      residence: this.#residence,
      cancellation: this.#cancellation,
      ready: this.#ready,
      progress: this.#progress,
      state: () => this.state,
      failed: (thrown) => this.#overflow?.(thrown),
      end: (end) => this.#stop(end),
    });
    const continuation = this.#continuation;
    this.#onceCaughtUp(() => void continuation.begin(asked.position, prepare));
    this.#departure.check();
    return over;
  }

  /** Does a step, and keeps the execution in memory meanwhile. */
  #perform(step: Step, perform: Perform): void {
    this.#residence.begin();
    this.#begun.watch();
    perform(step).then(this.#performed, (error: unknown) => this.#fail(step, error));
  }

  readonly #performed = (): void => this.#residence.end();

  /** What a step's work throws is the step's failure, unless it is storage that fails or refuses: the next copy reads on (J3). */
  async #fail(step: Step, error: unknown): Promise<void> {
    try {
      if (this.#progress.isStopped || error instanceof PersistenceError || error instanceof FencedError)
        return this.#stop({ type: "stopped", error });
      await step.settle(this.scope.failed(error), null);
    } catch (failure) {
      this.#stop({ type: "stopped", error: failure });
    } finally {
      this.#performed();
    }
  }

  /**
   * A failure, with how much the code had asked for without knowing of it. Not before the turn is over: an earlier copy, for
   * which the step did not fail at once, has asked for all of that before a failure, and may have sent it.
   */
  async #onceAsked(event: Extract<Outcome, { type: "failed" }>): Promise<Outcome> {
    await this.#options.services.clock.nextTurn();
    const asked = this.#replay.position;
    this.#places.failed(asked);
    return { ...event, asked };
  }

  /** The code begins. `whenCancelled` is told why it is cancelled, before the code is. */
  begin(whenCancelled: (reason: string) => void): void {
    this.#cancelRequest.begin(whenCancelled);
  }

  /** The code failed: what it left open is asked to end, and awaited. Steps from now on are the compensations'. */
  async beginCompensation(error: unknown): Promise<void> {
    this.#isCompensating = true;
    await this.#cancellation.windDown(error instanceof Error ? error : new Error("The execution failed"));
  }

  /** The next step's position, and what is recorded of it (E1). @throws {NonDeterminismError} after stopping: it is another */
  #ask(kind: StepKind, name: string): Asked {
    const { services, contract } = this.#options;
    const { name: workflow, maxSteps } = contract;
    if (this.#replay.position >= maxSteps && !this.#isCompensating && kind !== "continue") {
      const error = new JournalFullError({ workflow, executionId: this.id, maxSteps });
      this.#overflow?.(error);
      throw error;
    }
    const asked = this.#replay.ask(kind, name);
    // One that is recorded is looked up without being asked for.
    if (kind !== "patch") this.#cancellation.asks();
    if (asked instanceof NonDeterminismError) throw this.#diverge(asked);
    if (this.#replay.isOver && !this.isReplaying) this.#catchUp();
    if (services.replayOnly && asked.step === undefined && (this.#progress.isCaughtUp || INSTANT.has(kind))) {
      this.#stop({ type: "suspended", until: null });
      throw new Error("The journal ends here");
    }
    if (asked.step === undefined && asked.position === Math.floor(maxSteps * WARNED_PART)) {
      const fields = { workflow, executionId: this.id, steps: asked.position, maxSteps };
      services.logger.warn(
        "An execution comes near the most steps that its journal may have; use continueAsNew",
        fields,
      );
    }
    return asked;
  }

  /** Like `#ask`, and null where that throws: code that asks for a step just never goes on (E4). */
  #tryAsk(kind: StepKind, name: string): Asked | null {
    try {
      return this.#ask(kind, name);
    } catch {
      return null;
    }
  }

  #onceCaughtUp(work: () => void): void {
    if (this.#progress.isCaughtUp && !this.#options.services.replayOnly) work();
    else this.#whenCaughtUp.push(work);
  }

  /** The replay is over: what waits for that goes on, and what came meanwhile is taken. */
  #catchUp(): void {
    if (this.#progress.isCaughtUp || this.#progress.isStopped) return;
    this.#progress.isCaughtUp = true;
    // Where it only looks whether the code fits, what is not recorded is not done.
    if (this.#options.services.replayOnly) return;
    if (!this.#reads(() => this.#arrivals.open())) return;
    // In the order in which the code asked, and before what it asks for now.
    for (const work of this.#whenCaughtUp.splice(0)) work();
  }

  /** Returns whether what came could be read. Else another release has sent it, and this copy is over. */
  #reads(take: () => void): boolean {
    try {
      take();
      return true;
    } catch (error) {
      if (!(error instanceof DefinitionError)) throw error;
      this.#stop({ type: "unreadable", error });
      return false;
    }
  }

  /** Resolves when a side effect may start (E3), undefined if at once; never once the execution is over or has to leave. */
  readonly #ready = (): Promise<void> | undefined => {
    // Not async, since nearly every step waits for what is recorded of the one before.
    if (this.#journal.writing !== null) return this.#journal.writing.then(this.#ready);
    const { leaving } = this.#options.call;
    const isUsual =
      this.#cancelRequest.arriving === null &&
      !this.#progress.isStopped &&
      !leaving.isAborted &&
      this.#options.call.mayBegin();
    return isUsual ? undefined : this.#onceCancelled();
  };

  async #onceCancelled(): Promise<void> {
    // What was asked for before a cancellation that is on its way does not begin any more.
    await this.#cancelRequest.arriving;
    const { call } = this.#options;
    if (this.#progress.isStopped || call.leaving.isAborted) this.#residence.end();
    // In a process that stood still: it stays as it is until its shard is dropped, which is soon.
    else if (call.mayBegin()) return;
    await new Promise<never>(() => undefined);
  }

  #finish(end: ExecutionEnd): void {
    if (!this.#replay.isOver) this.#diverge(this.#replay.unaskedStep());
    else this.#stop(end);
  }

  #diverge(error: NonDeterminismError, isCertain: boolean = true): NonDeterminismError {
    this.#stop({ type: "diverged", error, isCertain });
    return error;
  }

  #unreadable(cause: unknown): DefinitionError {
    const error = unreadableJournal(cause);
    this.#stop({ type: "unreadable", error });
    return error;
  }

  #stop(end: ExecutionEnd): void {
    if (this.#progress.isStopped) return;
    this.#progress.isStopped = true;
    this.#options.call.aborted.forget(this.#stopBy);
    this.#options.call.leaving.forget(this.#prepareToLeave);
    this.#queue.stop();
    this.#residence.stop();
    this.#departure.stop();
    this.#begun.stop();
    this.#stopped.abort(end.type === "stopped" ? end.error : OVER);
    this.#end?.(end);
  }
}

/** What the code is handed of a step. */
type Read = { readonly error: Error } | { readonly error: null; readonly value: unknown };
