// CronRunner: one cron as an entity. Each instant of its schedule is a persisted request, a tick, that schedules the next.
//
// The entity type is `cron:<name>`, hidden, with one entity whose id is the name. Keeps nothing in memory and no timer:
// storage keeps the ticks, and delivers them when they are due, like any scheduled request.
//
//   C1  A tick saves its successor before it runs the user's function, and tries until it is saved. So there is a tick
//       in storage at every moment after the first seed: either one that is due later, or one that is not answered yet
//       and whose next attempt, on whatever runner, saves the one after it.
//   C2  A tick's deduplication key is its instant. The schedule names the same instants to all who ask, so a second
//       chain, started by a seed or a repeated attempt, lands on a tick that is there already, and ends.
//   C3  The entity handles one request at a time: ticks never overlap, and a slow one delays those after it.
//   C4  A successor is always later than the tick that names it, although the clocks of two runners differ.
//   C5  Where instants are left out, chains of which each names others end up in one, also where each run takes longer than the
//       pause between two instants: what passed before the newest run began is not run any more.
//   C6  The user's function is called only while the lease is held and the shard is here, at that very moment.
//
// No tick is lost over a fail-over: by C1 one is in storage, by INV-2 it is handled, and that hands the chain on. The new
// owner seeds besides, which mends the chain of a tick that became a dead letter before it could hand on, and looks time and
// again whether a clock that was ahead has named a successor that is too far off.
//
// No tick is doubled: by C2 an instant is one request, and by INV-6 one that is answered never runs again. What may come twice
// is an attempt: a tick whose runner dies under it, before the reply is recorded, is run again by the next owner, like every
// persisted request, and one whose transaction was lost under it is, too.
//
// Instants are skipped on purpose in two ways: those that pass while the cron is not running, or while an earlier tick is,
// unless it calculates the next from the previous one; and those older than `skipIfOlderThan`.

import type { Clock } from "../adapter/clock.ts";
import { sleep } from "../clock/sleep.ts";
import { isAnswer } from "../contract/answers.ts";
import type { EntityContract } from "../contract/entity-contract.ts";
import type { Logger } from "../contract/logger.ts";
import { rpc, type AnyRpc } from "../contract/rpc.ts";
import type { EntityBehavior, Call } from "../entity/behavior.ts";
import { FencedError } from "../errors/storage.ts";
import { describeThrown } from "../contract/thrown.ts";
import { isLostWith } from "../contract/transaction.ts";
import type { CronSchedule } from "./cron-schedule.ts";

/** The rpc of a cron's entity. */
export const TICK = "tick";
const FORGET_EVERY_MS = 60_000;
/** Clocks of runners differ; this is far more than they do. */
const KEPT_LONGER_MS = 3_600_000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 10_000;

/** A function that runs at the instants of a schedule, each on one runner. */
export interface Cron {
  readonly name: string;
  readonly shardGroup: string;
  readonly schedule: CronSchedule;
  /** Whether the tick after a late one is the next of the schedule, though it has passed too, or the next from now. */
  readonly calculateNextFromPrevious: boolean;
  readonly skipIfOlderThanMs: number;
  readonly run: (scheduledTime: Date, call: Call) => unknown;
}

/** The input of a tick. */
export interface Tick {
  /** The instant in ISO form; also the tick's deduplication key. */
  readonly scheduledTime: string;
}

/** The recorded reply of a tick whose function did not throw. */
export type TickOutcome =
  | "ran"
  | "skipped: too old"
  | "skipped: no longer in the schedule"
  | "skipped: a later run began after it";

export interface CronRunnerOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /**
   * Sends the cron's entity a persisted notify of `tick`, with `tickOf(instant)` as its input and `instant` as its
   * deliverAt. Resolves when it is durable. Called again for the same instant after it rejected, and at other times too.
   */
  readonly scheduleTick: (instant: number) => Promise<void>;
  /** Whether the tick of this instant is in storage, has no reply yet, and will be handed to this cron's entity. */
  readonly isWaiting: (instant: number) => Promise<boolean>;
  /** Deletes the records of ticks that were answered before this wall time, as many as is good at a time. */
  readonly forgetTicks: (answeredBefore: number) => Promise<void>;
}

