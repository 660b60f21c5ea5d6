import { defineEntity, rpc, type EntityImplementation } from "@holdfast/core";
import { postgresTx } from "@holdfast/storage-postgres";
import * as z from "zod";

/** Counts the units of one product that were sold. Its id is the product's. */
export const ProductSales = defineEntity({
  name: "ProductSales",
  rpcs: {
    count: rpc({ input: z.object({ orderId: z.int(), units: z.int().positive() }), persisted: true }),
  },
});

export const productSales: EntityImplementation = ProductSales.implement({
  async count({ orderId, units }, ctx) {
    // Commits with the reply: a request that is delivered again finds the reply, and counts nothing.
    await postgresTx(ctx).query(
      "insert into orders.product_sales (product_id, order_id, units) values ($1, $2, $3)",
      [Number(ctx.entityId), orderId, units],
    );
  },
});
