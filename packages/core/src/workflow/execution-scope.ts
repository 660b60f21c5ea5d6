// ExecutionScope: what the work of an execution's steps sees of it. A class: as closures, it was a twentieth of an execution in memory.

import type { Clock } from "../adapter/clock.ts";
import type { Random } from "../adapter/random.ts";
import type { Abort } from "../contract/abort.ts";
import { encodeBoundedError } from "../contract/bounded-error.ts";
import { encodeBoundedPayload } from "../contract/payload.ts";
import type { StorageTransaction } from "../contract/transaction.ts";
import type { EncodedError } from "../data/encoded-error.ts";
import type { Fence } from "../data/epoch.ts";
import type { JournalEvent } from "../data/journal-entry.ts";
import type { OpenStep } from "./cancellation.ts";
import type { ExecutionOptions } from "./execution-options.ts";
import type { Outcome } from "./journal.ts";
import type { Progress } from "./progress.ts";
import type { Recorder } from "./recorder.ts";
import type { Residence } from "./residence.ts";
import type { Step, StepScope, WaitOutcome } from "./step.ts";

export interface ExecutionScopeParts {
  readonly options: ExecutionOptions;
  readonly stopped: Abort;
  readonly residence: Residence;
  readonly recorder: Recorder;
  readonly progress: Readonly<Progress>;
  readonly stop: (error: unknown) => void;
  readonly ready: () => Promise<void> | undefined;
}

export class ExecutionScope implements StepScope {
  readonly stop: (error: unknown) => void;
  readonly ready: () => Promise<void> | undefined;
  readonly stopped: Abort;
  readonly #options: ExecutionOptions;
  readonly #residence: Residence;
  readonly #recorder: Recorder;
  readonly #progress: Readonly<Progress>;

  constructor(parts: ExecutionScopeParts) {
    this.#options = parts.options;
    this.#residence = parts.residence;
    this.#recorder = parts.recorder;
    this.#progress = parts.progress;
    this.stopped = parts.stopped;
    this.stop = parts.stop;
    this.ready = parts.ready;
  }

  get clock(): Clock {
    return this.#options.services.clock;
  }

  get random(): Random {
    return this.#options.services.random;
  }

  get executionId(): string {
    return this.#options.call.envelope.address.entityId;
  }

  get exposeStacks(): boolean {
    return this.#options.services.exposeStacks;
  }

  get maxPayloadBytes(): number {
    return this.#options.services.maxPayloadBytes;
  }

  get fence(): Fence {
    return this.#options.call.fence;
  }

  get beginTransaction(): (() => StorageTransaction) | undefined {
    return this.#options.services.beginTransaction;
  }

  warn(message: string, error: Error): void {
    this.#options.services.logger.warn(message, { executionId: this.executionId, error: String(error) });
  }

  isStopped(): boolean {
    return this.stopped.isAborted;
  }

  until(at: number, open: OpenStep): Promise<WaitOutcome<never>> {
    return this.#residence.wait<never>(at, open, null);
  }

  message<Message>(
    dueAt: number | null,
    open: OpenStep,
    listen: (take: (message: Message) => boolean) => () => void,
  ): Promise<WaitOutcome<Message>> {
    return this.#residence.wait(dueAt, open, listen);
  }

  joinably<Result>(work: () => Promise<Result>): Promise<Result> {
    return this.#residence.joinably(work);
  }

  record({ position, kind, name, open }: Step, event: JournalEvent): void {
    open.isRecorded = true;
    if (!this.#progress.isOver) this.#recorder.append({ position, kind, name, event });
  }

  completed(value: unknown, name: string): Outcome {
    const what = (): string => `The result of ${name}`;
    return { type: "completed", value: encodeBoundedPayload(value, what, this.maxPayloadBytes) };
  }

  failed(error: unknown): Outcome & { readonly type: "failed" } {
    return { type: "failed", error: this.encoded(error) };
  }

  encoded(error: unknown): EncodedError {
    return encodeBoundedError(error, this, { name: "An error", purpose: "record" });
  }

  keyOf(place: string): string {
    const { run, call } = this.#options;
    const ofRun = run.number === 0 ? "" : `${run.number}.`;
    // Not the execution's id, which another one may have had that is forgotten: what that one did is not what this one does.
    return `${call.envelope.requestId}/${ofRun}${place}`;
  }

  callPlaceOf(place: string): string {
    const { usedUp } = this.#options.run;
    let free = place;
    for (let times = 1; usedUp.has(free); times += 1) free = `${place}~${times}`;
    return free;
  }
}