/** The input of the tick at `instant`, in milliseconds since 1970. */
export function tickOf(instant: number): Tick {
  return { scheduledTime: new Date(instant).toISOString() };
}

export class CronRunner {
  /** To be registered like an entity. */
  readonly behavior: EntityBehavior;
  readonly #cron: Cron;
  readonly #options: CronRunnerOptions;
  #forgotAt = 0;
  /** The instant of the tick that was saved last. */
  #newest: number | null = null;
  /** The newest run here: of which instant, and when its successor was named. */
  #begun = { instant: Number.POSITIVE_INFINITY, at: 0 };

  constructor(cron: Cron, options: CronRunnerOptions) {
    this.#cron = cron;
    this.#options = options;
    const handlers = { [TICK]: (input: unknown, call: Call) => this.#tick(input as Tick, call) };
    this.behavior = { contract: contractOf(cron), handlers };
  }

  /** The id of the one entity. */
  get entityId(): string {
    return this.#cron.name;
  }

  /**
   * Saves the next tick from now. To be called whenever this runner has gained the shard of the cron. Resolves when it is
   * saved, trying until it is, or when `signal` is aborted, because the shard has left. Never rejects.
   */
  async seed(signal: AbortSignal): Promise<void> {
    await this.#saveTick(this.#cron.schedule.next(this.#options.clock.now()), signal);
  }

  /**
   * Saves the next tick from now where a clock that was ahead named the one that was saved last: that is later, or was there
   * already and has run, or which nobody hands out. To be called time and again while the shard is here. From a tick that waits
   * here, however overdue it is, the chain goes on. Never rejects.
   */
  async mend(signal: AbortSignal): Promise<void> {
    const newest = this.#newest;
    const next = this.#cron.schedule.next(this.#options.clock.now());
    // Where storage cannot say, the next time finds out.
    if (newest !== null && newest <= next && (await this.#options.isWaiting(newest).catch(() => true)))
      return;
    // Its tick may have run and handed on meanwhile.
    if (newest === this.#newest) await this.#saveTick(next, signal);
  }

  async #tick(input: Tick, call: Call): Promise<TickOutcome> {
    const instant = Date.parse(input.scheduledTime);
    const now = this.#options.clock.now();
    const saved = await this.#saveTick(this.#successorOf(instant, now), call.signal);
    // Without its successor a tick must not be answered (C1), nor run where another runner may have it by now (C6): the error asks
    // for another attempt, here or elsewhere.
    if (!saved || !call.mayBegin()) throw new TickInterrupted(this.#cron.name, input.scheduledTime);
    void this.#forgetOld(now);

    const { schedule, skipIfOlderThanMs } = this.#cron;
    if (!schedule.includes(instant)) return this.#skip(input, "skipped: no longer in the schedule");
    if (now - instant > skipIfOlderThanMs) return this.#skip(input, "skipped: too old");
    if (this.#isLeftOut(instant, now)) return this.#skip(input, "skipped: a later run began after it");
    // Not by a repeated attempt: the successor that its first one named is the first instant missed, and is to run.
    if (call.attempt === 1) this.#begun = { instant, at: now };
    await this.#run(instant, input, call);
    return "ran";
  }

  /**
   * Deletes the records of ticks so old that nobody names their instants any more: a successor lies within
   * `skipIfOlderThan`, a seed in the future. Best effort, now and then: the next one deletes what this one left.
   */
  async #forgetOld(now: number): Promise<void> {
    if (now - this.#forgotAt < FORGET_EVERY_MS) return;
    this.#forgotAt = now;
    try {
      await this.#options.forgetTicks(now - this.#cron.skipIfOlderThanMs - KEPT_LONGER_MS);
    } catch (error) {
      this.#options.logger.warn("Old ticks of a cron could not be deleted", {
        cron: this.#cron.name,
        error: describeThrown(error),
      });
    }
  }

  #successorOf(instant: number, now: number): number {
    const { schedule, calculateNextFromPrevious, skipIfOlderThanMs } = this.#cron;
    if (!calculateNextFromPrevious) return schedule.next(Math.max(now, instant));
    // What would be skipped as too old is passed over at once, however many there are.
    return schedule.next(Math.max(instant, now - skipIfOlderThanMs - 1));
  }

  /** Whether a second chain, begun by a seed or a repeated attempt, named an instant that the newest run left out (C5). */
  #isLeftOut(instant: number, now: number): boolean {
    const { instant: newest, at } = this.#begun;
    // A clock that was ahead may have been put right since.
    return !this.#cron.calculateNextFromPrevious && newest < instant && instant <= at && at <= now;
  }

  #skip(tick: Tick, outcome: TickOutcome): TickOutcome {
    this.#options.logger.warn(`A cron's tick was ${outcome}`, { cron: this.#cron.name, ...tick });
    return outcome;
  }

