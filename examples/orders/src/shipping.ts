import { createHash } from "node:crypto";
import { activity } from "@holdfast/core";
import { postgresTx } from "@holdfast/storage-postgres";

/** The carrier did not answer. */
export class CarrierError extends Error {
  override readonly name = "CarrierError";
}

/** Creates a shipment. The carrier fails now and then, after the row is written: that attempt leaves nothing behind. */
export const ship = activity(
  { retries: 8, initialInterval: "100ms", maxInterval: "800ms" },
  async (ctx, orderId: number, country: string): Promise<{ attempts: number }> => {
    await postgresTx(ctx).query(
      "insert into orders.shipments (order_id, country, attempt) values ($1, $2, $3)",
      [orderId, country, ctx.attempt],
    );
    if (carrierFails(orderId, ctx.attempt))
      throw new CarrierError(`The carrier did not answer for order ${orderId}`);
    return { attempts: ctx.attempt };
  },
);

/** One attempt in five, and always the same ones. */
function carrierFails(orderId: number, attempt: number): boolean {
  return (createHash("sha256").update(`${orderId}/${attempt}`).digest()[0] ?? 0) % 5 === 0;
}
