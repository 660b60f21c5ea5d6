import {
  activity,
  defineActivityGroup,
  defineWorkflow,
  type ActivityContext,
  type WorkflowImplementation,
} from "@holdfast/core";
import { postgresTx } from "@holdfast/storage-postgres";
import * as z from "zod";

async function effect(ctx: ActivityContext, orderId: string, name: string): Promise<string> {
  await postgresTx(ctx).query("insert into suite.orders (order_id, effect) values ($1, $2)", [orderId, name]);
  return `${name}-${orderId}`;
}

export const Inventory = defineActivityGroup({
  name: "Inventory",
  activities: {
    reserve: activity((ctx, orderId: string) => effect(ctx, orderId, "reserved")),
    release: activity((ctx, orderId: string) => effect(ctx, orderId, "released")),
  },
});

export const Payments = defineActivityGroup({
  name: "Payments",
  activities: {
    authorize: activity((ctx, orderId: string, cents: number) => {
      if (cents > 100_000) throw new Error("the card was declined");
      return effect(ctx, orderId, "authorized");
    }),
    capture: activity((ctx, orderId: string) => effect(ctx, orderId, "captured")),
  },
});

/** Activities of two groups and one of its own. A declined card gives the reserved goods back. */
export const Order = defineWorkflow({
  name: "Order",
  input: z.object({ orderId: z.string(), cents: z.int() }),
  output: z.object({ status: z.enum(["completed", "declined"]), steps: z.array(z.string()) }),
  key: ({ orderId }) => orderId,
  hashKey: false,
});

export const order: WorkflowImplementation = Order.implement({
  groups: [Inventory, Payments],
  activities: { confirm: activity((ctx, orderId: string) => effect(ctx, orderId, "confirmed")) },
  async execute(ctx, { orderId, cents }) {
    const steps = [await ctx.activities.reserve(orderId)];
    try {
      steps.push(await ctx.activities.authorize(orderId, cents));
    } catch {
      steps.push(await ctx.activities.release(orderId));
      return { status: "declined", steps };
    }
    steps.push(await ctx.activities.capture(orderId), await ctx.activities.confirm(orderId));
    return { status: "completed", steps };
  },
});
