// The audit: each effect that must have happened once, from the database alone. What is missing was lost; what is there
// more than once was doubled.

import type { Database } from "@holdfast/example-orders/database.ts";
import type { OrderBook } from "@holdfast/example-orders/northwind.ts";

export interface Finding {
  readonly effect: string;
  readonly expected: number;
  readonly lost: number;
  readonly doubled: number;
}

export async function audit(database: Database, { orders }: OrderBook): Promise<readonly Finding[]> {
  const perOrder = orders.map(({ orderId }) => `${orderId}`);
  const perLine = orders.flatMap(({ orderId, lines }) =>
    lines.map(({ productId }) => `${orderId}/${productId}`),
  );
  const line = "order_id || '/' || product_id";
  return Promise.all([
    find(
      database,
      "payments",
      perOrder,
      "select order_id::text as key, count(*) as times from orders.payments group by 1",
    ),
    find(
      database,
      "shipments",
      perOrder,
      "select order_id::text as key, count(*) as times from orders.shipments group by 1",
    ),
    find(
      database,
      "reservations",
      perLine,
      `select ${line} as key, count(*) as times from orders.reservations group by 1`,
    ),
    find(
      database,
      "sales counted",
      perLine,
      `select ${line} as key, count(*) as times from orders.product_sales group by 1`,
    ),
  ]);
}

async function find(
  database: Database,
  effect: string,
  expected: readonly string[],
  query: string,
): Promise<Finding> {
  const { rows } = await database.query<{ key: string; times: number | string }>(query);
  const times = new Map(rows.map((row) => [row.key, Number(row.times)]));
  return {
    effect,
    expected: expected.length,
    lost: expected.filter((key) => !times.has(key)).length,
    doubled: [...times.values()].reduce((sum, count) => sum + count - 1, 0),
  };
}

/** Prints the findings; returns whether nothing was lost and nothing doubled. */
export function printAudit(findings: readonly Finding[]): boolean {
  console.log(`${"".padEnd(14)}  ${"expected".padStart(8)}  ${"lost".padStart(6)}  ${"doubled".padStart(7)}`);
  for (const { effect, expected, lost, doubled } of findings) {
    console.log(
      `${effect.padEnd(14)}  ${String(expected).padStart(8)}  ${String(lost).padStart(6)}  ${String(doubled).padStart(7)}`,
    );
  }
  return findings.every(({ lost, doubled }) => lost === 0 && doubled === 0);
}
