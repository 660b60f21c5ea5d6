// Bookings: each is paid for, waits a moment, takes a seat and gets a ticket. What happens is written in tables beside the
// adapter's, in the same transactions: nothing keeps a row from being there twice, so that one that is would be seen.

import { activity, defineEntity, defineWorkflow, rpc } from "@holdfast/core";
import { sqliteTx } from "../sqlite-tx.ts";

export const TABLES = `
CREATE TABLE IF NOT EXISTS payments (booking TEXT NOT NULL, cents INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS seats (hall TEXT NOT NULL, booking TEXT NOT NULL, seat INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS tickets (booking TEXT NOT NULL, seat INTEGER NOT NULL);
`;

export const Hall = defineEntity({
  name: "Hall",
  rpcs: { take: rpc<{ booking: string }, number>({ persisted: true }) },
});

export const hall = Hall.implement({
  async take({ booking }, ctx) {
    const tx = sqliteTx(ctx);
    const [row] = await tx.query<{ seat: number }>(
      "INSERT INTO seats SELECT ?, ?, count(*) + 1 FROM seats WHERE hall = ? RETURNING seat",
      [ctx.entityId, booking, ctx.entityId],
    );
    return row?.seat ?? 0;
  },
});

export const Booking = defineWorkflow<{ id: string; hall: string }, number>({
  name: "Booking",
  key: ({ id }) => id,
});

export const booking = Booking.implement({
  activities: {
    pay: activity(async (ctx, id: string) => {
      await sqliteTx(ctx).query("INSERT INTO payments VALUES (?, ?)", [id, 1_999]);
    }),
    print: activity(async (ctx, id: string, seat: number) => {
      await sqliteTx(ctx).query("INSERT INTO tickets VALUES (?, ?)", [id, seat]);
    }),
  },
  async execute(ctx, request) {
    await ctx.activities.pay(request.id);
    await ctx.sleep("50ms");
    const seat = await ctx.entity(Hall, request.hall).take({ booking: request.id });
    await ctx.activities.print(request.id, seat);
    return seat;
  },
});