  async #run(instant: number, tick: Tick, call: Call): Promise<void> {
    try {
      await this.#cron.run(new Date(instant), call);
    } catch (error) {
      if ((error instanceof FencedError && !isAnswer(error)) || call.signal.aborted) throw error;
      // The storage's failure, and none of the function: nothing of it was written, and another attempt writes it.
      if (isLostWith(error, call.transactions.transaction ?? null)) throw error;
      const fields = { cron: this.#cron.name, ...tick, attempt: call.attempt };
      this.#options.logger.error("A cron's tick failed", { ...fields, error: describeThrown(error) });
      // Wrapped, so that a thrown error that is marked retryable ends the tick like any other.
      throw new TickFailed(this.#cron.name, tick.scheduledTime, error);
    }
  }

  /** Whether it was saved; false only after `signal` was aborted. */
  async #saveTick(instant: number, signal: AbortSignal): Promise<boolean> {
    const { clock, logger, scheduleTick } = this.#options;
    for (let pauseMs = FIRST_PAUSE_MS; !signal.aborted; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      try {
        await scheduleTick(instant);
        this.#newest = instant;
        return true;
      } catch (error) {
        const fields = { cron: this.#cron.name, ...tickOf(instant), error: describeThrown(error) };
        logger.warn("A cron's next tick could not be saved; trying again", fields);
        await sleep(clock, pauseMs, signal);
      }
    }
    return false;
  }
}

/** The user's function threw. Recorded as the tick's reply, with what it threw as the cause. */
class TickFailed extends Error {
  override readonly name = "CronTickFailed";
  /** Also where its cause is a loss of the tick's transaction of which the function said that it is final. */
  readonly retryable = false;

  constructor(cron: string, scheduledTime: string, cause: unknown) {
    super(`The function of cron "${cron}" threw at its tick of ${scheduledTime}.`, { cause });
  }
}

/** A tick was interrupted before its function was called. Asks the runtime for another attempt. */
class TickInterrupted extends Error {
  override readonly name = "CronTickInterrupted";
  readonly retryable = true;

  constructor(cron: string, scheduledTime: string) {
    super(`The tick of cron "${cron}" at ${scheduledTime} was interrupted before its function was called.`);
  }
}

/** Protected and uninterruptible: nothing outside may tick, or end a tick half-way. */
function contractOf(cron: Cron): EntityContract {
  const tick: AnyRpc = rpc<Tick, TickOutcome>({
    persisted: true,
    visibility: "protected",
    uninterruptible: true,
    primaryKey: ({ scheduledTime }) => scheduledTime,
  });
  return Object.freeze({
    name: `cron:${cron.name}`,
    shardGroup: cron.shardGroup,
    maxIdleTimeMs: null,
    mailboxCapacity: null,
    concurrency: 1,
    rpcs: { [TICK]: tick },
  });
}
