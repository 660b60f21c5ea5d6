import { TransactionUnavailableError } from "@holdfast/core/adapter";
import { expect, it } from "vitest";
import type { SqlTransaction } from "./driver.ts";
import { PostgresTransaction } from "./postgres-transaction.ts";

it.each(["a statement", "the driver's own client"])(
  "sends what its handler left behind before its COMMIT, and nothing after it, through %s (T2)",
  async (through) => {
    const sent: unknown[] = [];
    const query = async (text: unknown) => {
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
    const send = (text: string) =>
      through === "a statement" ? transaction.query(text, []) : client.query(text);
    const left = send("left behind");
    const committing = transaction.commitAfter({ name: "reply", text: "reply", values: [] });
    const stray = send("too late");
    begin({
      native: { query },
      lostWith: null,
      query,
      script: async () => undefined,
      commitAfter: query,
      rollback: async () => undefined,
    });
    await expect(stray).rejects.toBeInstanceOf(TransactionUnavailableError);
    await Promise.all([left, committing]);
    expect(sent).toEqual(["left behind", { name: "reply", text: "reply", values: [] }]);
  },
);
