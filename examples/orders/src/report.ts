// The final account: what the database holds against what must come out.

import type { Database } from "./database.ts";
import { readSums } from "./database.ts";
import { EXPECTED } from "./northwind.ts";

export interface Line {
  readonly what: string;
  readonly expected: number;
  readonly found: number;
}

/** Every sum from the database alone. */
export async function account(database: Database): Promise<readonly Line[]> {
  const sums = await readSums(database);
  const one = async (text: string): Promise<number> =>
    Number((await database.query<{ n: number | string }>(text)).rows[0]?.n ?? -1);
  return [
    { what: "payments", expected: EXPECTED.payments, found: sums.payments },
    {
      what: "orders paid",
      expected: EXPECTED.orders,
      found: await one("select count(distinct order_id) as n from orders.payments"),
    },
    { what: "cents paid", expected: EXPECTED.cents, found: sums.cents },
    { what: "shipments", expected: EXPECTED.orders, found: sums.shipments },
    {
      what: "units reserved",
      expected: EXPECTED.units,
      found: await one("select coalesce(sum(units), 0) as n from orders.reservations"),
    },
    { what: "units counted by ProductSales", expected: EXPECTED.units, found: sums.units },
    {
      what: "products whose stock balances",
      expected: EXPECTED.products,
      found: await one(
        `select count(*) as n from orders.products
         left join (select product_id, sum(units) as units from orders.purchase_orders where delivered group by product_id) as bought using (product_id)
         left join (select product_id, sum(units) as units from orders.reservations group by product_id) as sold using (product_id)
         where in_stock >= 0 and in_stock = initial_stock + coalesce(bought.units, 0) - coalesce(sold.units, 0)`,
      ),
    },
    {
      what: "products sold as reserved",
      expected: EXPECTED.products,
      found: await one(
        `select count(*) as n from orders.products
         left join (select product_id, sum(units) as units from orders.product_sales group by product_id) as counted using (product_id)
         left join (select product_id, sum(units) as units from orders.reservations group by product_id) as sold using (product_id)
         where coalesce(counted.units, 0) = coalesce(sold.units, 0)`,
      ),
    },
  ];
}

/** Prints the account; returns whether all of it is right. */
export function print(lines: readonly Line[]): boolean {
  const width = Math.max(...lines.map(({ what }) => what.length));
  console.log(`\n${"".padEnd(width)}  ${"expected".padStart(13)}  ${"found".padStart(13)}`);
  for (const { what, expected, found } of lines) {
    const mark = expected === found ? "ok" : "WRONG";
    console.log(`${what.padEnd(width)}  ${grouped(expected)}  ${grouped(found)}  ${mark}`);
  }
  const isRight = lines.every(({ expected, found }) => expected === found);
  console.log(isRight ? "\nEvery order was processed exactly once.\n" : "\nThe sums do NOT hold.\n");
  return isRight;
}

function grouped(value: number): string {
  return value.toLocaleString("en-US").padStart(13);
}
