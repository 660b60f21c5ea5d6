// OutsideWorld: what an execution's activities and calls reach, and what outlives every crash.
//
// Remembers when each thing first began, and ends it at a time that this alone decides, however often a copy of the
// execution begins it again: so a crash changes no moment at which anything happens.

import type { CallOptions } from "../src/client/call-options.ts";
import type { CallTarget } from "../src/client/caller.ts";
import { executionIdOf, type WorkflowClients } from "../src/client/workflow-client.ts";
import { signalKey } from "../src/client/workflow-handle.ts";
import type { VirtualClock } from "../src/clock/virtual-clock.ts";
import {
  CANCEL,
  EXECUTE,
  SIGNAL,
  WATCH,
  type AnyWorkflowContract,
  type NamedMessage,
} from "../src/contract/workflow-contract.ts";
import { WorkflowCancelledError, WorkflowFailedError } from "../src/errors/workflow.ts";
import type { Crashable } from "./execution-stage.ts";
import { Echo, type ChildInput } from "./stage-definitions.ts";

/** So long a child goes on that was cancelled and heard of it. */
const ENDING_MS = 43;

/** Wall times. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

interface Child {
  readonly id: string;
  readonly workflow: string;
  readonly input: ChildInput;
  endsAt: number;
  cancelledFor: string | null;
  isWatched: boolean;
  /** Aborted when its end is another. */
  readonly whenChanged: Set<AbortController>;
}

export class OutsideWorld {
  readonly #clock: VirtualClock;
  readonly #wakeParent: () => void;
  readonly #ends = new Map<string, number>();
  readonly #children = new Map<string, Child>();
  /** Starts of children that are put off until these wall times, and never begin. */
  readonly putOff = new Map<string, number>();
  /** What it was asked for. */
  readonly #keys = new Set<string>();
  /** Wall times at which something of its own accord happens. */
  readonly moments: number[] = [];
  /** Calls that a cancellation does not cut short, by when they were first made and when they are answered. */
  readonly calls: Span[] = [];
  /** Children that were being started. */
  readonly starts: Span[] = [];
  /** What reached it and when, each thing once however often it was repeated. */
  readonly effects: { readonly what: string; readonly at: number; readonly isOrder: boolean }[] = [];

  constructor(clock: VirtualClock, wakeParent: () => void) {
    this.#clock = clock;
    this.#wakeParent = wakeParent;
  }

  /** Resolves `ms` after the first time that it is asked for this. Rejects with the reason where `signal` is aborted. */
  lasts(what: string, ms: number, signal?: AbortSignal): Promise<void> {
    return this.#until(this.#endOf(what, ms), signal);
  }

  /** Something happens at a wall time. */
  at(moment: number, happen: () => void): void {
    this.moments.push(moment);
    this.#clock.setTimer(moment - this.#clock.now(), happen);
  }

  isChild(executionId: string): boolean {
    return this.#children.has(executionId);
  }

  /** A call of an entity, or of a child's entity. */
  async call(target: CallTarget, input: unknown, options: CallOptions): Promise<unknown> {
    if (target.contract.name === Echo.name) {
      const { label, ms } = input as { label: string; ms: number };
      await this.#answer(`${target.tag} ${label} ${options.idempotencyKey}`, ms, options.signal);
      return label;
    }
    if (target.tag === EXECUTE) return this.#putOff(target.entityId, options.deliverAt);
    if (this.putOff.has(target.entityId)) return undefined;
    const child = this.#child(target.entityId);
    if (target.tag === CANCEL) this.#cancel(child, String(input));
    else if (target.tag === WATCH) this.#watch(child, `watch ${child.id} ${options.idempotencyKey}`);
    else if (target.tag === SIGNAL) await this.#signal(child.id, input as NamedMessage, options);
    else throw new Error(`A child is not told "${target.tag}" so`);
    return undefined;
  }

