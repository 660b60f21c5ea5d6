// VirtualClock: time that moves only when it is told to, for tests and simulations.
//
// Decides when timers fire and in which order. Knows no cluster and draws no chance. What it hands out as real turns of
// the event loop is the one thing here that is not decided by its caller.
//
//   V1  Timers fire in the order of their due times, and those of one moment in the order in which they were set; or, where
//       an order of views is given, view by view as that says, and those of one view in the order in which they were set.
//   V2  Between two timers all that is ready runs to its end, microtasks and turns asked for included.
//   V3  Wall and monotonic time move together; only `setWall` and a view's offset part them, and only in wall time.
//   V4  A timer of a paused view fires after the resume, never before, and none is lost. One of a stopped view never fires.

import type { Clock, Timer } from "../adapter/clock.ts";
import { BinaryHeap } from "./binary-heap.ts";
import { platformTurn } from "./platform-turn.ts";

/** 2030-01-01T00:00:00Z: a moment that nobody takes for the real time by mistake. */
const DEFAULT_START = 1_893_456_000_000;

/** So many real turns are let pass before all counts as quiet: enough for a step or two of the platform's own. */
const QUIET_TURNS = 2;

/** Code that asks for one turn after the other would keep time from moving for ever. */
const MOST_TURNS = 100_000;

/** The rank of view number `view` among those whose timers are due at `dueAt`: lower ones come first. 0 is no view's. */
export type OrderOfViews = (view: number, dueAt: number) => number;

export class VirtualClock implements Clock {
  readonly #start: number;
  readonly #timers = new BinaryHeap<VirtualTimer>(firesBefore);
  #elapsedMs = 0;
  #wallOffsetMs = 0;
  #made = 0;
  #waiting = 0;
  #turnsAskedFor = 0;
  #advancing: Promise<void> = Promise.resolve();
  #advances = 0;
  #pumping = false;

  readonly #orderOfViews: OrderOfViews | null;
  #views = 0;

  /**
   * @param startAt wall time, in milliseconds since 1970. Default: the first moment of 2030
   * @param orderOfViews which view's timers come first where several are due at one moment. Default: as they were set
   */
  constructor(startAt: number = DEFAULT_START, orderOfViews: OrderOfViews | null = null) {
    this.#start = startAt;
    this.#orderOfViews = orderOfViews;
  }

  now(): number {
    return this.#start + this.#elapsedMs + this.#wallOffsetMs;
  }

  monotonic(): number {
    return this.#elapsedMs;
  }

  /** A delay of 0 needs no `advance`: it fires in the next turn. */
  setTimer(delayMs: number, fire: () => void): Timer {
    return this.setTimerOf(null, delayMs, fire);
  }

  afterTurn(fire: () => void): void {
    void this.nextTurn().then(fire);
  }

  async nextTurn(): Promise<void> {
    this.#turnsAskedFor += 1;
    await realTurn();
    this.#turnsAskedFor -= 1;
  }

  /**
   * Moves time on by `ms`, stopping at each timer that comes due on the way to fire it and to let all run that is ready
   * then. Advances asked for at once follow one another.
   */
  advance(ms: number): Promise<void> {
    this.#advances += 1;
    const done = this.#advancing.then(() => this.#advanceBy(ms));
    this.#advancing = done.catch(noop);
    return done;
  }

  /** Lets all run that is ready now, timers due now included, without moving time. */
  settle(): Promise<void> {
    return this.advance(0);
  }

  /** Sets how far wall time is off what it would be had it never jumped, in milliseconds. Timers do not notice. */
  setWall(offsetMs: number): void {
    this.#wallOffsetMs = offsetMs;
  }

  /** How many timers have yet to fire, those of paused views included. */
  pending(): number {
    return this.#waiting;
  }

  /** The monotonic time at which the next timer fires, or null. Those of paused views are left out. */
  nextDueAt(): number | null {
    return this.#nextTimer()?.dueAt ?? null;
  }

