// SingletonHost: runs the singletons whose shards this runner owns. One on each runner.
//
// Each singleton lives on the shard that its name falls into; owning that shard is the right to run it. Takes no lease and
// claims no shard: the shard's owner says what comes and goes.
//
//   G1  A singleton runs only between `take` and `drain` of its shard, and what is left of it after that has an aborted
//       signal.
//   G2  On this runner it never runs twice at once. What outlives the termination timeout keeps its successor here
//       waiting, although the shard may run it elsewhere by then: that one has a higher fencing token.
//   G3  None is started once the lease can be over, although nobody has said so yet: in a process that stood still, the timer
//       that restarts one may come before the timer that ends the lease.
//   G4  While the shard is owned it is always running or about to be started again. Nothing that it throws gets further
//       than the log.

import type { Clock } from "../adapter/clock.ts";
import type { Random } from "../adapter/random.ts";
import { backoffMs } from "../clock/backoff.ts";
import { sleep } from "../clock/sleep.ts";
import { within } from "../clock/within.ts";
import type { Logger } from "../contract/logger.ts";
import type { Fence } from "../data/epoch.ts";
import type { ShardId } from "../data/shard-id.ts";
import { InterruptedError } from "../errors/routing.ts";
import { shardIdFor } from "../sharding/shard-hash.ts";
import { describeThrown } from "../contract/thrown.ts";

/** A run that lasted this long has recovered: the next crash counts as the first. Also the longest pause between runs. */
const LONGEST_BACKOFF_MS = 60_000;

/** A task that runs on exactly one runner. */
export interface Singleton {
  readonly name: string;
  readonly shardGroup: string;
  /** Runs until its signal is aborted. When it returns or throws earlier it is started again. */
  readonly run: (scope: SingletonScope) => unknown;
}

/** One run of a singleton. */
export interface SingletonScope {
  /** Aborted when the shard leaves this runner. */
  readonly signal: AbortSignal;
  readonly fence: Fence;
}

export interface SingletonHostOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly shardsPerGroup: number;
  /** The pause before a singleton that ended by itself is started again. Doubles with each crash in a row. */
  readonly crashBackoffBaseMs: number;
  /** How long a shard waits for its singletons to end before it leaves. */
  readonly terminationTimeoutMs: number;
  readonly leaseIsHeld: () => boolean;
}

export class SingletonHost {
  readonly #options: SingletonHostOptions;
  readonly #tasks = new Map<string, SingletonTask>();
  readonly #fences = new Map<ShardId, Fence>();

  constructor(options: SingletonHostOptions) {
    this.#options = options;
  }

