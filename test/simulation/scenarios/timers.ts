// Timers: sleeps of workflows, time-outs of signals and scheduled requests. None is early, none is lost.

import { defineEntity, defineWorkflow, rpc, SignalTimeoutError } from "@holdfast/core";
import {
  checkReplies,
  checkTimers,
  Violation,
  type Scenario,
  type SimulatedProcess,
  type Simulation,
  type Told,
} from "@holdfast/testing";

const Bell = defineEntity({ name: "Bell", rpcs: { ring: rpc<string, string>({ persisted: true }) } });

interface Nap {
  readonly id: string;
  readonly naps: readonly { readonly kind: "sleep" | "sleepUntil" | "signal"; readonly ms: number }[];
}

/** What each nap was asked for and ended at, by the clocks of the processes that saw it. */
type Slept = readonly { readonly from: number; readonly to: number }[];

const Sleeper = defineWorkflow<Nap, Slept>({ name: "Sleeper", key: ({ id }) => id, hashKey: false });

const SLEEPERS = 8;
const BELLS = 12;
const LENGTHS_MS = [0, 1, 40, 900, 2_500, 7_000, 10_000];
/** What is due may come so late, once all is mended: a lease, a poll, and a look at what came due. */
const GRACE_MS = 5_000;

export const timers: Scenario = {
  name: "timers",
  duration: "12s",
  start: (sim) => new Timers(sim),
};

class Timers {
  readonly #sim: Simulation;
  readonly #set: { key: string; dueAt: number }[] = [];
  readonly #fired: { key: string; at: number }[] = [];
  readonly #told: Told[] = [];
  readonly #sleepers: readonly Nap[];
  readonly #bells: readonly { readonly inMs: number; readonly waits: boolean }[];

  constructor(sim: Simulation) {
    this.#sim = sim;
    const lengthMs = (): number => LENGTHS_MS[sim.integer(0, LENGTHS_MS.length - 1)] ?? 0;
    this.#sleepers = Array.from({ length: SLEEPERS }, (_, index) => ({
      id: `sleeper-${index}`,
      naps: Array.from({ length: sim.integer(1, 3) }, () => ({
        kind: (["sleep", "sleepUntil", "signal"] as const)[sim.integer(0, 2)] ?? "sleep",
        ms: lengthMs(),
      })),
    }));
    this.#bells = Array.from({ length: BELLS }, () => ({ inMs: lengthMs(), waits: sim.random() < 0.5 }));
  }

  register(process: SimulatedProcess) {
    const bell = Bell.implement({
      ring: async (key) => {
        this.#fired.push({ key, at: process.now() });
        await process.sleep(3);
        return key;
      },
    });
    const sleeper = Sleeper.implement({
      async execute(ctx, { naps }) {
        const slept: { from: number; to: number }[] = [];
        for (const { kind, ms } of naps) {
          const from = ctx.now();
          if (kind === "sleep") await ctx.sleep(ms);
          else if (kind === "sleepUntil") await ctx.sleepUntil(new Date(Math.ceil(from + ms)));
          else
            await ctx.signal("never", { timeout: ms }).catch((error: unknown) => {
              if (!(error instanceof SignalTimeoutError)) throw error;
            });
          slept.push({ from, to: ctx.now() });
        }
        return slept;
      },
    });
    return [bell, sleeper];
  }

  async run(): Promise<void> {
    await Promise.all([
      this.#sim.operations(SLEEPERS, async (index) => {
        const nap = this.#sleepers[index];
        if (nap === undefined) return;
        const sleepers = this.#sim.cluster.workflow(Sleeper);
        const slept = await sleepers.execute(nap);
        this.#told.push(
          { request: nap.id, reply: slept },
          { request: nap.id, reply: await sleepers.execute(nap) },
        );
        if (slept.length !== nap.naps.length)
          throw new Violation("replay", `${nap.id} took ${slept.length} of ${nap.naps.length} naps`);
        for (const [number, { from, to }] of slept.entries()) {
          const key = `${nap.id}'s nap ${number}`;
          // Virtual time has fractions of a millisecond, a Date has none.
          this.#set.push({ key, dueAt: Math.floor(from + (nap.naps[number]?.ms ?? 0)) });
          this.#fired.push({ key, at: to });
        }
      }),
      this.#sim.operations(BELLS, async (index) => {
        const { inMs, waits } = this.#bells[index] ?? { inMs: 0, waits: true };
        const key = `bell ${index}`;
        // A Date has no fractions of a millisecond; virtual time has.
        const dueAt = Math.ceil(this.#sim.now() + inMs);
        this.#set.push({ key, dueAt });
        const bell = this.#sim.cluster.entity(Bell, `${index % 4}`);
        const options = { deliverAt: new Date(dueAt) };
        if (waits) this.#told.push({ request: key, reply: await bell.ring(key, options) });
        else await bell.ring.notify(key, options);
      }),
    ]);
  }

  check(): void {
    checkReplies(this.#told);
    checkTimers({
      set: this.#set,
      fired: this.#fired,
      now: this.#sim.now(),
      toleranceMs: this.#sim.clockErrorMs,
      graceMs: GRACE_MS,
    });
  }
}
