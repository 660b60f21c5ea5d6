// Activation: one entity in the memory of its owner: its mailbox, its handlers, and what runs of it now.
//
//   A1  At most `concurrency` requests run at a time (0: no bound). With A1 in each activation and one owner for each
//       shard, INV-5 holds in the cluster.
//   A2  The handlers are made when the first request runs, and unmade by `evict()`, never while one runs.

import { Abort, type AbortWatch } from "../contract/abort.ts";
import { liveProperty, SOURCE } from "../contract/live-property.ts";
import { entityKey, type EntityAddress } from "../data/entity-address.ts";
import type { Fence } from "../data/epoch.ts";
import { removeFrom } from "../data/remove-from.ts";
import { InterruptedError } from "../errors/routing.ts";
import { handlersOf, type ActivationScope, type EntityBehavior, type Handlers } from "./behavior.ts";
import type { HostedRequest } from "./hosted-request.ts";
import { Mailbox } from "./mailbox.ts";

export interface ActivationOptions {
  /** Names it among those of its shard. */
  readonly key: string;
  readonly address: EntityAddress;
  readonly behavior: EntityBehavior;
  readonly fence: Fence;
  readonly mailboxCapacity: number;
  readonly concurrency: number;
  /** Aborted when the shard is about to move. */
  readonly leaving: AbortWatch;
  readonly hooks: ActivationHooks;
}

export interface ActivationHooks {
  /** Runs one request, and calls `end` of its activation when it came to its end. */
  readonly run: (request: HostedRequest, activation: Activation) => void;
  /** A request ended: there is room in the mailbox, or nothing left to do. */
  readonly ended: (activation: Activation) => void;
}

/** One for all: most entities are asked to call nobody back. */
const NONE: readonly never[] = [];

/** An entity's signal is made when it is asked for. */
const SIGNAL = liveProperty((abort: Abort) => abort.signal);

export class Activation {
  readonly key: string;
  readonly address: EntityAddress;
  readonly fence: Fence;
  readonly leaving: AbortWatch;
  readonly mailbox: Mailbox<HostedRequest>;
  /** Storage holds requests of this entity that found no room here: new ones must queue behind them there (INV-4). */
  isBacklogged = false;
  /** When its last request ended (monotonic), while nothing runs or waits. Null: it had none, or is leaving. */
  idleSince: number | null = null;
  readonly behavior: EntityBehavior;
  readonly #concurrency: number;
  readonly #hooks: ActivationHooks;
  /** Mostly one. A set would keep its old tables (data/brief-map.ts). */
  readonly #running: HostedRequest[] = [];
  #handlers: Handlers | null;
  #abort: Abort | null = null;
  #onEvict: readonly (() => void | Promise<void>)[] = NONE;
  #isPumping = false;
  /** Ends with its callbacks. Null: it is not leaving memory. */
  #eviction: Promise<void> | null = null;
  #isClosed = false;

  constructor(options: ActivationOptions) {
    this.key = options.key;
    this.address = options.address;
    this.fence = options.fence;
    this.leaving = options.leaving;
    this.behavior = options.behavior;
    this.#concurrency = options.concurrency;
    this.#hooks = options.hooks;
    this.mailbox = new Mailbox(options.mailboxCapacity);
    this.#handlers = this.#shared;
  }

  get running(): readonly HostedRequest[] {
    return this.#running;
  }

  /** Whether a request admitted now would start as soon as it is accepted. */
  get startsAtOnce(): boolean {
    return this.mailbox.size < this.#free;
  }

  /** Whether a request that came now would start at this moment. */
  get isFree(): boolean {
    return this.mailbox.size === 0 && this.#free > 0;
  }

