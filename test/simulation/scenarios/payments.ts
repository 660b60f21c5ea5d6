// Payments: handlers, activities and a cron that write in the transaction which also commits their record. Whatever happens, what
// they wrote is there once if they ended well, and not at all if they did not.

import {
  activity,
  defineCron,
  defineEntity,
  defineWorkflow,
  InterruptedError,
  RemoteError,
  rpc,
  WorkflowCancelledError,
} from "@holdfast/core";
import type { OpenStorage } from "@holdfast/core/adapter";
import {
  checkExactlyOnce,
  checkReplies,
  Violation,
  type Scenario,
  type SimulatedProcess,
  type Simulation,
  type Told,
} from "@holdfast/testing";
import { insist } from "../insist.ts";
import { withLateWrites } from "../late-writes.ts";
import { Vault } from "../vault.ts";

interface Change {
  readonly key: string;
  readonly amount: number;
  readonly lastsMs: number;
  readonly isRefused: boolean;
}

interface Transfer {
  readonly id: string;
  readonly pauseMs: number;
  /** So many attempts of each activity write, and fail. */
  readonly failures: number;
}

const STEPS = ["takes", "gives", "costs"] as const;

const Account = defineEntity({
  name: "Account",
  rpcs: { change: rpc<Change, number>({ persisted: true }) },
});

/** Resolves to the numbers of the rows that it wrote. */
const Payment = defineWorkflow<Transfer, readonly number[]>({
  name: "Payment",
  key: ({ id }) => id,
  hashKey: false,
});

const ACCOUNTS = 4;
const CHANGES = 12;
const TRANSFERS = 6;
const EVERY_MS = 2_000;
/** The part of the statements whose connection is lost. */
const LOST = 0.03;
/** The part of the commits, and of other writes of journals, that come after who asked has heard that the outcome is unknown. */
const LATE = 0.05;

export const payments: Scenario = {
  name: "payments",
  duration: "8s",
  start: (sim) => new Payments(sim),
};

