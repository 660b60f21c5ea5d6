import { EventEmitter } from "node:events";
import { TransactionUnavailableError } from "@holdfast/core/adapter";
import { describe, expect, it } from "vitest";
import { guardedClient, transactionOver } from "./guarded-client.ts";

describe("a client whose transaction is over", () => {
  const sent: unknown[] = [];
  const client = guardedClient(
    { query: (...args: unknown[]) => sent.push(args) },
    ["query"],
    transactionOver,
  );

  it("refuses a statement in the way in which its caller is told of errors, and sends nothing", async () => {
    await expect(client.query("SELECT 1")).rejects.toBeInstanceOf(TransactionUnavailableError);
    const told: unknown[] = [];
    client.query("SELECT 1", (error: unknown) => told.push(error));
    expect(told).toEqual([expect.any(TransactionUnavailableError)]);
    // As a cursor or a stream of `pg`: its caller reads from it and waits for nothing else.
    const cursor = Object.assign(new EventEmitter(), { submit: () => undefined });
    expect(() => client.query(cursor)).toThrow(TransactionUnavailableError);
    expect(sent).toEqual([]);
  });
});
