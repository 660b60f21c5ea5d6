// ExecutionRunner: takes an execution from its journal to its end, or to where it leaves memory.

import type { ExecutionKey, InboxMessage, StoredExecution } from "../adapter/workflow-storage.ts";
import { decodeError, encodeError } from "../contract/error-codec.ts";
import { decodePayload } from "../contract/payload.ts";
import { parse } from "../contract/schema.ts";
import {
  CANCEL,
  FORK_HEADER,
  EXECUTION_TAGS,
  WATCH,
  type AnyWorkflowContract,
  type ForkOrigin,
  type Watcher,
} from "../contract/workflow-contract.ts";
import { BriefMap } from "../data/brief-map.ts";
import type { EntityAddress } from "../data/entity-address.ts";
import type { JournalEntry, StepKind } from "../data/journal-entry.ts";
import { Suspension, type Call } from "../entity/behavior.ts";
import { DefinitionError } from "../errors/config.ts";
import { PersistenceError } from "../errors/storage.ts";
import {
  UnknownExecutionError,
  WorkflowCancelledError,
  WorkflowFailedError,
  type FailedCompensation,
} from "../errors/workflow.ts";
import { ByClaim } from "./by-claim.ts";
import { FailedAndCompensated } from "./compensation.ts";
import { Execution } from "./execution.ts";
import { executionKeyOf } from "./execution-key.ts";
import type { ExecutionEnd } from "./execution-options.ts";
import type { ExecutionServices } from "./execution-services.ts";
import { forkEntries } from "./fork.ts";
import { partsOf } from "./journal-parts.ts";
import { BEGUN } from "./journal.ts";
import { Parked } from "./parked.ts";
import {
  recordedRun,
  seedOf,
  unconsumed,
  unreadableJournal,
  versionEntry,
  type RecordedRun,
} from "./recorded-run.ts";
import { UnsettledWrites } from "./unsettled-writes.ts";
import type { WorkflowCode } from "./workflow-code.ts";

/** So long a signal that was taken is remembered, for senders that repeat it. */
const REPEATED_WITHIN_MS = 3_600_000;

/** Kinds of entries from which on an execution takes another course. */
const ANEW: ReadonlySet<StepKind> = new Set(["resume", "continue"]);

const NOTHING_STORED: StoredExecution = { entries: [], inbox: [] };

/** A copy of an execution in memory here, and what came for it while its journal was being read. */
interface Copy {
  execution: Execution | null;
  readonly early: InboxMessage[];
}

export class ExecutionRunner {
  readonly #contract: AnyWorkflowContract;
  readonly #services: ExecutionServices;
  readonly #code: WorkflowCode;
  readonly #copies = new BriefMap<Copy>();
  /**
   * What the last copy of an execution has on its way to storage (journal.ts, J5). A claim waits for the writes under older epochs,
   * so those of other claims have ended.
   */
  readonly #underWay = new ByClaim<Promise<void>>();
  readonly #unsettled = new UnsettledWrites();
  readonly parked: Parked;

  constructor(contract: AnyWorkflowContract, services: ExecutionServices, code: WorkflowCode) {
    this.#contract = contract;
    this.#services = services;
    this.#code = code;
    this.parked = new Parked(services.clock, services.random);
  }

  /** The copy that runs here, if any. */
  copyOf(executionId: string): Execution | undefined {
    const execution = this.#copies.get(executionId)?.execution ?? undefined;
    return execution?.isStopped === false ? execution : undefined;
  }

  /** Hands a message to the copy that runs here. Returns whether there is one that takes it. */
  receive(executionId: string, message: InboxMessage): boolean {
    const copy = this.#copies.get(executionId);
    if (copy === undefined) return false;
    if (copy.execution !== null) return copy.execution.receive(message);
    copy.early.push(message);
    return true;
  }

