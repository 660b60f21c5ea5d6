// Orders: the shape of examples/orders in memory. Stock is reserved line by line, and what is short comes with a cron; the
// payment is taken, a carrier that fails now and then ships, and the sales are counted by entities. Some orders fail for want of an
// address, and are resumed, by two persons at once perhaps: what they had done is not done again.

import {
  activity,
  defineActivityGroup,
  defineCron,
  defineEntity,
  defineWorkflow,
  ExecutionStateError,
  rpc,
  WorkflowFailedError,
  type ActivityContext,
  type WorkflowHandle,
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
import { FencedStore } from "../fenced-store.ts";
import { withLateWrites } from "../late-writes.ts";

interface Line {
  readonly product: string;
  readonly quantity: number;
}

interface Order {
  readonly id: string;
  readonly lines: readonly Line[];
  /** How many ask that it be resumed, once it has failed. 0: it has its address. */
  readonly resumers: number;
}

const Sales = defineEntity({
  name: "Sales",
  rpcs: { count: rpc<{ order: string; units: number }, number>({ persisted: true }) },
});

const PlaceOrder = defineWorkflow<Order, { readonly units: number; readonly shippedBy: string }>({
  name: "PlaceOrder",
  key: ({ id }) => id,
  hashKey: false,
});

type Handle = WorkflowHandle<NonNullable<(typeof PlaceOrder)["types"]>>;

const ORDERS = 8;
const PRODUCTS = 3;
const IN_STOCK = 10;
const LEAST_PURCHASE = 15;
/** The part of the writes of journals that come after who asked has heard that their outcome is unknown. */
const LATE = 0.05;

export const orders: Scenario = {
  name: "orders",
  duration: "12s",
  start: (sim) => new Orders(sim),
};

/** A database beside the cluster: each key's change is made once, and its result kept with it. */
class Warehouse {
  readonly stock = new Map<string, number>();
  readonly onOrder = new Map<string, number>();
  readonly #results = new Map<string, unknown>();
  delivered = 0;

  once<Result>({ idempotencyKey }: ActivityContext, change: () => Result): Result {
    if (!this.#results.has(idempotencyKey)) this.#results.set(idempotencyKey, change());
    return this.#results.get(idempotencyKey) as Result;
  }

  stockOf(product: string): number {
    return this.stock.get(product) ?? IN_STOCK;
  }

  reserve({ product, quantity }: Line): boolean {
    const left = this.stockOf(product) - quantity;
    if (left >= 0) this.stock.set(product, left);
    else if (!this.onOrder.has(product)) this.onOrder.set(product, Math.max(quantity, LEAST_PURCHASE));
    return left >= 0;
  }

  deliver(): void {
    for (const [product, units] of this.onOrder) {
      this.stock.set(product, this.stockOf(product) + units);
      this.delivered += units;
    }
    this.onOrder.clear();
  }
}

class Orders {
  /** A write that comes late costs an attempt. */
  readonly options = { storageMessageMaxRetries: 50 };
  readonly #sim: Simulation;
  readonly #warehouse = new Warehouse();
  readonly #sales = new FencedStore<number, { order: string; units: number }>(0);
  readonly #effects: string[] = [];
  readonly #told: Told[] = [];
  readonly #orders: readonly Order[];
  /** Of which orders the address is not known. */
  readonly #strayed = new Set<string>();

  constructor(sim: Simulation) {
    this.#sim = sim;
    this.#orders = Array.from({ length: ORDERS }, (_, index) => ({
      id: `order-${index}`,
      lines: Array.from({ length: sim.integer(1, 3) }, (__, line) => ({
        product: `${(index + line) % PRODUCTS}`,
        quantity: sim.integer(1, 8),
      })),
      resumers: [0, 0, 1, 2][sim.integer(0, 3)] ?? 0,
    }));
    for (const { id, resumers } of this.#orders) if (resumers > 0) this.#strayed.add(id);
  }

  readonly tamper = (storage: OpenStorage): OpenStorage => withLateWrites(this.#sim, LATE, storage);

  register(process: SimulatedProcess) {
    const warehouse = this.#warehouse;
    const effect = (ctx: ActivityContext, key: string): void =>
      warehouse.once(ctx, () => void this.#effects.push(key));
    const inventory = defineActivityGroup({
      name: "Inventory",
      activities: {
        reserve: activity(async (ctx, order: string, line: Line): Promise<"reserved" | "short"> => {
          await process.sleep(5);
          return warehouse.once(ctx, () => {
            const isReserved = warehouse.reserve(line);
            if (isReserved) this.#effects.push(`${order} reserved ${line.product}`);
            return isReserved ? "reserved" : "short";
          });
        }),
      },
    });
    const payments = defineActivityGroup({
      name: "Payments",
      activities: { take: activity(async (ctx, order: string) => effect(ctx, `${order} paid`)) },
    });
    const ship = activity(
      { retries: 8, initialInterval: "100ms", maxInterval: "800ms" },
      async (ctx, order: string): Promise<string> => {
        await process.sleep(20);
        if ((order.length + ctx.attempt + order.charCodeAt(order.length - 1)) % 3 === 0)
          throw new Error("The carrier did not answer");
        effect(ctx, `${order} shipped`);
        return ctx.idempotencyKey;
      },
    );
    const placeOrder = PlaceOrder.implement({
      groups: [inventory, payments],
      activities: { ship },
      execute: async (ctx, { id, lines }) => {
        for (const line of lines)
          while ((await ctx.activities.reserve(id, line)) === "short") await ctx.sleep("1500ms");
        await ctx.activities.take(id);
        await ctx.run("address", () => {
          if (this.#strayed.has(id)) throw new RangeError("No address is known");
        });
        const shippedBy = await ctx.activities.ship(id);
        await Promise.all(
          lines.map(({ product, quantity }) =>
            ctx.entity(Sales, product).count({ order: id, units: quantity }),
          ),
        );
        return { units: lines.reduce((sum, { quantity }) => sum + quantity, 0), shippedBy };
      },
    });
    const sales = Sales.implement({
      count: (sale, ctx) => {
        this.#sales.change(ctx.entityId, ctx, (units) => ({ state: units + sale.units, result: sale }));
        return sale.units;
      },
    });
    const replenisher = defineCron({
      name: "Replenisher",
      schedule: "* * * * * *",
      run: () => warehouse.deliver(),
    });
    return [placeOrder, sales, replenisher];
  }

  run(): Promise<void> {
    return this.#sim.operations(ORDERS, async (index) => {
      const order = this.#orders[index];
      if (order === undefined) return;
      const handle = await this.#sim.cluster.workflow(PlaceOrder).start(order);
      if (order.resumers > 0) await this.#resume(order, handle);
      for (let asked = 0; asked < 2; asked += 1)
        this.#told.push({ request: order.id, reply: await handle.result() });
    });
  }

  async #resume({ id, resumers }: Order, handle: Pick<Handle, "result" | "resume">): Promise<void> {
    const failed = await handle.result().then(
      () => false,
      (error: unknown) => error instanceof WorkflowFailedError,
    );
    if (!failed) throw new Violation("resume", `${id} was shipped without an address`);
    this.#strayed.delete(id);
    const resume = (): Promise<void> =>
      handle.resume().catch((error: unknown) => {
        // Somebody else was first.
        if (!(error instanceof ExecutionStateError)) throw error;
      });
    await Promise.all(Array.from({ length: resumers }, resume));
  }

  check(): void {
    checkReplies(this.#told);
    const placed = this.#orders.filter(({ id }) => this.#told.some(({ request }) => request === id));
    checkExactlyOnce({
      effects: this.#effects,
      acknowledged: placed.flatMap(({ id, lines }) => [
        ...lines.map(({ product }) => `${id} reserved ${product}`),
        `${id} paid`,
        `${id} shipped`,
      ]),
      asked: [],
    });
    checkExactlyOnce({
      effects: this.#sales.changes.map(({ key, result }) => `${result.order} sold ${key}`),
      acknowledged: placed.flatMap(({ id, lines }) => lines.map(({ product }) => `${id} sold ${product}`)),
      asked: [],
    });
    this.#checkStock(placed.flatMap(({ lines }) => lines));
  }

  #checkStock(sold: readonly Line[]): void {
    for (let number = 0; number < PRODUCTS; number += 1) {
      const product = `${number}`;
      const units = sold
        .filter((line) => line.product === product)
        .reduce((sum, { quantity }) => sum + quantity, 0);
      if (this.#sales.peek(product) !== units)
        throw new Violation(
          "sums hold",
          `${this.#sales.peek(product)} of ${product} were counted, and ${units} sold`,
        );
    }
    const left = Array.from({ length: PRODUCTS }, (_, product) =>
      this.#warehouse.stockOf(`${product}`),
    ).reduce((a, b) => a + b);
    const units = sold.reduce((sum, { quantity }) => sum + quantity, 0);
    const was = PRODUCTS * IN_STOCK + this.#warehouse.delivered;
    if (left + units !== was)
      throw new Violation("sums hold", `${was} units were there, ${units} were sold, and ${left} are left`);
  }
}
