import { defineWorkflow, type WorkflowImplementation } from "@holdfast/core";
import * as z from "zod";
import { Inventory } from "./inventory.ts";
import { priceCents } from "./northwind.ts";
import { Payments } from "./payments.ts";
import { ProductSales } from "./product-sales.ts";
import { ship } from "./shipping.ts";

const Line = z.object({
  productId: z.int(),
  unitPriceCents: z.int(),
  quantity: z.int(),
  discountPercent: z.int(),
});

/** One order, from its stock to its shipment. The order's number names the execution. */
export const OrderWorkflow = defineWorkflow({
  name: "OrderWorkflow",
  input: z.object({
    orderId: z.int(),
    customerId: z.string(),
    shipCountry: z.string(),
    freightCents: z.int(),
    lines: z.array(Line),
  }),
  output: z.object({ orderId: z.int(), cents: z.int(), units: z.int() }),
  key: (order) => `order-${order.orderId}`,
  hashKey: false,
});

export const orderWorkflow: WorkflowImplementation = OrderWorkflow.implement({
  groups: [Inventory, Payments],
  activities: { ship },
  async execute(ctx, order) {
    for (const line of order.lines) {
      // Short stock is on order then; the execution leaves memory until the replenisher has been.
      while ((await ctx.activities.reserve(order.orderId, line.productId, line.quantity)) === "short")
        await ctx.sleep("1500ms");
    }
    const cents = priceCents(order);
    await ctx.activities.take(order.orderId, cents);
    await ctx.activities.ship(order.orderId, order.shipCountry);
    await Promise.all(
      order.lines.map((line) =>
        ctx
          .entity(ProductSales, String(line.productId))
          .count({ orderId: order.orderId, units: line.quantity }),
      ),
    );
    return {
      orderId: order.orderId,
      cents,
      units: order.lines.reduce((sum, line) => sum + line.quantity, 0),
    };
  },
});