  async run(input: unknown, call: Call): Promise<unknown> {
    const key = executionKeyOf(call.envelope);
    const { executionId } = key;
    const { fence } = call;
    await this.#underWay.get(fence, executionId);
    const copy: Copy = { execution: null, early: [] };
    this.#copies.set(executionId, copy);
    let hasRecorded = false;
    try {
      await this.#settle(call, key);
      let stored = call.isNew
        ? NOTHING_STORED
        : await this.#services.storage.readExecution(key, EXECUTION_TAGS);
      // An earlier attempt is on the count, or left something: copies that left in order recorded all they had begun.
      const isFirst = call.attempt === 1 && stored.entries.length === 0;
      if (stored.entries.length === 0) {
        const begun = await this.#begin(call, key, stored);
        if (begun instanceof DefinitionError) return this.#park(call, begun, false);
        stored = begun;
      }
      for (;;) {
        const messages = [...stored.inbox, ...copy.early];
        const run = readableRun({ ...stored, inbox: messages });
        if (run instanceof DefinitionError) return this.#park(call, run, false);
        const { version } = run;
        if (!this.#code.versions.has(version))
          return this.#park(call, new DefinitionError(this.#unknownVersion(version)), false);
        const hasNotBegun = isFirst && run.number === 0 && run.entries.every(({ position }) => position < 0);
        const cancel = hasNotBegun ? messages.find(({ tag }) => tag === CANCEL) : undefined;
        // Nothing of it has run, and nothing need.
        if (cancel !== undefined) return await this.#endUnbegun(executionId, messages, cancel);
        const execution = this.#executionOf(call, run, stored);
        copy.execution = execution;
        for (const message of copy.early.splice(0)) execution.receive(message);
        const end = await this.#execute(execution, call, run, version, input);
        const settled = execution.settled();
        if (settled !== null) {
          const underWay = settled.finally(() => this.#underWay.delete(fence, executionId));
          this.#underWay.set(fence, executionId, underWay);
          if (end.type === "completed") call.owes(() => this.#writeRest(execution, call, key));
        }
        hasRecorded ||= execution.hasRecorded;
        // Whoever resumes it goes by what is there, and takes the next ordinal.
        if (end.type === "failed") await this.#writeRest(execution, call, key);
        if (end.type !== "continued") return await this.#conclude(call, execution, end);
        await settled;
        copy.execution = null;
        stored = await this.#trim(call, key);
        await this.#settle(call, key);
      }
    } catch (error) {
      // A long life has many short failures of storage, and is no less in order for it.
      if (hasRecorded && error instanceof PersistenceError) call.countAnew();
      throw error;
    } finally {
      if (this.#copies.get(executionId) === copy) this.#copies.delete(executionId);
    }
  }

  /**
   * Writes what storage failed to take before the end of an execution, which follows from that (journal.ts, J7).
   *
   * @throws {PersistenceError} @throws {FencedError}
   */
  async #writeRest(execution: Execution, { fence }: Call, key: ExecutionKey): Promise<void> {
    await execution.settled();
    const { unwritten } = execution;
    for (const part of partsOf(unwritten)) await this.#services.storage.appendJournal(key, part, fence, null);
  }

  /** Sees to it that what an earlier copy or run here has sent is there, or never will be (journal.ts, J6). */
  async #settle({ fence, envelope }: Call, key: ExecutionKey): Promise<void> {
    const { storage } = this.#services;
    const entries = this.#unsettled.of(fence, envelope.requestId);
    if (entries.length === 0) return;
    const stored = await storage.readExecution(key, EXECUTION_TAGS);
    const there = new Set(stored.entries.map(({ ordinal }) => ordinal));
    const missing = entries.filter(({ ordinal }) => !there.has(ordinal));
    if (missing.length === 0) return;
    // Where it was resumed since, or has continued as new, that was decided on what was there then, and stands. What was
    // forgotten for it may come late, too, and finds its ordinal taken.
    const anewAt = stored.entries.findLast(({ kind }) => ANEW.has(kind))?.ordinal ?? -1;
    const settling = missing.map((entry) => (entry.ordinal <= anewAt ? nothingInPlaceOf(entry) : entry));
    for (const part of partsOf(settling)) await storage.appendJournal(key, part, fence, null);
  }

  /**
   * What a new execution has in its journal before its first step: its version, or what a fork takes over, or why this release cannot
   * read that.
   */
  async #begin(
    call: Call,
    key: ExecutionKey,
    stored: StoredExecution,
  ): Promise<StoredExecution | DefinitionError> {
    const fork = call.envelope.headers[FORK_HEADER];
    if (fork !== undefined) return this.#beginFork(JSON.parse(fork) as ForkOrigin, call, key, stored);
    const { storage } = this.#services;
    const { version } = this.#contract;
    if (version === null) return stored;
    // Code that has a version records it before its first step: an attempt that left nothing may have been of code without one.
    const mayHaveBegun = call.attempt > 1 && this.#code.versions.has(null);
    const entries = [versionEntry(0, mayHaveBegun ? null : version)];
    await storage.appendJournal(key, entries, call.fence, null);
    if (!mayHaveBegun) return { ...stored, entries };
    // The version that the attempt before has sent may have come late, and first: then it counts.
    const recorded = await storage.readExecution(key, EXECUTION_TAGS);
    return { ...stored, entries: recorded.entries };
  }

  /** The same of a fork. */
  async #beginFork(
    origin: ForkOrigin,
    call: Call,
    key: ExecutionKey,
    stored: StoredExecution,
  ): Promise<StoredExecution | DefinitionError> {
    const { storage, lookUp } = this.#services;
    const { entityType } = key;
    const { executionId } = origin;
    const { name: workflow, version } = this.#contract;
    const storedOrigin = await storage.readExecution({ entityType, executionId }, EXECUTION_TAGS);
    // An origin without a journal had not asked for anything: then there is nothing to take over.
    const isBlank = storedOrigin.entries.length === 0;
    if (isBlank && (await lookUp(entityType, executionId)) === null)
      throw new UnknownExecutionError({ workflow, executionId });
    const run = readableRun(storedOrigin);
    if (run instanceof DefinitionError) return run;
    if (run.number !== origin.number)
      throw new Error(
        `The execution ${executionId} has continued as new since it was forked. Fork it again.`,
      );
    // It goes on with the code that its origin began with, or continued with.
    const entries = forkEntries(origin, run, call.envelope.requestId, isBlank ? version : run.version);
    await storage.appendJournal(key, entries, call.fence, null);
    return { ...stored, entries };
  }

