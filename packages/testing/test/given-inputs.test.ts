// What a call is given counts as it was when the call was made, and as it was sent for each attempt.

import { defineEntity, defineWorkflow, rpc } from "@holdfast/core";
import { createTestCluster } from "@holdfast/testing";
import { describe, expect, it } from "vitest";
import * as z from "zod";
import { appending, notWritten } from "./tampering.ts";

interface Row {
  readonly id: string;
  readonly amount: number;
}

const Account = defineEntity({
  name: "Account",
  rpcs: {
    checked: rpc({
      input: z.object({ id: z.string(), amount: z.number() }),
      output: z.string(),
      persisted: true,
      primaryKey: (row) => row.id,
    }),
    keyed: rpc<Row, string>({ persisted: true, primaryKey: ({ id }) => id }),
    volatile: rpc<Row, string>(),
    streamed: rpc<Row, string>({ stream: true }),
  },
});

/** One object for all rows, as readers of files and cursors hand out. */
function readingRows<Result>(call: (row: Row) => Result): Result[] {
  const row = { id: "", amount: 0 };
  return ["a", "b", "c"].map((id, index) => call(Object.assign(row, { id, amount: index + 1 })));
}

function accounts() {
  const paid: string[] = [];
  const handle = ({ id, amount }: Row): string => {
    paid.push(`${id}: ${amount}`);
    return id;
  };
  const account = Account.implement({
    checked: handle,
    keyed: handle,
    volatile: handle,
    async *streamed(row) {
      yield handle(row);
    },
  });
  return { paid, account };
}

describe("a call whose input is changed after it was made", () => {
  const PAID = ["a: 1", "b: 2", "c: 3"];

  it.each(["checked", "keyed", "volatile"] as const)("sends what it was given (%s)", async (tag) => {
    const { paid, account } = accounts();
    await using cluster = await createTestCluster({ runners: 2, register: [account] });
    const main = cluster.entity(Account, "main");
    expect(await Promise.all(readingRows((row) => main[tag](row)))).toEqual(["a", "b", "c"]);
    expect(paid).toEqual(PAID);
  });

  it("sends what it was given to a stream, however late that is read", async () => {
    const { paid, account } = accounts();
    await using cluster = await createTestCluster({ runners: 2, register: [account] });
    const streams = readingRows((row) => cluster.entity(Account, "main").streamed(row));
    for (const stream of streams) for await (const _ of stream) continue;
    expect(paid).toEqual(PAID);
  });

  it("is sent under the key and with the headers that it was given", async () => {
    const seen: string[] = [];
    const Ledger = defineEntity({ name: "Ledger", rpcs: { book: rpc<string, string>({ persisted: true }) } });
    const ledger = Ledger.implement({
      book(id, { headers }) {
        seen.push(`${id} for ${headers["tenant"]}`);
        return id;
      },
    });
    await using cluster = await createTestCluster({ runners: 2, register: [ledger] });
    const main = cluster.entity(Ledger, "main");
    const headers = { tenant: "" };
    const options = { idempotencyKey: "", headers };
    const calls = readingRows(({ id }) => {
      options.idempotencyKey = id;
      headers.tenant = id;
      return main.book(id, options);
    });
    expect(await Promise.all(calls)).toEqual(["a", "b", "c"]);
    expect(seen).toEqual(["a for a", "b for b", "c for c"]);
  });

  it("sends what it was given from a workflow, too", async () => {
    const { paid, account } = accounts();
    const Payout = defineWorkflow<void, string[]>({ name: "Payout", key: () => "1" });
    const payout = Payout.implement({
      execute: (ctx) => Promise.all(readingRows((row) => ctx.entity(Account, "main").keyed(row))),
    });
    await using cluster = await createTestCluster({ runners: 2, register: [account, payout] });
    expect(await cluster.workflow(Payout).execute()).toEqual(["a", "b", "c"]);
    expect(paid.toSorted()).toEqual(PAID);
  });
});

