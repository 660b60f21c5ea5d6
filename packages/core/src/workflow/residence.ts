// Residence: whether an execution has to be in memory, and until when it need not be.
//
// Counts what its steps do here and now, and what they only wait for. Stops and stores nothing.
//
//   R1  It stays while a step does something here, or a timer is due soon.
//   R2  Where it waits for a time, or for something from outside, it stays for a moment first: what comes from outside often
//       comes soon, and the code may await something short of its own beside a timer that it asked for before.
//   R3  Where nothing is waited for that could wake it, it stays: its code awaits something of its own.

import type { Clock, Timer } from "../adapter/clock.ts";
import type { WaitOutcome } from "./step.ts";
import type { OpenStep } from "./cancellation.ts";
import { Waits } from "./waits.ts";

/** A timer due sooner than this is awaited in memory: leaving and coming back would take about as long. So is what may come. */
const RESIDENT_MS = 1_000;

/** So long an execution that waits for another one leaves memory, at the most. */
const LOOK_MS = 3_600_000;

export class Residence {
  readonly #clock: Clock;
  /** Made when something waits for a time. */
  #waits: Waits | null = null;
  /** Something changed: it may be possible to leave. */
  readonly #changed: () => void;
  /** Steps that are doing something here and now. */
  #busy = 0;
  /** Of those, calls that another copy joins by their key: they need not end before the execution leaves. */
  #joinable = 0;
  /** Steps that wait for what comes from outside. */
  #dormant = 0;
  /** Of those, steps that wait for another execution. */
  #waitingForOthers = 0;
  #idleSince: number | null = null;
  #moment: Timer | null = null;
  #isStopped = false;

  constructor(clock: Clock, changed: () => void) {
    this.#clock = clock;
    this.#changed = changed;
  }

  /** Work begins that the execution stays in memory for, until `end`. */
  begin(): void {
    this.#busy += 1;
    this.#idleSince = null;
    this.#moment?.cancel();
    this.#moment = null;
  }

  /** Such work ended, or will not go on: nothing that it waits for counts any more. */
  end(): void {
    this.#busy -= 1;
    this.#changed();
  }

  async joinably<Result>(work: () => Promise<Result>): Promise<Result> {
    this.#joinable += 1;
    try {
      return await work();
    } finally {
      this.#joinable -= 1;
    }
  }

  /** Waits for a wall time, for what `listen` hears of, or until the step is cut, whichever is first. */
  async wait<Message>(
    dueAt: number | null,
    open: OpenStep,
    listen: ((take: (message: Message) => boolean) => () => void) | null,
  ): Promise<WaitOutcome<Message>> {
    if (listen !== null) this.#dormant += 1;
    if (open.role === "child") this.#waitingForOthers += 1;
    const outcome = new Promise<WaitOutcome<Message>>((resolve) => {
      let isOver = false;
      const ends: (() => void)[] = [];
      const end = (came: WaitOutcome<Message>): boolean => {
        if (isOver) return false;
        isOver = true;
        for (const each of ends) each();
        resolve(came);
        return true;
      };
      const cut = (reason: unknown): boolean => end({ type: "cut", reason: reason as Error });
      // Who is cut takes nothing any more, and what has come counts before the time that is over.
      for (const begin of [
        () => {
          open.whenCut(cut);
          return () => open.forget(cut);
        },
        () => (isOver ? undefined : listen?.((message) => end({ type: "came", message }))),
        () => (dueAt === null ? undefined : this.#until(dueAt, () => end({ type: "due" }))),
      ]) {
        const ending = begin();
        if (isOver) ending?.();
        else if (ending !== undefined) ends.push(ending);
      }
    });
    this.end();
    const came = await outcome;
    this.begin();
    if (listen !== null) this.#dormant -= 1;
    if (open.role === "child") this.#waitingForOthers -= 1;
    return came;
  }

  /** Whether steps do something that must end first. */
  isBusy(isLeaving: boolean): boolean {
    return this.#busy > (isLeaving ? this.#joinable : 0);
  }

  /** Whether a step waits for a time, or for what comes from outside. */
  get isWaiting(): boolean {
    return this.#dormant > 0 || this.#waits?.isEmpty === false;
  }

  /** Until when it may leave memory (null: until something wakes it); undefined: it stays. While nothing is busy. */
  leavesUntil(): number | null | undefined {
    const earliest = this.#waits?.earliest ?? null;
    if (earliest !== null && earliest - this.#clock.now() < RESIDENT_MS) return undefined;
    if (this.#dormant === 0 && earliest === null) return undefined;
    const now = this.#clock.monotonic();
    if (this.#idleSince !== null && now - this.#idleSince >= RESIDENT_MS) return this.#latest(earliest);
    if (this.#idleSince === null) {
      this.#idleSince = now;
      this.#moment = this.#clock.setTimer(RESIDENT_MS, this.#changed);
    }
    return undefined;
  }

  /** Who waits for another execution looks by itself now and then: whatever kept that from telling, it does not hang. */
  #latest(earliest: number | null): number | null {
    if (this.#waitingForOthers === 0) return earliest;
    const look = this.#clock.now() + LOOK_MS;
    return earliest === null ? look : Math.min(earliest, look);
  }

  stop(): void {
    this.#isStopped = true;
    this.#waits?.stop();
    this.#moment?.cancel();
  }

  #until(dueAt: number, wake: () => void): () => void {
    if (this.#isStopped) return () => undefined;
    this.#waits ??= new Waits(this.#clock);
    return this.#waits.until(dueAt, wake);
  }
}
