// Departure: finds out when an execution can leave memory: its code waits for nothing but time, or what wakes it, or it has to
// leave and nothing is at work. Also that its replay comes no further.
//
// Looks when everything that is ready has run, and no more often than that changes anything. Ends nothing itself.

import type { Clock, Timer } from "../adapter/clock.ts";
import type { AbortWatch } from "../contract/abort.ts";
import type { DeliveryQueue } from "./delivery-queue.ts";
import type { Journal } from "./journal.ts";
import type { Progress } from "./progress.ts";
import type { Replay } from "./replay.ts";
import type { Residence } from "./residence.ts";

/** So long a replay may stand still, in code that awaits something of its own, before that counts as divergence. */
const STALLED_MS = 1_000;

export interface DepartureParts {
  readonly clock: Clock;
  readonly replay: Replay;
  readonly queue: DeliveryQueue;
  readonly journal: Journal;
  readonly residence: Residence;
  /** The execution has to leave. */
  readonly leaving: AbortWatch;
  /** It only looks whether its code fits the journal. */
  readonly replayOnly: boolean;
  readonly progress: Readonly<Progress>;
  /** Everything that is recorded has reached the code. */
  readonly catchUp: () => void;
  /** Records of what has begun that it has. */
  readonly recordBegun: () => void;
  /** It leaves, until this wall time; null: until something wakes it. */
  readonly leave: (until: number | null) => void;
  /** The code does not ask for what is recorded. */
  readonly stuck: () => void;
}

export class Departure {
  readonly #parts: DepartureParts;
  #isLooking = false;
  #stalled: Timer | null = null;

  constructor(parts: DepartureParts) {
    this.#parts = parts;
  }

  /** Something changed: looks soon. */
  check(): void {
    const { clock, progress } = this.#parts;
    if (this.#isLooking || progress.isStopped) return;
    if (progress.isCaughtUp && this.#stays) return;
    this.#isLooking = true;
    clock.afterTurn(this.#look);
  }

  stop(): void {
    this.#stalled?.cancel();
  }

  readonly #look = (): void => {
    const { replay, queue, catchUp } = this.#parts;
    this.#isLooking = false;
    if (replay.isOver && !queue.isReplaying) catchUp();
    this.#leaveIfIdle();
  };

  /**
   * Whether it stays in memory as things are: this is looked at again when what it is at has ended, and when it begins to
   * wait. Calls that another copy may join do not say that they begin, so one that has to leave always looks.
   */
  get #stays(): boolean {
    const { leaving, replayOnly, residence } = this.#parts;
    return !leaving.isAborted && (this.#isAtWork || !(replayOnly || residence.isWaiting));
  }

  get #isAtWork(): boolean {
    const { queue, journal, residence, leaving } = this.#parts;
    return queue.isPumping || journal.writing !== null || residence.isBusy(leaving.isAborted);
  }

  #leaveIfIdle(): void {
    const { progress, leaving, leave, replay, replayOnly, residence, recordBegun, journal } = this.#parts;
    if (progress.isStopped || this.#isAtWork) return;
    if (leaving.isAborted) return leave(0);
    if (!replay.isOver) return this.#watchStall();
    if (replayOnly) return leave(null);
    const until = residence.leavesUntil();
    if (until === undefined) return;
    // Who asks later what it waits for finds it in the journal.
    recordBegun();
    if (journal.writing === null) leave(until);
  }

  /** The replay does nothing. Unless the code awaits something of its own, it waits for what will never come. */
  #watchStall(): void {
    if (this.#stalled !== null) return;
    const { clock, replay, stuck } = this.#parts;
    const { position } = replay;
    this.#stalled = clock.setTimer(STALLED_MS, () => {
      this.#stalled = null;
      if (replay.position === position) stuck();
      else this.check();
    });
  }
}
