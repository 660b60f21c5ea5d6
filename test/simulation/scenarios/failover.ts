// Fail-over: a singleton that ticks for as long as it may, and a cron each instant of which is to run, while runners come and
// go. The singleton is never at two places, and no instant is left out, early, or run beside another.

import { defineCron, defineSingleton } from "@holdfast/core";
import {
  checkExactlyOnce,
  checkOneAtATime,
  checkOneOwner,
  checkTimers,
  Violation,
  type Scenario,
  type SimulatedProcess,
  type Simulation,
  type Stay,
} from "@holdfast/testing";

const TICK_MS = 200;
const EVERY_MS = 2_000;
/** A cron that has fallen behind may take so long to run what it missed. */
const CATCH_UP_MS = 10_000;

interface Tick {
  readonly token: number;
  readonly runner: number;
  /** How much later it came than it was to. */
  readonly lateMs: number;
  readonly at: number;
}

interface CronRun {
  readonly instant: number;
  readonly attempt: number;
  readonly token: number;
  /** By the clock of its process. */
  readonly at: number;
}

export const failover: Scenario = {
  name: "failover",
  duration: "16s",
  start: (sim) => new Failover(sim),
};

class Failover {
  readonly options = { detachmentEnabled: false };
  readonly #sim: Simulation;
  readonly #ticks: Tick[] = [];
  readonly #tenures: Stay[] = [];
  readonly #cronRuns: CronRun[] = [];
  readonly #cronStays: Stay[] = [];
  readonly #lastsMs: readonly number[];
  readonly #wrecks: readonly { readonly runner: number; readonly isCrash: boolean; readonly forMs: number }[];

  constructor(sim: Simulation) {
    this.#sim = sim;
    this.options.detachmentEnabled = sim.random() < 0.5;
    this.#lastsMs = Array.from({ length: 8 }, () => [0, 50, 900][sim.integer(0, 2)] ?? 0);
    this.#wrecks = Array.from({ length: 4 }, () => ({
      runner: sim.integer(0, 2),
      isCrash: sim.random() < 0.5,
      forMs: sim.integer(1, 5_000),
    }));
  }

  register(process: SimulatedProcess) {
    const sim = this.#sim;
    const leader = defineSingleton({
      name: "leader",
      run: async (ctx) => {
        const tenure = {
          of: `leader under ${ctx.fencingToken}`,
          who: `runner ${process.runner}`,
          from: sim.now(),
          to: Infinity,
        };
        this.#tenures.push(tenure);
        for (
          let dueAt = sim.now();
          !ctx.signal.aborted;
          dueAt = sim.now() + TICK_MS, await process.sleep(TICK_MS)
        ) {
          const { runner } = process;
          this.#ticks.push({ token: ctx.fencingToken, runner, lateMs: sim.now() - dueAt, at: sim.now() });
          // It ends by itself now and then, and is to be started again.
          if (this.#ticks.length % 40 === 0) break;
        }
        tenure.to = sim.now();
        if (this.#ticks.length % 80 === 0) throw new Error("The leader stumbles");
      },
    });
    const clockwork = defineCron({
      name: "clockwork",
      schedule: "*/2 * * * * *",
      calculateNextFromPrevious: true,
      run: async (scheduledTime, ctx) => {
        const stay = {
          of: `clockwork under ${ctx.fencingToken}`,
          who: scheduledTime.toISOString(),
          from: sim.now(),
          to: Infinity,
        };
        this.#cronRuns.push({
          instant: scheduledTime.getTime(),
          attempt: ctx.attempt,
          token: ctx.fencingToken,
          at: process.now(),
        });
        this.#cronStays.push(stay);
        await process.sleep(this.#lastsMs[this.#cronRuns.length % this.#lastsMs.length] ?? 0);
        stay.to = sim.now();
      },
    });
    return [leader, clockwork];
  }

  async run(): Promise<void> {
    const { cluster } = this.#sim;
    await this.#sim.operations(this.#wrecks.length, async (index) => {
      const { runner, isCrash, forMs } = this.#wrecks[index] ?? { runner: 0, isCrash: false, forMs: 0 };
      const wrecked = cluster.runners[runner];
      if (wrecked?.isAlive !== true || wrecked.isPaused) return;
      if (isCrash) wrecked.crash();
      else void wrecked.shutdown().catch(() => undefined);
      await this.#sim.sleep(forMs);
      cluster.revive(runner);
    });
  }

  check(): void {
    checkOneAtATime(this.#tenures.filter(({ to }) => to !== Infinity));
    this.#checkTicks();
    this.#checkCron();
  }

  /** One that was stopped, and finds a tick of its own due before all else, may make that one. */
  #checkTicks(): void {
    checkOneOwner(
      this.#ticks
        .filter(({ lateMs }) => lateMs === 0)
        .map(({ token, runner }, index) => ({
          kind: "write",
          resource: "leader",
          token,
          from: index,
          to: index,
          what: `a tick of runner ${runner}`,
        })),
    );
    const lastAt = this.#ticks.at(-1)?.at ?? 0;
    // After an error it pauses for longer.
    if (lastAt < this.#sim.now() - 10_000)
      throw new Violation(
        "a singleton runs",
        `the leader last ticked ${this.#sim.now() - lastAt} ms before the end`,
      );
  }

  #checkCron(): void {
    const instants = this.#cronRuns.map(({ instant }) => instant).toSorted((a, b) => a - b);
    const first = instants[0] ?? this.#sim.now();
    const set: { key: string; dueAt: number }[] = [];
    for (let dueAt = first; dueAt <= Math.max(this.#sim.now(), instants.at(-1) ?? 0); dueAt += EVERY_MS)
      set.push({ key: `${dueAt}`, dueAt });
    checkTimers({
      set,
      fired: this.#cronRuns.map(({ instant, at }) => ({ key: `${instant}`, at })),
      now: this.#sim.now(),
      toleranceMs: this.#sim.clockErrorMs,
      graceMs: CATCH_UP_MS,
    });
    // Another run of an instant is another attempt, which is counted before it begins, or one that its shard took along.
    checkExactlyOnce({
      effects: this.#cronRuns.map(
        ({ instant, attempt, token }) => `attempt ${attempt} of ${instant} under ${token}`,
      ),
      acknowledged: [],
    });
    checkOneAtATime(this.#cronStays.filter(({ to }) => to !== Infinity));
  }
}