  /** Clients of the children. */
  clients(crashable: Crashable): WorkflowClients {
    const client = (contract: AnyWorkflowContract) => ({
      withRawKey: (id: string) => ({
        start: crashable((input: ChildInput) => this.#start(contract, id, input)),
      }),
      get: (executionId: string) => ({
        executionId,
        result: crashable((options: { signal: AbortSignal }) => this.#result(executionId, options.signal)),
        signal: crashable((name: string, payload: unknown, { idempotencyKey = "" }: CallOptions) =>
          this.#signal(executionId, { name, payload }, { idempotencyKey: signalKey(name, idempotencyKey) }),
        ),
        cancel: crashable(async (reason: string) => {
          this.#cancel(this.#child(executionId), reason);
          await this.#answer(`cancel ${executionId}`, 7 + this.#ownMs(executionId), undefined);
        }),
      }),
    });
    return client as unknown as WorkflowClients;
  }

  #endOf(what: string, ms: number): number {
    const known = this.#ends.get(what);
    if (known !== undefined) return known;
    const end = this.#clock.now() + ms;
    this.#ends.set(what, end);
    if (ms > 0) this.moments.push(end);
    return end;
  }

  #until(end: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) return reject(signal.reason as Error);
      const left = end - this.#clock.now();
      if (left <= 0) return resolve();
      const timer = this.#clock.setTimer(left, () => {
        signal?.removeEventListener("abort", abort);
        resolve();
      });
      const abort = (): void => {
        timer.cancel();
        reject(signal?.reason as Error);
      };
      signal?.addEventListener("abort", abort, { once: true });
    });
  }

  async #answer(what: string, ms: number, signal: AbortSignal | undefined): Promise<void> {
    this.#once(what);
    const isNew = !this.#ends.has(what);
    const to = this.#endOf(what, ms);
    if (isNew) this.calls.push({ from: this.#clock.now(), to });
    await this.#until(to, signal);
  }

  /** @param isOrder whether it is the execution's way to end, and no step that its code may leave behind at its end */
  #once(what: string, isOrder: boolean = false): void {
    if (this.#keys.has(what)) return;
    this.#keys.add(what);
    this.effects.push({ what, at: this.#clock.now(), isOrder });
  }

  /** Some milliseconds that this child has to itself, more or less. */
  #ownMs(id: string): number {
    return this.#child(id).input.ms % 97;
  }

  #child(id: string): Child {
    const child = this.#children.get(id);
    if (child === undefined) throw new Error(`There is no child ${id}`);
    return child;
  }

  async #start(contract: AnyWorkflowContract, id: string, input: ChildInput): Promise<void> {
    if (contract.key !== null && executionIdOf(contract, input) !== id)
      throw new Error(`${id} is not its id`);
    if (this.putOff.has(id)) throw new Error(`${id} was not to begin any more`);
    this.#once(`child ${input.label} ${id}`);
    if (!this.#children.has(id)) {
      const endsAt = this.#clock.now() + input.ms;
      const child = {
        id,
        workflow: contract.name,
        input,
        endsAt,
        cancelledFor: null,
        isWatched: false,
        whenChanged: new Set<AbortController>(),
      };
      this.#children.set(id, child);
      this.#whenEnding(child);
    }
    const to = this.#endOf(`start of ${id}`, 3 + this.#ownMs(id));
    this.starts.push({ from: this.#clock.now(), to });
    await this.#until(to);
  }

  #putOff(id: string, until: Date | undefined): void {
    if (until === undefined) throw new Error(`${id} is not started so`);
    if (!this.#children.has(id)) this.putOff.set(id, until.getTime());
  }

  #whenEnding(child: Child): void {
    const { endsAt } = child;
    this.moments.push(endsAt);
    const wakesAt = Math.max(endsAt - child.input.wakesMsBefore, this.#clock.now());
    this.#clock.setTimer(wakesAt - this.#clock.now(), () => {
      if (child.endsAt === endsAt && child.isWatched) this.#wakeParent();
    });
  }

  /** Nothing of a child is known any earlier than it has ended. */
  async #result(id: string, signal: AbortSignal): Promise<unknown> {
    const child = this.#child(id);
    await this.lasts(`result of ${id}`, 2 + this.#ownMs(id), signal);
    while (child.endsAt > this.#clock.now()) {
      // It may be cancelled meanwhile, and end earlier.
      const changed = new AbortController();
      child.whenChanged.add(changed);
      await this.#until(child.endsAt, AbortSignal.any([signal, changed.signal])).catch((error: unknown) => {
        if (signal.aborted) throw error;
      });
      child.whenChanged.delete(changed);
    }
    const { input, workflow } = child;
    if (child.cancelledFor !== null && !input.isStubborn)
      throw new WorkflowCancelledError({ workflow, executionId: id, reason: child.cancelledFor });
    if (input.ending === "completed") return `${input.label} completed`;
    throw new WorkflowFailedError({ workflow, executionId: id, reason: `${input.label} failed` });
  }

  #signal(id: string, { name, payload }: NamedMessage, { idempotencyKey }: CallOptions): Promise<void> {
    return this.#answer(
      `signal ${name} ${String(payload)} ${idempotencyKey}`,
      5 + this.#ownMs(id),
      undefined,
    );
  }

  #watch(child: Child, request: string): void {
    if (this.#keys.has(request)) return;
    this.#keys.add(request);
    child.isWatched = true;
    if (child.endsAt - child.input.wakesMsBefore <= this.#clock.now()) this.#wakeParent();
  }

  #cancel(child: Child, reason: string): void {
    if (child.cancelledFor !== null || child.endsAt <= this.#clock.now()) return;
    child.cancelledFor = reason;
    this.#once(`cancel of ${child.input.label}: ${reason}`, true);
    if (child.input.isStubborn) return;
    // One is heard of after the other, although all are told at once, and in whichever order they were started.
    child.endsAt = this.#clock.now() + ENDING_MS + 17 * placeOf(child.input.label);
    this.#whenEnding(child);
    for (const changed of child.whenChanged) changed.abort();
  }
}

/** A number that hardly any other label has, below 97. */
function placeOf(label: string): number {
  return label.split(".").reduce((number, part) => (7 * number + Number(part)) % 97, 0);
}
