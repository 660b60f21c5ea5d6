// Deploys: runners leave in order and come back, and nothing else goes wrong but the network's delays. Then nothing is
// repeated, nothing is at two places for a moment, and callers do not notice: also where a handler calls an entity of its own id,
// whose shard is about to move with its own. What an entity holds in memory, and writes down as it leaves, is there when it comes
// back.

import { defineEntity, defineSingleton, rpc, type HandlerContext } from "@holdfast/core";
import {
  checkExactlyOnce,
  checkReplies,
  Violation,
  type Scenario,
  type SimulatedProcess,
  type Simulation,
  type Told,
} from "@holdfast/testing";
import { HandlerWatch } from "../handler-watch.ts";

interface Job {
  readonly key: string;
  readonly lastsMs: number;
  readonly helper: "none" | "volatile" | "persisted";
}

const Worker = defineEntity({
  name: "Worker",
  rpcs: { keep: rpc<Job, string>({ persisted: true }), ask: rpc<Job, string>() },
});

const Helper = defineEntity({
  name: "Helper",
  maxIdleTime: "400ms",
  rpcs: { keep: rpc<Job, string>({ persisted: true }), ask: rpc<Job, string>() },
});

const JOBS = 36;
const DEPLOYS = 6;
const RUNNERS = 4;

export const deploys: Scenario = {
  name: "deploys",
  runners: RUNNERS,
  duration: "10s",
  faults: [],
  start: (sim) => new Deploys(sim),
};

class Deploys {
  readonly #sim: Simulation;
  readonly #watch: HandlerWatch;
  readonly #jobs: readonly ({ readonly isKept: boolean } & Omit<Job, "key">)[];
  readonly #leaves: readonly { readonly runner: number; readonly forMs: number }[];
  readonly #delayMs: number;
  readonly #ran: string[] = [];
  readonly #answered: string[] = [];
  readonly #told: Told[] = [];
  /** How often each helper has helped, as it wrote that down when it left memory. */
  readonly #written = new Map<string, number>();
  readonly #counted: string[] = [];
  #ticks = 0;

  constructor(sim: Simulation) {
    this.#sim = sim;
    this.#watch = new HandlerWatch(sim, { isStrict: true });
    this.#delayMs = sim.integer(0, 20);
    this.#jobs = Array.from({ length: JOBS }, () => ({
      isKept: sim.random() < 0.5,
      // Less than `entityTerminationTimeout`, one after the other as well.
      lastsMs: [0, 0, 10, 300][sim.integer(0, 3)] ?? 0,
      helper: (["none", "volatile", "persisted"] as const)[sim.integer(0, 2)] ?? "none",
    }));
    this.#leaves = Array.from({ length: DEPLOYS }, () => ({
      // One stays, so that there is always somebody to go to.
      runner: sim.integer(1, RUNNERS - 1),
      forMs: sim.integer(1, 3_000),
    }));
  }

  readonly options = { entityTerminationTimeout: "15s" } as const;

  register(process: SimulatedProcess) {
    const work = (job: Job, ctx: HandlerContext): Promise<string> =>
      this.#watch.during(`worker ${ctx.entityId}`, process, ctx, async () => {
        this.#ran.push(job.key);
        if (job.lastsMs > 0) await process.sleep(job.lastsMs);
        const helper = ctx.entity(Helper, ctx.entityId);
        if (job.helper === "volatile") await helper.ask(job);
        if (job.helper === "persisted") await helper.keep(job);
        return job.key;
      });
    const helper = Helper.implement((entity) => {
      const { entityId } = entity;
      let times = this.#written.get(entityId) ?? 0;
      entity.onEvict(async () => {
        await process.sleep(150);
        this.#written.set(entityId, times);
      });
      const help = (job: Job, ctx: HandlerContext): Promise<string> =>
        this.#watch.during(`helper ${entityId}`, process, ctx, async () => {
          this.#ran.push(`help with ${job.key}`);
          times += 1;
          this.#counted.push(`${entityId} the ${times}. time`);
          if (job.lastsMs > 0) await process.sleep(job.lastsMs);
          return job.key;
        });
      return { keep: help, ask: help };
    });
    const leader = defineSingleton({
      name: "leader",
      run: (ctx) =>
        this.#watch.during("leader", process, ctx, async () => {
          while (!ctx.signal.aborted) {
            this.#ticks += 1;
            await process.sleep(250);
          }
          // It takes its time to end, and nobody begins before it has.
          await process.sleep(250);
        }),
    });
    return [Worker.implement({ keep: work, ask: work }), helper, leader];
  }

  async run(): Promise<void> {
    const { cluster } = this.#sim;
    // All messages take as long, so that none overtakes another: as on one connection.
    const delay = [this.#delayMs, this.#delayMs] as const;
    cluster.faults({ delay, storageDelay: ["0ms", "15ms"], leaseDelay: ["0ms", "15ms"] });
    await Promise.all([
      this.#sim.operations(DEPLOYS, async (index) => {
        const { runner, forMs } = this.#leaves[index] ?? { runner: 1, forMs: 0 };
        // One that is about to start would die of it.
        if (cluster.status(runner).state !== "running") return;
        await cluster.runners[runner]?.shutdown();
        await this.#sim.sleep(forMs);
        cluster.revive(runner);
      }),
      this.#sim.operations(JOBS, async (index) => {
        const { isKept, ...kind } = this.#jobs[index] ?? { isKept: true, lastsMs: 0, helper: "none" };
        const job = { key: `job ${index}`, ...kind };
        const { key } = job;
        const worker = cluster.entity(Worker, `${index % 6}`);
        const reply = await (isKept ? worker.keep(job) : worker.ask(job));
        this.#answered.push(key);
        if (job.helper !== "none") this.#answered.push(`help with ${key}`);
        this.#told.push({ request: key, reply }, { request: key, reply: key });
      }),
    ]);
  }

  check(): void {
    this.#watch.check();
    checkReplies(this.#told);
    checkExactlyOnce({ effects: this.#ran, acknowledged: this.#answered });
    checkExactlyOnce({ effects: this.#counted, acknowledged: [] });
    if (this.#ticks === 0) throw new Violation("a singleton runs", "the leader never ticked");
  }
}
