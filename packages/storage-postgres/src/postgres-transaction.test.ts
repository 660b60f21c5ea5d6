import { TransactionUnavailableError } from "@holdfast/core/adapter";
import { expect, it } from "vitest";
import type { SqlTransaction } from "./driver.ts";
import { PostgresTransaction } from "./postgres-transaction.ts";

it.each(["a statement", "the driver's own client"])(
  "sends nothing behind its COMMIT that its handler left behind, through %s (T2)",
  async (through) => {
    const sent: string[] = [];
    const query = async (text: string) => {
      sent.push(text);
      return { rows: [], rowCount: 0 };
    };
    const { promise: begun, resolve: begin } = Promise.withResolvers<SqlTransaction>();
    const transaction = new PostgresTransaction(
      () => begun,
      () => undefined,
      ["query"],
    );
    const client = transaction.native as { query(text: string): Promise<unknown> };
    const committing = transaction.commitAfter({ name: "reply", text: "reply", values: [] });
    const stray = through === "a statement" ? transaction.query("stray", []) : client.query("stray");
    begin({
      native: { query },
      query,
      script: async () => undefined,
      commitAfter: query as never,
      rollback: async () => undefined,
    });
    await expect(stray).rejects.toBeInstanceOf(TransactionUnavailableError);
    await committing;
    expect(sent).toEqual([{ name: "reply", text: "reply", values: [] }]);
  },
);
