// Transfers: workflows that move money between accounts, some of which take none, so that what was taken goes back. The sum
// stays, each movement is there once, and what the code drew or ran it drew and ran once, however often it was replayed.

import { defineEntity, defineWorkflow, rpc, WorkflowFailedError } from "@holdfast/core";
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

interface Movement {
  readonly transfer: string;
  readonly does: "withdraw" | "deposit" | "give back";
  readonly amount: number;
  /** What the workflow drew and saw until then. */
  readonly trail: readonly string[];
}

interface Order {
  readonly id: string;
  readonly from: string;
  readonly to: string;
  readonly amount: number;
  readonly pauseMs: number;
  readonly failures: number;
}

const Account = defineEntity({
  name: "Account",
  rpcs: { move: rpc<Movement, boolean>({ persisted: true }) },
});

const Transfer = defineWorkflow<Order, { readonly moved: number; readonly trail: readonly string[] }>({
  name: "Transfer",
  key: ({ id }) => id,
  hashKey: false,
});

const ACCOUNTS = 4;
const TRANSFERS = 10;
const OPENING = 100;
/** It takes no deposits. */
const CLOSED = "3";

export const transfers: Scenario = {
  name: "transfers",
  duration: "12s",
  start: (sim) => new Transfers(sim),
};

class Transfers {
  readonly #sim: Simulation;
  readonly #store = new FencedStore<number, { movement: Movement; isDone: boolean }>(OPENING);
  readonly #orders: readonly Order[];
  readonly #ended = new Map<string, "moved" | "refused" | "failed">();
  readonly #told: Told[] = [];
  #runs = 0;

  constructor(sim: Simulation) {
    this.#sim = sim;
    this.#orders = Array.from({ length: TRANSFERS }, (_, index) => {
      const from = sim.integer(0, ACCOUNTS - 1);
      return {
        id: `transfer-${index}`,
        from: `${from}`,
        to: `${(from + sim.integer(1, ACCOUNTS - 1)) % ACCOUNTS}`,
        amount: sim.integer(10, 60),
        pauseMs: [0, 50, 1_500, 12_000][sim.integer(0, 3)] ?? 0,
        failures: [0, 0, 1, 2][sim.integer(0, 3)] ?? 0,
      };
    });
  }

  register(process: SimulatedProcess) {
    const account = Account.implement({
      move: async (movement, ctx) => {
        await process.sleep(5);
        return this.#store.change(ctx.entityId, ctx, (balance) => {
          const after = movement.does === "withdraw" ? balance - movement.amount : balance + movement.amount;
          const isDone = after >= 0 && !(movement.does === "deposit" && ctx.entityId === CLOSED);
          return { state: isDone ? after : balance, result: { movement, isDone } };
        }).isDone;
      },
    });
    const transfer = Transfer.implement({
      execute: async (ctx, { id, from, to, amount, pauseMs, failures }) => {
        const ran = await ctx.run("count", { retries: 5, initialInterval: "50ms" }, async (activity) => {
          await process.sleep(10);
          if (activity.attempt <= failures) throw new Error("not yet");
          this.#runs += 1;
          return this.#runs;
        });
        const trail = [`${ran} ${ctx.uuid()} ${ctx.random()} ${ctx.now()}`];
        const look = async (name: string): Promise<void> => {
          const seen = await ctx.run(name, async () => {
            await process.sleep(this.#sim.integer(0, 30));
            this.#runs += 1;
            return this.#runs;
          });
          trail.push(`${name} ${seen}`);
        };
        const move = (at: string, does: Movement["does"]): Promise<boolean> =>
          ctx.entity(Account, at).move({ transfer: id, does, amount, trail });
        if (!(await move(from, "withdraw"))) return { moved: 0, trail };
        ctx.onCompensate("give back", () => move(from, "give back"));
        // Which of them is first is for chance to say, and a replay goes by what it said.
        await Promise.all(["a", "b", "c"].map(look));
        trail.push(await Promise.race([ctx.sleep(15).then(() => "sleep"), look("d").then(() => "look")]));
        if (pauseMs > 0) await ctx.sleep(pauseMs);
        if (!(await move(to, "deposit"))) throw new RangeError(`${to} takes no deposits`);
        return { moved: amount, trail };
      },
    });
    return [account, transfer];
  }

  run(): Promise<void> {
    return this.#sim.operations(TRANSFERS, async (index) => {
      const order = this.#orders[index];
      if (order === undefined) return;
      for (let asked = 0; asked < 2; asked += 1) {
        const outcome = await this.#sim.cluster
          .workflow(Transfer)
          .execute(order)
          .catch((error: unknown) => {
            if (error instanceof WorkflowFailedError && error.cause instanceof Error)
              return error.cause.message;
            throw error;
          });
        this.#told.push({ request: order.id, reply: outcome });
        this.#ended.set(
          order.id,
          typeof outcome === "string" ? "failed" : outcome.moved > 0 ? "moved" : "refused",
        );
      }
    });
  }

  check(): void {
    checkReplies(this.#told);
    const changes = this.#store.changes.map(({ result }) => result);
    const expected = [...this.#ended].flatMap(([id, end]) =>
      end === "refused"
        ? [`${id} withdraw false`]
        : end === "moved"
          ? [`${id} withdraw true`, `${id} deposit true`]
          : [`${id} withdraw true`, `${id} deposit false`, `${id} give back true`],
    );
    const effects = changes.map(
      ({ movement: { transfer, does }, isDone }) => `${transfer} ${does} ${isDone}`,
    );
    checkExactlyOnce({ effects, acknowledged: expected, asked: [] });
    const sum = Array.from({ length: ACCOUNTS }, (_, number) => this.#store.peek(`${number}`)).reduce(
      (a, b) => a + b,
    );
    if (sum !== ACCOUNTS * OPENING)
      throw new Violation(
        "sums hold",
        `all accounts together hold ${sum}, and began with ${ACCOUNTS * OPENING}`,
      );
    this.#checkTrails(changes.map(({ movement }) => movement));
  }

  /** Replay gives the same as the first run (INV-8): what the code knew at one time is how what it knew later begins. */
  #checkTrails(movements: readonly Movement[]): void {
    const told = this.#told.flatMap(({ request, reply }) =>
      typeof reply === "string" ? [] : [{ transfer: request, trail: (reply as { trail: string[] }).trail }],
    );
    const longest = new Map<string, readonly string[]>();
    for (const { transfer, trail } of [...movements, ...told].toSorted(
      (a, b) => a.trail.length - b.trail.length,
    )) {
      const before = longest.get(transfer) ?? [];
      if (before.some((entry, index) => entry !== trail[index]))
        throw new Violation("replay", `${transfer} saw ${before.join(", ")}, and then ${trail.join(", ")}`);
      longest.set(transfer, trail);
    }
  }
}
