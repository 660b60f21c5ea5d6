import type { Database } from "./database.ts";
import { EXPECTED } from "./northwind.ts";
import { readSummary } from "./summary.ts";

const INTERVAL_MS = Number(process.env["ORDERS_PROGRESS_MS"] ?? 1_000);

/** Shows how far the job is: one line that changes on a terminal, a line an interval elsewhere. Returns what ends it. */
export function showProgress(database: Database, detail: () => string): () => void {
  const started = performance.now();
  let isReading = false;
  const show = async (): Promise<void> => {
    if (isReading) return;
    isReading = true;
    try {
      const summary = await readSummary(database);
      if (summary === undefined) return;
      const seconds = ((performance.now() - started) / 1_000).toFixed(1);
      const line =
        `${seconds}s  paid ${summary.payments}/${EXPECTED.orders}  shipped ${summary.shipments}  units ${summary.units}  ` +
        `on order ${summary.openPurchaseOrders}  ${detail()}  summary by ${summary.runner}`;
      // One that wraps could not be written over.
      if (process.stdout.isTTY)
        process.stdout.write(`\r\u001B[2K${line.slice(0, process.stdout.columns - 1)}`);
      else console.log(line);
    } catch {
      // The database may be closing; the next interval shows more.
    } finally {
      isReading = false;
    }
  };
  const timer = setInterval(() => void show(), process.stdout.isTTY ? 200 : INTERVAL_MS);
  return () => {
    clearInterval(timer);
    if (process.stdout.isTTY) process.stdout.write("\n");
  };
}
