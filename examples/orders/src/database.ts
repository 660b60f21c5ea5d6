// The example's own tables, beside the library's, in the same database: so that an effect and its journal entry commit
// together. No table of effects has a unique key: an effect that happened twice would show in the sums.

import type { Product } from "./northwind.ts";

/** Plain SQL on the example's database, whichever it is. */
export interface Database {
  query<Row = Record<string, unknown>>(
    text: string,
    params?: readonly unknown[],
  ): Promise<{ readonly rows: Row[] }>;
}

const TABLES = [
  "create schema if not exists orders",
  "create table if not exists orders.products (product_id int primary key, name text not null, initial_stock int not null, in_stock int not null)",
  "create table if not exists orders.purchase_orders (id bigint generated always as identity, product_id int not null, units int not null, delivered boolean not null default false)",
  "create table if not exists orders.reservations (order_id int not null, product_id int not null, units int not null)",
  "create table if not exists orders.payments (order_id int not null, cents bigint not null)",
  "create table if not exists orders.shipments (order_id int not null, country text not null, attempt int not null)",
  "create table if not exists orders.product_sales (product_id int not null, order_id int not null, units int not null)",
  "create table if not exists orders.summary (one int primary key, payments int not null, cents bigint not null, shipments int not null, units int not null, open_purchase_orders int not null, runner text not null)",
  "create index if not exists purchase_orders_open on orders.purchase_orders (product_id) where not delivered",
];

/** Makes the tables and fills in the products, unless they are there. */
export async function prepareTables(database: Database, products: readonly Product[]): Promise<void> {
  for (const statement of TABLES) await database.query(statement);
  await database.query(
    `insert into orders.products (product_id, name, initial_stock, in_stock)
     select id, name, stock, stock from unnest($1::int[], $2::text[], $3::int[]) as product (id, name, stock)
     on conflict (product_id) do nothing`,
    [
      products.map(({ productId }) => productId),
      products.map(({ name }) => name),
      products.map(({ unitsInStock }) => unitsInStock),
    ],
  );
}

/** What was done so far. */
export interface Sums {
  readonly payments: number;
  readonly cents: number;
  readonly shipments: number;
  /** Units counted by the ProductSales entities. */
  readonly units: number;
  readonly openPurchaseOrders: number;
}

export async function readSums(database: Database): Promise<Sums> {
  const { rows } = await database.query<Record<keyof Sums, number | string>>(
    `select (select count(*) from orders.payments) as payments,
            (select coalesce(sum(cents), 0) from orders.payments) as cents,
            (select count(*) from orders.shipments) as shipments,
            (select coalesce(sum(units), 0) from orders.product_sales) as units,
            (select count(*) from orders.purchase_orders where not delivered) as "openPurchaseOrders"`,
  );
  const row = rows[0];
  const sum = (column: keyof Sums): number => Number(row?.[column] ?? 0);
  return {
    payments: sum("payments"),
    cents: sum("cents"),
    shipments: sum("shipments"),
    units: sum("units"),
    openPurchaseOrders: sum("openPurchaseOrders"),
  };
}
