// The order book: Microsoft's Northwind, from data/.

import { readFile } from "node:fs/promises";

export interface Product {
  readonly productId: number;
  readonly name: string;
  readonly unitsInStock: number;
}

export interface OrderLine {
  readonly productId: number;
  readonly unitPriceCents: number;
  readonly quantity: number;
  readonly discountPercent: number;
}

export interface Order {
  readonly orderId: number;
  readonly customerId: string;
  readonly shipCountry: string;
  readonly freightCents: number;
  readonly lines: readonly OrderLine[];
}

export interface OrderBook {
  readonly products: readonly Product[];
  readonly orders: readonly Order[];
}

/** What must come out when every order is processed exactly once; see data/README.md. */
export const EXPECTED = {
  products: 77,
  orders: 830,
  payments: 830,
  cents: 133_073_598,
  units: 51_317,
} as const;

export async function loadOrderBook(): Promise<OrderBook> {
  const [products, orders, lines] = await Promise.all(["products", "orders", "order-lines"].map(readRows));
  const linesByOrder = new Map<number, OrderLine[]>();
  for (const row of lines ?? []) {
    const orderId = number(row, "order_id");
    const line = {
      productId: number(row, "product_id"),
      unitPriceCents: number(row, "unit_price_cents"),
      quantity: number(row, "quantity"),
      discountPercent: number(row, "discount_percent"),
    };
    linesByOrder.set(orderId, [...(linesByOrder.get(orderId) ?? []), line]);
  }
  return {
    products: (products ?? []).map((row) => ({
      productId: number(row, "product_id"),
      name: text(row, "name"),
      unitsInStock: number(row, "units_in_stock"),
    })),
    orders: (orders ?? []).map((row) => ({
      orderId: number(row, "order_id"),
      customerId: text(row, "customer_id"),
      shipCountry: text(row, "ship_country"),
      freightCents: number(row, "freight_cents"),
      lines: linesByOrder.get(number(row, "order_id")) ?? [],
    })),
  };
}

/** The price of an order in cents: each line rounded half up, and the freight. */
export function priceCents(order: Pick<Order, "freightCents" | "lines">): number {
  return order.lines.reduce(
    (sum, line) =>
      sum + Math.floor((line.unitPriceCents * line.quantity * (100 - line.discountPercent) + 50) / 100),
    order.freightCents,
  );
}

type Row = ReadonlyMap<string, string>;

async function readRows(name: string): Promise<readonly Row[]> {
  const file = await readFile(new URL(`../data/${name}.csv`, import.meta.url), "utf8");
  const [head = [], ...rows] = file.trim().split(/\r?\n/u).map(fieldsOf);
  return rows.map((fields) => new Map(head.map((column, index) => [column, fields[index] ?? ""])));
}

/** The fields of a line of RFC 4180: a quoted field may hold commas, and quotes that are doubled. */
function fieldsOf(line: string): readonly string[] {
  return [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/gu)].map(
    ([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain ?? "",
  );
}

function text(row: Row, column: string): string {
  const value = row.get(column);
  if (value === undefined) throw new Error(`The data has no column "${column}"`);
  return value;
}

function number(row: Row, column: string): number {
  const value = Number(text(row, column));
  if (!Number.isInteger(value))
    throw new Error(`Column "${column}" holds "${text(row, column)}", which is no whole number`);
  return value;
}
