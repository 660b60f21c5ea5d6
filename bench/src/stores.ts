// Stores: storages of each kind, each with a bare write of its own to measure beside.

import { setImmediate as turn } from "node:timers/promises";
import { memoryStorage } from "@holdfast/core";
import { pgliteDatabase, postgresDatabase } from "./databases.ts";
import { PAYLOAD } from "./definitions.ts";
import type { Database } from "./durable.ts";

/** A storage, and the least that a write to it can cost. */
export interface Store {
  readonly name: string;
  readonly storage: Database["storage"];
  readonly baseline: {
    readonly name: string;
    /** How many are worth having under way at once. */
    readonly connections: number;
    run(): Promise<unknown>;
    /** Reads back so many of what was written, if there are that many. Null: there is nothing to read. */
    readonly read: ((count: number) => Promise<unknown>) | null;
  };
  close(): Promise<void>;
}

export type StoreKind = "memory" | "pglite" | "postgres";

export const STORE_KINDS: readonly StoreKind[] = ["memory", "pglite", "postgres"];

/** @throws {Error} there is no PostgreSQL */
export function openStore(kind: StoreKind): Promise<Store> {
  switch (kind) {
    case "memory":
      return Promise.resolve(memoryStore());
    case "pglite":
      return storeOn(pgliteDatabase("folder"));
    case "postgres":
      return storeOn(postgresDatabase());
  }
}

function memoryStore(): Store {
  return {
    name: "memory",
    storage: memoryStorage(),
    // A step waits for a turn of the event loop, so that is the least that one can cost.
    baseline: { name: "a turn of the event loop", connections: 1, run: () => turn(), read: null },
    close: () => Promise.resolve(),
  };
}

async function storeOn(opening: Promise<Database>): Promise<Store> {
  const database = await opening;
  await database.query(
    "create table if not exists bench_raw (id bigint generated always as identity primary key, payload text)",
  );
  return {
    name: database.name,
    storage: database.storage,
    baseline: {
      name: "raw insert, one row a commit",
      connections: database.connections,
      run: () => database.query("insert into bench_raw (payload) values ($1)", [PAYLOAD]),
      read: (count) => database.query(`select id, payload from bench_raw order by id limit ${count}`),
    },
    close: () => database.close(),
  };
}