class Payments {
  /** A transaction that is lost or in another one's way costs an attempt. */
  readonly options = { storageMessageMaxRetries: 100 };
  readonly #sim: Simulation;
  readonly #vault: Vault;
  readonly #changes: readonly (Omit<Change, "key"> & {
    readonly account: string;
    readonly hasKey: boolean;
  })[];
  readonly #transfers: readonly (Transfer & { readonly cancelledAfterMs: number | null })[];
  readonly #cancelled: string[] = [];
  readonly #completed: string[] = [];
  readonly #told: Told[] = [];
  readonly #acknowledged: string[] = [];
  readonly #refused: string[] = [];
  #ticks = 0;

  constructor(sim: Simulation) {
    this.#sim = sim;
    this.#vault = new Vault(() => sim.random() < LOST);
    this.#changes = Array.from({ length: CHANGES }, () => ({
      account: `${sim.integer(0, ACCOUNTS - 1)}`,
      amount: sim.integer(1, 50),
      // Longer than an entity may take to end, now and then.
      lastsMs: [0, 0, 20, 400, 2_500][sim.integer(0, 4)] ?? 0,
      isRefused: sim.random() < 0.2,
      hasKey: sim.random() < 0.5,
    }));
    this.#transfers = Array.from({ length: TRANSFERS }, (_, index) => ({
      id: `transfer-${index}`,
      pauseMs: [0, 50, 1_500][sim.integer(0, 2)] ?? 0,
      failures: [0, 0, 1, 2][sim.integer(0, 3)] ?? 0,
      cancelledAfterMs: sim.random() < 0.4 ? sim.integer(0, 2_000) : null,
    }));
  }

  readonly tamper = (storage: OpenStorage): OpenStorage =>
    withLateWrites(this.#sim, LATE, this.#vault.within(storage));

  register(process: SimulatedProcess) {
    const vault = this.#vault;
    const account = Account.implement({
      async change({ key, amount, lastsMs, isRefused }, ctx) {
        const holds = await vault.transactionOf(ctx).add(ctx.entityId, amount, key);
        if (lastsMs > 0) await process.sleep(lastsMs);
        if (isRefused) throw new RangeError(`${key} is refused`);
        return holds;
      },
    });
    const move = activity(
      { retries: 100, initialInterval: "20ms", maxInterval: "200ms" },
      async (ctx, what: string, failures: number): Promise<number> => {
        const row = await vault.transactionOf(ctx).insert(what);
        await process.sleep(10);
        if (ctx.attempt <= failures) throw new Error("not yet");
        return row;
      },
    );
    const payment = Payment.implement({
      activities: { move },
      async execute(ctx, { id, pauseMs, failures }) {
        const step = async (what: string): Promise<number> => {
          const row = await ctx.activities.move(`${id} ${what}`, failures);
          ctx.onCompensate(`undo ${what}`, () => ctx.activities.move(`${id} undoes ${what}`, 0));
          return row;
        };
        // Both are awaited to their ends, so that what either did is known and undone.
        const moved = await Promise.allSettled([step("takes"), step("gives")]);
        const rows = moved.map((each) => {
          if (each.status === "rejected") throw each.reason;
          return each.value;
        });
        if (pauseMs > 0) await ctx.sleep(pauseMs);
        return [...rows, await step("costs")];
      },
    });
    const interest = defineCron({
      name: "interest",
      schedule: "*/2 * * * * *",
      calculateNextFromPrevious: true,
      run: async (scheduledTime, ctx) => {
        await vault.transactionOf(ctx).insert(`interest of ${scheduledTime.getTime()}`);
        await process.sleep(10);
        this.#ticks += 1;
      },
    });
    return [account, payment, interest];
  }

  async run(): Promise<void> {
    await Promise.all([
      this.#sim.operations(CHANGES, async (index) => {
        const planned = this.#changes[index];
        if (planned === undefined) return;
        const { account: id, hasKey, ...change } = planned;
        const key = `change ${index}`;
        const account = this.#sim.cluster.entity(Account, id);
        const options = hasKey ? ({ idempotencyKey: key, timeout: "3s" } as const) : {};
        for (let asked = 0; asked < (hasKey ? 2 : 1); asked += 1) {
          const reply = await insist(() => account.change({ ...change, key }, options)).catch(refusal);
          this.#told.push({ request: key, reply });
          (reply === null ? this.#refused : this.#acknowledged).push(key);
        }
      }),
      this.#sim.operations(TRANSFERS, async (index) => {
        const transfer = this.#transfers[index];
        if (transfer === undefined) return;
        const { cancelledAfterMs, ...input } = transfer;
        const { id } = input;
        const handle = await this.#sim.cluster.workflow(Payment).start(input);
        if (cancelledAfterMs !== null) {
          await this.#sim.sleep(cancelledAfterMs);
          await handle.cancel("changed my mind");
        }
        const rows = await handle.result().catch((error: unknown) => {
          if (error instanceof WorkflowCancelledError && cancelledAfterMs !== null) return null;
          throw error;
        });
        if (rows === null) return void this.#cancelled.push(id);
        this.#completed.push(id);
        for (const [number, step] of STEPS.entries()) {
          this.#told.push({ request: `${id} ${step}`, reply: rows[number] });
          this.#acknowledged.push(`${id} ${step}`);
        }
      }),
    ]);
  }

  check(): void {
    const { lines } = this.#vault;
    const effects = lines.map(({ what }) => what);
    checkExactlyOnce({ effects, acknowledged: [...new Set(this.#acknowledged)] });
    // What a cancelled payment did is undone, and no more than that; of one that was made nothing is.
    for (const id of [...this.#cancelled, ...this.#completed])
      for (const step of STEPS) {
        const [isDone, isUndone] = [`${id} ${step}`, `${id} undoes ${step}`].map((what) =>
          effects.includes(what),
        );
        if (isUndone !== (isDone === true && this.#cancelled.includes(id)))
          throw new Violation(
            "compensation",
            `of ${id} these are there: ${effects.filter((what) => what.startsWith(`${id} `)).join(", ")}`,
          );
      }
    const refused = this.#refused.find((key) => effects.includes(key));
    if (refused !== undefined) throw new Violation("all or nothing", `${refused} failed, and is there`);
    // What was answered or recorded is what was committed with it.
    for (const { what, told } of lines) this.#told.push({ request: what, reply: told });
    checkReplies(
      this.#told.filter(({ request }) => !request.startsWith("interest") && !request.includes("undoes")),
    );
    if (this.#ticks === 0 && this.#sim.durationMs > 2 * EVERY_MS)
      throw new Violation("a cron runs", "no interest was ever paid");
  }
}

function refusal(error: unknown): null {
  // By a caller who left: his own first try, which timed out.
  if (error instanceof InterruptedError) return null;
  if (error instanceof RemoteError && error.message.includes("is refused")) return null;
  throw error;
}
