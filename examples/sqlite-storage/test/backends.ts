// What the suites run on: a file of its own for each case, and a table beside the adapter's.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { StorageTransaction } from "@holdfast/core/adapter";
import { adapterServices, type StorageBackend } from "@holdfast/testing";
import { sqlite } from "../src/index.ts";
import { SqliteTransaction } from "../src/sqlite-transaction.ts";

export function sqliteBackend(): StorageBackend {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-sqlite-"));
  const path = join(folder, "holdfast.db");
  const adapter = sqlite({ path });
  const outside = new DatabaseSync(path);
  outside.exec("CREATE TABLE effects (key TEXT PRIMARY KEY)");
  return {
    open: () => adapter.open(adapterServices()),
    transactions: {
      write: async (transaction, key) => {
        await opened(transaction).query("INSERT INTO effects VALUES (?) ON CONFLICT DO NOTHING", [key]);
      },
      fail: async (transaction) => {
        // SQLite rolls everything back, as it does for a full disk.
        await opened(transaction).query("INSERT OR ROLLBACK INTO effects VALUES ('twice'), ('twice')");
      },
      failAlone: async (transaction) => {
        await opened(transaction).query("INSERT INTO effects VALUES ('twice'), ('twice')");
      },
      has: async (key) => outside.prepare("SELECT 1 FROM effects WHERE key = ?").get(key) !== undefined,
    },
    dispose: async () => {
      outside.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export function opened(transaction: StorageTransaction | undefined): SqliteTransaction {
  if (transaction instanceof SqliteTransaction) return transaction;
  throw new Error("The storage opened a transaction that is not its own.");
}
