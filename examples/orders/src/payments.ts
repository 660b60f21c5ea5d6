import { activity, defineActivityGroup } from "@holdfast/core";
import { postgresTx } from "@holdfast/storage-postgres";

export const Payments = defineActivityGroup({
  name: "Payments",
  activities: {
    /** Takes the payment of an order, in the transaction that also records that it was taken. */
    take: activity(async (ctx, orderId: number, cents: number): Promise<void> => {
      await postgresTx(ctx).query("insert into orders.payments (order_id, cents) values ($1, $2)", [
        orderId,
        cents,
      ]);
    }),
  },
});