  #unknownVersion(version: string | null): string {
    const known = [...this.#code.versions.keys()].map((each) => each ?? "none").join(", ");
    return `It was begun by version ${version ?? "none"} of ${this.#contract.name}, and the code here has ${known}. Deploy code that has its version, too.`;
  }

  #executionOf(call: Call, run: RecordedRun, stored: StoredExecution): Execution {
    return new Execution({
      services: this.#services,
      contract: this.#contract,
      call,
      run,
      inbox: unconsumed(stored, run),
      unsettled: (entries) => this.#unsettled.add(call.fence, call.envelope.requestId, entries),
    });
  }

  #execute(
    execution: Execution,
    call: Call,
    run: RecordedRun,
    version: string | null,
    input: unknown,
  ): Promise<ExecutionEnd> {
    const { name } = this.#contract;
    const execute = this.#code.versions.get(version);
    return execution.run(async () => {
      const given = run.input === null ? input : decodePayload(run.input, `The input of ${name}`);
      const parsed = await parse(this.#contract.input, given, `The input of the workflow ${name}`);
      return execute?.(execution, call, seedOf(call.envelope.requestId, run), parsed);
    });
  }

  /** The run before is over: what it recorded, and the signals that it was given, are forgotten. */
  async #trim(call: Call, key: ExecutionKey): Promise<StoredExecution> {
    const { storage, clock } = this.#services;
    const before = await storage.readExecution(key, EXECUTION_TAGS);
    const run = readableRun(before);
    // The next run waits for a release that can.
    if (run instanceof DefinitionError) return before;
    const { firstOrdinal, consumed } = run;
    const trim = {
      belowOrdinal: firstOrdinal,
      requestIds: [...consumed],
      answeredBefore: clock.now() - REPEATED_WITHIN_MS,
    };
    await storage.trimExecution(key, trim, call.fence);
    return before;
  }

  async #conclude(
    call: Call,
    execution: Execution,
    end: Exclude<ExecutionEnd, { type: "continued" }>,
  ): Promise<unknown> {
    if (end.type === "diverged") return this.#park(call, end.error, end.isCertain);
    // What came may have stopped it at work, of which nothing is recorded.
    if (end.type === "unreadable") return this.#park(call, end.error, false, true);
    this.parked.leave(execution.id, call.fence);
    switch (end.type) {
      case "suspended":
        // It leaves at once, and may not have come to what an attempt before it had begun: the next one is no first one.
        return new Suspension(end.until, end.until === 0 && call.attempt > 1 ? 1 : 0);
      case "stopped":
        throw end.error;
      case "completed":
        await this.#beforeEnd(execution);
        return end.value;
      case "failed":
        await this.#beforeEnd(execution);
        throw this.#failure(execution, end.error);
    }
  }

  /** What comes before its end is recorded. @throws what it recorded could not be written: the next copy ends it */
  async #beforeEnd(execution: Execution): Promise<void> {
    const failure = await execution.endable();
    if (failure !== null) throw failure;
    await this.#wake(execution.watchers);
  }

  async #endUnbegun(
    executionId: string,
    messages: readonly InboxMessage[],
    cancel: InboxMessage,
  ): Promise<never> {
    await this.#wake(watchersIn(messages));
    const reason = String(decodePayload(cancel.payload, "A reason"));
    throw new WorkflowCancelledError({ workflow: this.#contract.name, executionId, reason });
  }

  async #wake(watchers: readonly Watcher[]): Promise<void> {
    if (watchers.length === 0) return;
    // One that came back to watch once more is woken once.
    const each = new Map(
      watchers.map((watcher) => [`${watcher.entityType}/${watcher.executionId}`, watcher]),
    );
    await Promise.all(Array.from(each.values(), (watcher) => this.#services.wake(watcher)));
  }

  #failure(execution: Execution, thrown: unknown): Error {
    const { name: workflow } = this.#contract;
    const executionId = execution.id;
    const [error, failedCompensations]: [unknown, readonly FailedCompensation[]] =
      thrown instanceof FailedAndCompensated ? [thrown.error, thrown.failedCompensations] : [thrown, []];
    const cancelled = execution.cancelledBy;
    // Its own, or that of a child that was cancelled with it.
    if (cancelled !== null && error instanceof WorkflowCancelledError)
      return new WorkflowCancelledError({
        workflow,
        executionId,
        reason: cancelled.reason,
        failedCompensations,
      });
    const encoded = encodeError(error, { exposeStacks: false });
    const reason = encoded.message === "" ? encoded.name : encoded.message;
    // There is one also where `undefined` was thrown, as by `reject()`.
    const cause = error instanceof Error ? error : decodeError(encoded, []);
    return new WorkflowFailedError({ workflow, executionId, reason, failedCompensations }, { cause });
  }

  /** Its input cannot be read here, by this release: a journal that it has is not to end with that. */
  parkUnread(call: Call, cause: unknown): Suspension {
    return this.#park(call, unreadableJournal(cause), false);
  }

  /** A matter of deploying: it waits, and its journal stays as it is. `isTold`: those who wait for its end get the error. */
  #park(
    { envelope, fence, attempt }: Call,
    error: Error,
    isTold: boolean,
    mayHaveBegun: boolean = attempt > 1,
  ): Suspension {
    if (this.#services.replayOnly) throw error;
    const executionId = envelope.address.entityId;
    const encoded = encodeError(error, { exposeStacks: false });
    const until = this.parked.park(executionId, fence, { error: encoded, isTold });
    this.#services.logger.error("An execution waits for fixed code", { executionId, error: error.message });
    // An earlier attempt may have begun what it did not record.
    return new Suspension(until, mayHaveBegun ? 1 : 0, isTold ? encoded : null);
  }

  /** Has those woken who wait for the end of an execution that is to be a dead letter. */
  async wakeWatchersOf({ entityType, entityId: executionId }: EntityAddress): Promise<void> {
    const { inbox } = await this.#services.storage.readExecution({ entityType, executionId }, EXECUTION_TAGS);
    await this.#wake(watchersIn(inbox));
  }
}

/** Or why this release cannot read it. */
function readableRun(stored: StoredExecution): RecordedRun | DefinitionError {
  try {
    return recordedRun(stored);
  } catch (error) {
    if (error instanceof DefinitionError) return error;
    throw error;
  }
}

/** Takes the ordinal of an entry, and says nothing. */
function nothingInPlaceOf({ ordinal }: JournalEntry): JournalEntry {
  return { ordinal, position: -1, kind: "value", name: "", event: BEGUN };
}

function watchersIn(messages: readonly InboxMessage[]): readonly Watcher[] {
  return messages
    .filter(({ tag }) => tag === WATCH)
    .map(({ payload }) => decodePayload(payload, "A watcher") as Watcher);
}
