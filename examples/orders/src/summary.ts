import { setTimeout as wait } from "node:timers/promises";
import { defineSingleton, type SingletonDefinition } from "@holdfast/core";
import { readSums, type Database, type Sums } from "./database.ts";

/** What the singleton keeps: the sums, and which runner wrote them. */
export interface Summary extends Sums {
  readonly runner: string;
}

/** Keeps a live summary, on one runner of the cluster at a time. */
export function summaryOf(database: Database, runner: string): SingletonDefinition {
  return defineSingleton({
    name: "summary",
    async run(ctx) {
      while (!ctx.signal.aborted) {
        const sums = await readSums(database);
        await database.query(
          `insert into orders.summary (one, payments, cents, shipments, units, open_purchase_orders, runner) values (1, $1, $2, $3, $4, $5, $6)
           on conflict (one) do update set payments = $1, cents = $2, shipments = $3, units = $4, open_purchase_orders = $5, runner = $6`,
          [sums.payments, sums.cents, sums.shipments, sums.units, sums.openPurchaseOrders, runner],
        );
        await wait(250, undefined, { signal: ctx.signal }).catch(() => undefined);
      }
    },
  });
}

export async function readSummary(database: Database): Promise<Summary | undefined> {
  const { rows } = await database.query<Record<keyof Summary, number | string>>(
    `select payments, cents, shipments, units, open_purchase_orders as "openPurchaseOrders", runner from orders.summary`,
  );
  const row = rows[0];
  if (row === undefined) return undefined;
  return {
    payments: Number(row.payments),
    cents: Number(row.cents),
    shipments: Number(row.shipments),
    units: Number(row.units),
    openPurchaseOrders: Number(row.openPurchaseOrders),
    runner: String(row.runner),
  };
}