  /** Adds a singleton, and starts it if its shard is here already. Its name must be new: definitions are checked before. */
  register(singleton: Singleton): void {
    const shardId = shardIdFor(singleton.shardGroup, singleton.name, this.#options.shardsPerGroup);
    const task = new SingletonTask(singleton, shardId, this.#options);
    this.#tasks.set(singleton.name, task);
    const fence = this.#fences.get(shardId);
    if (fence !== undefined) task.start(fence);
  }

  /** The names of those that have been started here and were not stopped. */
  get running(): readonly string[] {
    return [...this.#tasks.values()].filter((task) => task.isStarted).map((task) => task.name);
  }

  /** The shard is claimed: starts its singletons. With a later epoch of the same shard, stops and starts them. */
  take(fence: Fence): void {
    const { shardId } = fence;
    if (this.#fences.get(shardId)?.epoch === fence.epoch) return;
    this.#fences.set(shardId, fence);
    for (const task of this.#tasksOf(shardId)) {
      void task.stop("its shard was claimed again");
      task.start(fence);
    }
  }

  /**
   * The shard leaves: aborts its singletons before it returns. Resolves when they have ended, or after the termination
   * timeout; never rejects. Do not wait for it when the shard is lost already.
   */
  async drain(shardId: ShardId): Promise<void> {
    this.#fences.delete(shardId);
    await Promise.all(this.#tasksOf(shardId).map((task) => task.stop("its shard leaves this runner")));
  }

  /** Whether a singleton of the shard was stopped, has not ended, and is waited for still: elsewhere it would be a second one. */
  isStopping(shardId: ShardId): boolean {
    return this.#tasksOf(shardId).some((task) => task.isStopping);
  }

  /** Resolves when all that were stopped by now have ended, or are waited for no more. Never rejects. */
  async ended(): Promise<void> {
    await Promise.all(Array.from(this.#tasks.values(), (task) => task.stopped));
  }

  #tasksOf(shardId: ShardId): readonly SingletonTask[] {
    return [...this.#tasks.values()].filter((task) => task.shardId === shardId);
  }
}

/** One singleton on this runner, started or not. */
class SingletonTask {
  readonly shardId: ShardId;
  readonly #singleton: Singleton;
  readonly #options: SingletonHostOptions;
  #tenure: AbortController | null = null;
  /** Stops that are waited for. */
  #stops = 0;
  /** Resolves when none of them is waited for any more. */
  #stopped: Promise<void> = Promise.resolve();
  /** Resolves when all that was ever started has ended. Never rejects. */
  #ended: Promise<void> = Promise.resolve();

  constructor(singleton: Singleton, shardId: ShardId, options: SingletonHostOptions) {
    this.#singleton = singleton;
    this.shardId = shardId;
    this.#options = options;
  }

  get name(): string {
    return this.#singleton.name;
  }

  get isStarted(): boolean {
    return this.#tenure !== null;
  }

  get isStopping(): boolean {
    return this.#stops > 0;
  }

  start(fence: Fence): void {
    const tenure = new AbortController();
    this.#tenure = tenure;
    // Behind whatever still runs of an earlier tenure (G2). Stopped before its turn comes, it does nothing.
    this.#ended = this.#ended.then(() => this.#runRepeatedly({ signal: tenure.signal, fence }));
  }

  get stopped(): Promise<void> {
    return this.#stopped;
  }

  async stop(why: string): Promise<void> {
    if (this.#tenure === null) return;
    // No sooner than those before: it waits for all that they wait for, and gives up later.
    this.#stopped = this.#stop(this.#tenure, why);
    await this.#stopped;
  }

  async #stop(tenure: AbortController, why: string): Promise<void> {
    tenure.abort(new InterruptedError({ what: `The singleton "${this.name}"`, why, retryable: true }));
    this.#tenure = null;
    const { clock, logger, terminationTimeoutMs } = this.#options;
    this.#stops += 1;
    const inTime = await within(clock, this.#ended, terminationTimeoutMs);
    this.#stops -= 1;
    if (inTime) return;
    logger.error(
      `The singleton "${this.name}" goes on ${terminationTimeoutMs} ms after its signal was aborted, and may soon run ` +
        `elsewhere too. Let run() end when ctx.signal is aborted.`,
      { singleton: this.name, shardId: this.shardId },
    );
  }

  /** Runs it again and again until the signal is aborted. Never rejects (G4). */
  async #runRepeatedly(scope: SingletonScope): Promise<void> {
    const { clock, random, leaseIsHeld, crashBackoffBaseMs: initialMs } = this.#options;
    const backoff = {
      kind: "exponential",
      initialMs,
      maxMs: Math.max(initialMs, LONGEST_BACKOFF_MS),
      jitter: 0,
    } as const;
    let crashes = 0;
    while (!scope.signal.aborted) {
      const startedAt = clock.monotonic();
      const returned = leaseIsHeld() ? await this.#runOnce(scope) : true;
      const ranWell = clock.monotonic() - startedAt >= LONGEST_BACKOFF_MS;
      if (returned) crashes = 0;
      else crashes = ranWell ? 1 : crashes + 1;
      // Never 0: a singleton that always returns at once must leave a turn to others.
      await sleep(clock, Math.max(1, backoffMs(backoff, crashes, random)), scope.signal);
    }
  }

  /** Whether it returned, and did not throw. */
  async #runOnce(scope: SingletonScope): Promise<boolean> {
    const { logger } = this.#options;
    const fields = { singleton: this.name, shardId: this.shardId };
    try {
      await this.#singleton.run(scope);
      if (!scope.signal.aborted) logger.debug("A singleton returned and is started again", fields);
      return true;
    } catch (error) {
      const details = { ...fields, error: describeThrown(error) };
      // Most often it is the abort itself that comes out of what the singleton was waiting for.
      if (scope.signal.aborted) logger.debug("A singleton threw while it was stopped", details);
      else logger.error("A singleton crashed and is started again", details);
      return false;
    }
  }
}