  /** The same time as one member of a simulation sees it. */
  view(options: { offsetMs?: number; paused?: boolean } = {}): VirtualClockView {
    this.#views += 1;
    return new VirtualClockView(this, this.#views, options.offsetMs ?? 0, options.paused ?? false);
  }

  /** For views: sets a timer that fires only while `owner` runs. */
  setTimerOf(owner: VirtualClockView | null, delayMs: number, fire: () => void): Timer {
    this.#made += 1;
    const dueAt = this.#elapsedMs + Math.max(0, delayMs);
    const rank = owner === null ? 0 : (this.#orderOfViews?.(owner.number, dueAt) ?? 0);
    const timer = new VirtualTimer({ owner, dueAt, rank, order: this.#made, fire, left: this.#left });
    this.#waiting += 1;
    this.putBack(timer);
    return timer;
  }

  /** For views: takes a timer that was held while its view was paused. It is due now if its time has passed. */
  putBack(timer: VirtualTimer): void {
    this.#timers.push(timer);
    if (timer.dueAt <= this.#elapsedMs) this.#pump();
  }

  /** One for all timers. */
  readonly #left = (): void => {
    this.#waiting -= 1;
    // Cancelled timers stay in the heap until they come up. A long simulation that sets time-outs would fill it with them.
    if (this.#timers.size > 1024 && this.#timers.size > 4 * this.#waiting)
      this.#timers.retain(({ state }) => state === "waiting");
  };

  /** The first timer that may fire, after setting those aside that may not. */
  #nextTimer(): VirtualTimer | undefined {
    for (;;) {
      const timer = this.#timers.peek();
      if (timer === undefined) return undefined;
      if (timer.state === "waiting" && (timer.owner === null || !timer.owner.paused)) return timer;
      this.#timers.pop();
      if (timer.state === "waiting") timer.owner?.hold(timer);
    }
  }

  async #advanceBy(ms: number): Promise<void> {
    try {
      await this.#advanceTo(this.#elapsedMs + ms);
    } finally {
      // Before whoever awaits the advance goes on, so that a timer of no delay that it sets is seen to.
      this.#advances -= 1;
    }
  }

  async #advanceTo(target: number): Promise<void> {
    await this.#quiet();
    for (;;) {
      const timer = this.#nextTimer();
      if (timer !== undefined && timer.dueAt <= target) {
        this.#timers.pop();
        this.#elapsedMs = Math.max(this.#elapsedMs, timer.dueAt);
        timer.fireNow();
      } else if (this.#elapsedMs < target) {
        this.#elapsedMs = target;
      } else {
        return;
      }
      await this.#quiet();
    }
  }

  /** Fires what is due now in a turn of its own, unless an advance is under way, which does it. */
  #pump(): void {
    if (this.#pumping || this.#advances > 0) return;
    this.#pumping = true;
    platformTurn(() => {
      this.#pumping = false;
      if (this.#advances === 0) void this.advance(0);
    });
  }

  /** Resolves once nothing is ready any more. */
  #quiet(): Promise<void> {
    return new Promise((resolve, reject) => {
      let turns = 0;
      // Chained, and awaited once: each timer waits for some, and a promise for each turn costs a quarter more.
      const turn = (): void => {
        turns += 1;
        if (turns > MOST_TURNS) {
          reject(
            new Error(
              `Something asked for a turn of the event loop ${MOST_TURNS} times in a row: time cannot move on.`,
            ),
          );
        } else if (turns < QUIET_TURNS || this.#turnsAskedFor > 0) {
          platformTurn(turn);
        } else {
          resolve();
        }
      };
      platformTurn(turn);
    });
  }
}

/** Time as one member of a simulation sees it: it may be paused, be stopped for good, and have a wall clock that is off. */
export class VirtualClockView implements Clock {
  readonly #clock: VirtualClock;
  #held: VirtualTimer[] = [];
  readonly #turns: (() => void)[] = [];
  #paused: boolean;
  #stopped = false;
  readonly number: number;
  /** How far this member's wall clock is ahead of the others', in milliseconds. */
  offsetMs: number;

  /** @param number counts the views of a clock, from 1 */
  constructor(clock: VirtualClock, number: number, offsetMs: number, paused: boolean) {
    this.#clock = clock;
    this.number = number;
    this.offsetMs = offsetMs;
    this.#paused = paused;
  }

  get paused(): boolean {
    return this.#paused || this.#stopped;
  }

  now(): number {
    return this.#clock.now() + this.offsetMs;
  }

  /** Goes on while the view is paused, as it does while a process is stopped. */
  monotonic(): number {
    return this.#clock.monotonic();
  }

  setTimer(delayMs: number, fire: () => void): Timer {
    return this.#stopped ? { cancel: noop } : this.#clock.setTimerOf(this, delayMs, fire);
  }

  afterTurn(fire: () => void): void {
    void this.nextTurn().then(fire);
  }

  async nextTurn(): Promise<void> {
    await this.#clock.nextTurn();
    while (this.paused) await new Promise<void>((resolve) => this.#turns.push(resolve));
  }

  /** No timer fires and no turn ends until `resume`. */
  pause(): void {
    this.#paused = true;
  }

  /** What came due meanwhile fires now, in the order in which it would have. */
  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (this.#stopped) return;
    const held = this.#held;
    this.#held = [];
    for (const timer of held) this.#clock.putBack(timer);
    for (const turn of this.#turns.splice(0)) turn();
  }

  /** As if the process had died: no timer of this view ever fires again. */
  stop(): void {
    this.#stopped = true;
    for (const timer of this.#held.splice(0)) timer.cancel();
  }

  /** For the clock: keeps a timer that came up while the view does not run. */
  hold(timer: VirtualTimer): void {
    if (this.#stopped) timer.cancel();
    else this.#held.push(timer);
  }
}

/** A timer of a VirtualClock. Opaque to all but the clock and its views. */
export class VirtualTimer implements Timer {
  readonly owner: VirtualClockView | null;
  readonly dueAt: number;
  /** Among timers of one moment. */
  readonly rank: number;
  /** The order of making, among timers of one moment and rank. */
  readonly order: number;
  state: "waiting" | "over" = "waiting";
  readonly #fire: () => void;
  readonly #left: () => void;

  constructor(timer: {
    owner: VirtualClockView | null;
    dueAt: number;
    rank: number;
    order: number;
    fire: () => void;
    left: () => void;
  }) {
    this.owner = timer.owner;
    this.dueAt = timer.dueAt;
    this.rank = timer.rank;
    this.order = timer.order;
    this.#fire = timer.fire;
    this.#left = timer.left;
  }

  cancel(): void {
    if (this.state === "over") return;
    this.state = "over";
    this.#left();
  }

  fireNow(): void {
    this.cancel();
    this.#fire();
  }
}

function firesBefore(a: VirtualTimer, b: VirtualTimer): boolean {
  if (a.dueAt !== b.dueAt) return a.dueAt < b.dueAt;
  return a.rank < b.rank || (a.rank === b.rank && a.order < b.order);
}

/** All microtasks of this turn are over when it resolves. */
function realTurn(): Promise<void> {
  return new Promise((resolve) => {
    platformTurn(resolve);
  });
}

function noop(): void {}