describe("an execution whose input is changed after it was asked for", () => {
  const Payment = defineWorkflow<Row, string>({ name: "Payment", key: ({ id }) => id, hashKey: false });
  const payment = Payment.implement({
    execute: async (ctx, { id, amount }) => `${ctx.executionId} pays ${id}: ${amount}`,
  });
  const PAID = ["a pays a: 1", "b pays b: 2", "c pays c: 3"];

  it("is the one that was asked for", async () => {
    await using cluster = await createTestCluster({ runners: 2, register: [payment] });
    const client = cluster.workflow(Payment);
    expect(await Promise.all(readingRows((row) => client.execute(row)))).toEqual(PAID);
  });

  it("is the one that was asked for as a child", async () => {
    const Parent = defineWorkflow<void, string[]>({ name: "Parent", key: () => "1" });
    const parent = Parent.implement({
      execute: (ctx) => Promise.all(readingRows((row) => ctx.child(Payment).execute(row))),
    });
    await using cluster = await createTestCluster({ runners: 2, register: [payment, parent] });
    expect(await cluster.workflow(Parent).execute()).toEqual(PAID);
  });

  it("gets the signals that were sent", async () => {
    const Listener = defineWorkflow<void, string[]>({ name: "Listener", key: () => "1" });
    const listener = Listener.implement({
      async execute(ctx) {
        const heard: string[] = [];
        while (heard.length < 3) heard.push(((await ctx.signal("row")) as Row).id);
        return heard.toSorted();
      },
    });
    await using cluster = await createTestCluster({ runners: 2, register: [listener] });
    const handle = await cluster.workflow(Listener).start();
    await Promise.all(readingRows((row) => handle.signal("row", row)));
    expect(await handle.result()).toEqual(["a", "b", "c"]);
  });
});

describe("code that uses up its input", () => {
  it("is given it anew for its next attempt, in a handler", async () => {
    const Order = defineEntity({
      name: "Order",
      rpcs: {
        plain: rpc<{ lines: number[] }, number[]>({ persisted: true }),
        checked: rpc({
          input: z.object({ lines: z.array(z.number()) }),
          output: z.array(z.number()),
          persisted: true,
        }),
      },
    });
    const handle = ({ lines }: { lines: number[] }, { attempt }: { attempt: number }): number[] => {
      const taken = lines.splice(0);
      // Such as a serialization failure of its transaction.
      if (attempt === 1) throw Object.assign(new Error("conflict"), { retryable: true });
      return taken;
    };
    await using cluster = await createTestCluster({
      register: [Order.implement({ plain: handle, checked: handle })],
    });
    const client = cluster.entity(Order, "1");
    const replies = [client.plain({ lines: [1, 2, 3] }), client.checked({ lines: [1, 2, 3] })];
    await cluster.advance("1 minute");
    expect(await Promise.all(replies)).toEqual([
      [1, 2, 3],
      [1, 2, 3],
    ]);
  });

  it("is given it anew for its next attempt, in an execution whose storage failed", async () => {
    const Payout = defineWorkflow<{ lines: number[] }, number[]>({ name: "Payout", key: () => "1" });
    let begun = 0;
    const payout = Payout.implement({
      async execute(ctx, { lines }) {
        begun += 1;
        const paid: number[] = [];
        for (let line = lines.shift(); line !== undefined; line = lines.shift()) {
          const amount = line;
          paid.push(await ctx.run("pay", () => amount));
        }
        return paid;
      },
    });
    await using cluster = await createTestCluster({
      register: [payout],
      tamper: appending(async (append, number) => {
        if (number === 2) throw notWritten("appendJournal");
        await append();
      }),
    });
    const reply = cluster.workflow(Payout).execute({ lines: [1, 2, 3] });
    await cluster.advance("1 minute");
    expect(await reply).toEqual([1, 2, 3]);
    expect(begun).toBeGreaterThan(1);
  });
});