  /** Whether one more request would be too many. */
  get isFull(): boolean {
    return this.mailbox.isFull(this.#free);
  }

  get isIdle(): boolean {
    return this.#running.length === 0 && this.mailbox.size === 0 && this.#eviction === null;
  }

  /** Takes a request that is accepted, or runs ahead of that: it starts at once where it may and nothing waits in front of it. */
  admit(request: HostedRequest): void {
    if (this.isFree) return this.#start(request);
    this.mailbox.push(request);
    this.pump();
  }

  /** Starts whatever may start. Call after a push, and after a request in the mailbox was accepted. */
  pump(): void {
    // One that ends at once comes back here.
    if (this.#isPumping) return;
    this.#isPumping = true;
    try {
      while (this.#free > 0) {
        const request = this.mailbox.next();
        if (request === undefined) return;
        this.#start(request);
      }
    } finally {
      this.#isPumping = false;
    }
  }

  /** A request that was running has come to its end. */
  end(request: HostedRequest): void {
    removeFrom(this.#running, request);
    this.pump();
    this.#hooks.ended(this);
  }

  /** The handlers, made if there are none. @throws what the user's code threw; the next call tries again */
  handlers(): Handlers {
    this.#handlers ??= this.#activate();
    return this.#handlers;
  }

  /**
   * Lets the entity leave memory, once its callbacks have run; all who ask for that meanwhile wait for the same. What is admitted
   * then waits, and finds fresh handlers after.
   */
  evict(report: (error: unknown) => void): Promise<void> {
    if (this.#eviction !== null) return this.#eviction;
    const eviction = this.#callBack(report).then(() => {
      // Where it was left behind, another one may be under way.
      if (this.#eviction === eviction) this.leave();
    });
    this.#eviction = eviction;
    return eviction;
  }

  /** The entity has left memory, also if a callback of it is still at work. */
  leave(): void {
    this.#eviction = null;
    this.abort("the entity left memory");
    this.#abort = null;
    this.#handlers = this.#shared;
    this.pump();
  }

  /** Aborts the entity's signal. Where its shard is lost that is before its callbacks run, so that they know. */
  abort(why: string): void {
    const { address } = this;
    this.#abort?.abortFor(() => new InterruptedError({ what: `The work of ${entityKey(address)}`, why }));
  }

  async #callBack(report: (error: unknown) => void): Promise<void> {
    // It counts as leaving before any of them runs (A2).
    await Promise.resolve();
    const callbacks = this.#onEvict;
    this.#onEvict = NONE;
    for (const callback of callbacks) {
      try {
        await callback();
      } catch (error) {
        report(error);
      }
    }
  }

  /** Nothing starts any more. Returns what waited, in order. */
  close(): readonly HostedRequest[] {
    this.#isClosed = true;
    return this.mailbox.empty();
  }

  /** The handlers of all entities of the type, if those are the same: then it keeps nothing for its own. */
  get #shared(): Handlers | null {
    const { handlers } = this.behavior;
    return typeof handlers === "function" ? null : handlers;
  }

  /** How many more requests may run now. */
  get #free(): number {
    if (this.#eviction !== null || this.#isClosed) return 0;
    return this.#concurrency === 0 ? Number.POSITIVE_INFINITY : this.#concurrency - this.#running.length;
  }

  #start(request: HostedRequest): void {
    this.#running.push(request);
    // What came before, it reads now.
    if (request.isHastened) request.isNew = false;
    request.isHastened = false;
    this.#hooks.run(request, this);
  }

  #activate(): Handlers {
    const abort = new Abort();
    this.#abort = abort;
    const scope = {
      [SOURCE]: abort,
      address: this.address,
      fence: this.fence,
      onEvict: (callback: () => void | Promise<void>) => {
        this.#onEvict = [...this.#onEvict, callback];
      },
    };
    try {
      return handlersOf(
        this.behavior,
        Object.defineProperty(scope, "signal", SIGNAL) as typeof scope & Pick<ActivationScope, "signal">,
      );
    } catch (error) {
      this.#onEvict = NONE;
      throw error;
    }
  }
}
