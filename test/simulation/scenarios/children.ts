// Children: executions that start others and wait for them, some shared, some of which fail; and parents that are cancelled,
// with all that they started and did not set free.

import {
  defineEntity,
  defineWorkflow,
  rpc,
  UnknownExecutionError,
  WorkflowCancelledError,
  WorkflowFailedError,
} from "@holdfast/core";
import {
  checkExactlyOnce,
  checkReplies,
  Violation,
  type Scenario,
  type SimulatedProcess,
  type Simulation,
  type Told,
} from "@holdfast/testing";
import { FencedStore } from "../fenced-store.ts";

interface Kid {
  readonly id: string;
  readonly takesMs: number;
  readonly fails: boolean;
  readonly detached: boolean;
}

interface Family {
  readonly id: string;
  readonly kids: readonly Kid[];
}

const Ledger = defineEntity({ name: "Ledger", rpcs: { note: rpc<string, number>({ persisted: true }) } });
const Child = defineWorkflow<Kid, string>({ name: "Child", key: ({ id }) => id, hashKey: false });
const Parent = defineWorkflow<Family, readonly string[]>({
  name: "Parent",
  key: ({ id }) => id,
  hashKey: false,
});

const FAMILIES = 6;

export const children: Scenario = {
  name: "children",
  duration: "12s",
  start: (sim) => new Families(sim),
};

class Families {
  readonly #sim: Simulation;
  readonly #ledger = new FencedStore<readonly string[], number>([]);
  readonly #families: readonly { readonly family: Family; readonly cancelledAfterMs: number | null }[];
  readonly #told: Told[] = [];
  /** By kid. */
  readonly #outcomes = new Map<string, string>();

  constructor(sim: Simulation) {
    this.#sim = sim;
    this.#families = Array.from({ length: FAMILIES }, (_, index) => {
      const cancelledAfterMs = sim.random() < 0.35 ? sim.integer(0, 5_000) : null;
      const kids = Array.from({ length: sim.integer(1, 3) }, (__, number): Kid => {
        // Children of two parents are like one another, and only of parents that nobody cancels.
        const isShared = cancelledAfterMs === null && number === 0;
        return isShared
          ? { id: `shared-${index % 2}`, takesMs: 700, fails: false, detached: false }
          : {
              id: `kid-${index}-${number}`,
              takesMs: [0, 10, 900, 4_000][sim.integer(0, 3)] ?? 0,
              fails: sim.random() < 0.25,
              detached: sim.random() < 0.25,
            };
      });
      return { family: { id: `family-${index}`, kids }, cancelledAfterMs };
    });
  }

  register(process: SimulatedProcess) {
    const ledger = Ledger.implement({
      note: async (line, ctx) => {
        await process.sleep(5);
        return this.#ledger.change(ctx.entityId, ctx, (lines) => ({
          state: [...lines, line],
          result: lines.length,
        }));
      },
    });
    const child = Child.implement({
      async execute(ctx, { id, takesMs, fails }) {
        ctx.onCompensate("undo", () => ctx.entity(Ledger, id).note("undone"));
        await ctx.entity(Ledger, id).note("begun");
        if (takesMs > 0) await ctx.sleep(takesMs);
        if (fails) throw new RangeError(`${id} was to fail`);
        await ctx.entity(Ledger, id).note("done");
        return `${id} is done`;
      },
    });
    const parent = Parent.implement({
      async execute(ctx, { kids }) {
        const outcomes = await Promise.all(
          kids.map(async (kid) => {
            const { detached } = kid;
            try {
              if (kid.takesMs !== 10) return await ctx.child(Child).execute(kid, { detached });
              const started = await ctx.child(Child).start(kid, { detached });
              return await started.result();
            } catch (error) {
              if (error instanceof WorkflowFailedError) return `${kid.id} failed`;
              throw error;
            }
          }),
        );
        return outcomes;
      },
    });
    return [ledger, child, parent];
  }

  run(): Promise<void> {
    return this.#sim.operations(FAMILIES, async (index) => {
      const planned = this.#families[index];
      if (planned === undefined) return;
      const { family, cancelledAfterMs } = planned;
      const handle = await this.#sim.cluster.workflow(Parent).start(family);
      if (cancelledAfterMs !== null) {
        await this.#sim.sleep(cancelledAfterMs);
        await handle.cancel("enough");
      }
      for (let asked = 0; asked < 2; asked += 1) {
        const outcome = await handle.result().catch((error: unknown) => {
          if (error instanceof WorkflowCancelledError && cancelledAfterMs !== null) return null;
          throw error;
        });
        this.#told.push({ request: family.id, reply: outcome });
        if (outcome !== null)
          for (const [number, kid] of family.kids.entries())
            this.#told.push({ request: kid.id, reply: outcome[number] });
      }
      // A parent that was cancelled has told its children, and does not wait until they have ended.
      for (const kid of family.kids) await this.#ask(kid, cancelledAfterMs !== null);
    });
  }

  async #ask(kid: Kid, mayBeCancelled: boolean): Promise<void> {
    const outcome = await this.#sim.cluster
      .workflow(Child)
      .get(kid.id)
      .result()
      .catch((error: unknown) => {
        if (error instanceof WorkflowFailedError && kid.fails) return `${kid.id} failed`;
        if (error instanceof WorkflowCancelledError && mayBeCancelled && !kid.detached) return "cancelled";
        if (error instanceof UnknownExecutionError && mayBeCancelled) return "never started";
        throw error;
      });
    if (outcome !== "never started") this.#told.push({ request: kid.id, reply: outcome });
    this.#outcomes.set(kid.id, outcome);
  }

  /** Its start may have been on its way when its parent ended, and its cancellation behind it, unless it was set free. */
  #latecomer(id: string): Promise<string> {
    return this.#sim.cluster
      .workflow(Child)
      .poll(id)
      .then(
        (result) => result ?? "never started",
        (error: unknown) => {
          if (error instanceof WorkflowCancelledError) return "cancelled";
          if (error instanceof WorkflowFailedError && String(error.cause).includes("was to fail"))
            return `${id} failed`;
          throw error;
        },
      );
  }

  async check(): Promise<void> {
    checkReplies(this.#told);
    for (const [id, heard] of this.#outcomes) {
      const outcome = heard === "never started" ? await this.#latecomer(id) : heard;
      const lines = this.#ledger.peek(id);
      checkExactlyOnce({ effects: lines.map((line) => `${id}: ${line}`), acknowledged: [] });
      const seen = lines.join(", ");
      const expected =
        outcome === "never started"
          ? [""]
          : outcome === "cancelled"
            ? // It may not have come to what it would undo, and may have ended all that it had to do.
              ["", "begun, undone", "undone", "begun, done, undone"]
            : outcome.endsWith("failed")
              ? ["begun, undone"]
              : ["begun, done"];
      if (!expected.includes(seen))
        throw new Violation("children", `the outcome of ${id} is "${outcome}", and it did: ${seen}`);
    }
  }
}
