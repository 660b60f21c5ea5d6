import { activity, defineActivityGroup, defineCron } from "@holdfast/core";
import { postgresTx } from "@holdfast/storage-postgres";

/** What a purchase order asks for at the least. */
const LEAST_PURCHASE = 100;

export const Inventory = defineActivityGroup({
  name: "Inventory",
  activities: {
    /** Takes units of a product for an order; where stock is short, sees to it that more is on order. */
    reserve: activity(
      async (ctx, orderId: number, productId: number, units: number): Promise<"reserved" | "short"> => {
        const tx = postgresTx(ctx);
        // All of it commits with the journal's entry of this activity, or not at all.
        const taken = await tx.query(
          "update orders.products set in_stock = in_stock - $2 where product_id = $1 and in_stock >= $2",
          [productId, units],
        );
        if (taken.rowCount === 1) {
          await tx.query(
            "insert into orders.reservations (order_id, product_id, units) values ($1, $2, $3)",
            [orderId, productId, units],
          );
          return "reserved";
        }
        await tx.query(
          `insert into orders.purchase_orders (product_id, units)
         select $1::int, $2::int where not exists (select 1 from orders.purchase_orders where product_id = $1 and not delivered)`,
          [productId, Math.max(units, LEAST_PURCHASE)],
        );
        return "short";
      },
    ),
  },
});

/** Delivers what is on order. Its writes commit with the record that this tick ran. */
export const replenisher = defineCron({
  name: "Replenisher",
  schedule: "* * * * * *",
  async run(_scheduledTime, ctx) {
    await postgresTx(ctx).query(
      `with delivered as (
         update orders.purchase_orders set delivered = true where not delivered returning product_id, units
       )
       update orders.products set in_stock = in_stock + arrived.units
       from (select product_id, sum(units)::int as units from delivered group by product_id) as arrived
       where orders.products.product_id = arrived.product_id`,
    );
  },
});
