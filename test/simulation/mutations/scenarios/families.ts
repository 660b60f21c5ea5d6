// Parents that wait for children, and parents that are cancelled and cancel theirs, on runners that crash all the time, with a
// slow storage and a network that loses messages: what has to be told to somebody is told, though who tells it dies meanwhile.

import { defineWorkflow, UnknownExecutionError, WorkflowCancelledError } from "@holdfast/core";
import { Violation, type Scenario, type SimulatedProcess, type Simulation } from "@holdfast/testing";

interface Kid {
  readonly id: string;
  /** Null: it waits for what never comes, until it is cancelled. */
  readonly takesMs: number | null;
  /** Whether its parent waits for it, or for what never comes. */
  readonly isJoined: boolean;
}

const Child = defineWorkflow<Kid, string>({ name: "Child", key: ({ id }) => id, hashKey: false });
const Parent = defineWorkflow<readonly Kid[], unknown>({
  name: "Parent",
  key: ([first]) => `parent of ${first?.id}`,
  hashKey: false,
});
const FAMILIES = 12;
const KIDS = 2;
const SLOWEST_MS = 250;
/** The part of the messages that is lost. */
const LOST = 0.1;

export const families: Scenario = {
  name: "families",
  faults: [],
  duration: "20s",
  start: (sim) => ({
    // What begins here crashes often: that is no fault of its own.
    options: { storageMessageMaxRetries: 100 },
    register: (process: SimulatedProcess) => [
      Child.implement({
        async execute(ctx, { id, takesMs }) {
          if (takesMs === null) await ctx.signal("never");
          else await ctx.sleep(takesMs);
          // Its last step, after which only its end is left to be recorded.
          return ctx.run("work", async () => {
            await process.sleep(5);
            return `${id} is done`;
          });
        },
      }),
      Parent.implement({
        async execute(ctx, kids) {
          if (kids.every(({ isJoined }) => isJoined))
            return Promise.all(kids.map((kid) => ctx.child(Child).execute(kid)));
          for (const kid of kids) await ctx.child(Child).start(kid);
          return ctx.signal("never");
        },
      }),
    ],
    async run() {
      sim.cluster.faults({ storageDelay: [0, SLOWEST_MS], drop: LOST });
      await Promise.all([crashes(sim), sim.operations(FAMILIES, (index) => live(sim, index))]);
      sim.cluster.faults({});
    },
    check() {},
  }),
};

/** Each is back at once, and takes its shards again without waiting for the lease of the one before it. */
async function crashes(sim: Simulation): Promise<void> {
  const { cluster } = sim;
  const end = sim.now() + sim.durationMs;
  while (sim.now() < end) {
    await sim.sleep(sim.integer(100, 1_500));
    const runner = sim.integer(0, cluster.runners.length - 1);
    if (cluster.runners[runner]?.isAlive === true) await cluster.crash(runner);
    await sim.sleep(sim.integer(1, 100));
    cluster.revive(runner);
  }
}

async function live(sim: Simulation, index: number): Promise<void> {
  const isCancelled = index % 2 === 0;
  // All or none: code that has heard of a cancellation from one child, and goes on, is not told again.
  const isJoined = !isCancelled || sim.random() < 0.3;
  const kids = Array.from({ length: KIDS }, (_, number): Kid => {
    const takesMs = isCancelled ? null : sim.integer(500, 4_000);
    return { id: `kid-${index}-${number}`, takesMs, isJoined };
  });
  const handle = await sim.cluster.workflow(Parent).start(kids);
  if (isCancelled) {
    await sim.sleep(sim.integer(1_000, 4_000));
    await handle.cancel("enough");
  }
  const outcome = await handle.result().catch(cancelled);
  if (isCancelled !== (outcome === null))
    throw new Violation("children", `parent ${index} came to ${JSON.stringify(outcome)}`);
  for (const { id } of kids) {
    const end = await sim.cluster.workflow(Child).get(id).result().catch(cancelled);
    if (isCancelled !== (end === null))
      throw new Violation("children", `${id} came to ${JSON.stringify(end)}`);
  }
}

function cancelled(error: unknown): null {
  // A parent that is cancelled early starts none.
  if (error instanceof WorkflowCancelledError || error instanceof UnknownExecutionError) return null;
  throw error;
}
