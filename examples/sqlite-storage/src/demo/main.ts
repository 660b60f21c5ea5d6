// 200 bookings on one process and a SQLite file. Killed at any moment and started again, it goes on where it was.

import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { createCluster } from "@holdfast/core";
import { sqlite } from "../index.ts";
import { audit } from "./audit.ts";
import { Booking, booking, hall, TABLES } from "./bookings.ts";

const BOOKINGS = 200;
const HALLS = ["north", "south", "east"];
const path =
  process.env["BOOKINGS_FILE"] ?? fileURLToPath(new URL("../../.data/bookings.db", import.meta.url));

console.log(`Bookings in ${path}. Kill it whenever you like: the same command goes on where it was.`);
mkdirSync(dirname(path), { recursive: true });
const database = new DatabaseSync(path);
// The cluster may be reading by now, where this is not its first start.
database.exec(`PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; ${TABLES}`);

const cluster = await createCluster({
  storage: sqlite({ path }),
  register: [hall, booking],
  shardsPerGroup: 12,
  shardRebalanceDebounce: 0,
});
await cluster.start();
const bookings = cluster.workflow(Booking);
let done = 0;
await Promise.all(
  Array.from({ length: BOOKINGS }, async (_, index) => {
    // Starts it, or joins the one that an earlier process started.
    await bookings.execute({ id: `booking-${index}`, hall: HALLS[index % HALLS.length] ?? "" });
    done += 1;
    console.log(`booked ${done}/${BOOKINGS}`);
  }),
);
await cluster.shutdown();

const { lost, doubled } = audit(database, BOOKINGS);
console.log(`lost ${lost}, doubled ${doubled}`);
database.close();
process.exitCode = lost + doubled === 0 ? 0 : 1;
