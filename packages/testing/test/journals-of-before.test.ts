// Journals that were written before the first release: what runs for months is replayed by every release from then on. Do not write
// them anew: a change that they do not fit would stop all executions that are under way.

import { readFileSync } from "node:fs";
import { activity, defineEntity, defineWorkflow, rpc, type ExportedJournal } from "@holdfast/core";
import { replayWorkflow } from "@holdfast/testing";
import { expect, it } from "vitest";
import * as z from "zod";

const Account = defineEntity({
  name: "Account",
  rpcs: { deposit: rpc<bigint, bigint>({ persisted: true }) },
});
const Parcel = defineWorkflow<string, string>({ name: "Parcel", key: (id) => id, hashKey: false });
const Order = defineWorkflow({
  name: "Order",
  version: "1",
  input: z.object({ id: z.string(), amount: z.bigint() }),
  output: z.unknown(),
  key: ({ id }) => id,
  hashKey: false,
  signals: { approved: z.set(z.string()) },
});
/** Each kind of step, and values of each kind that is no JSON. */
const order = Order.implement({
  activities: { flaky: activity({ retries: 2, initialInterval: "1s" }, async () => new Date(0)) },
  async execute(ctx, { id, amount }) {
    ctx.setAttributes({ tenant: "a" });
    ctx.setState({ at: "start" });
    const chance = [ctx.now(), ctx.random(), ctx.uuid()];
    if (ctx.patched("check")) await ctx.run("check", async () => undefined);
    const at = await ctx.activities.flaky();
    ctx.onCompensate("undo", () => ctx.run("undo", async () => undefined));
    await ctx.sleep("1 minute");
    const caught = await ctx.run("refuse", async () => "").catch((error: unknown) => String(error));
    const paid = await ctx.entity(Account, "main").deposit(amount);
    const child = await ctx.child(Parcel).execute(id);
    const by = await ctx.signal("approved", { timeout: "1 hour" });
    const late = await ctx.signal("approved", { timeout: "1 minute" }).catch((error: Error) => error.name);
    const slow = ctx.sleep("2 minutes").then(() => "slow");
    const first = await Promise.race([slow, ctx.sleep("1 minute").then(() => "fast")]);
    if (id === "fails") throw new Error("in the end");
    if (id === "waits") await ctx.signal("approved");
    return { id, at, caught, paid, child, by, late, first, chance: chance.map(String) };
  },
});

const journals = JSON.parse(
  readFileSync(new URL("./journals/orders.json", import.meta.url), "utf8"),
) as Record<"ends" | "fails" | "waits", ExportedJournal>;

it("a journal of before is replayed to its end, step for step", async () => {
  expect(await replayWorkflow(order, journals.ends)).toEqual({
    status: "completed",
    result: {
      id: "ends",
      at: new Date(0),
      caught: "RangeError: no",
      paid: 5n,
      child: "parcel ends",
      by: new Set(["kim"]),
      late: "SignalTimeoutError",
      first: "fast",
      chance: ["1893456003000", "0.8178011618101557", "5037390b-deae-8226-8a79-de4a22edcc29"],
    },
  });
});

it("a journal of before that failed, and was compensated, fails", async () => {
  expect(await replayWorkflow(order, journals.fails)).toMatchObject({
    status: "failed",
    error: { name: "WorkflowFailedError", cause: { message: "in the end" } },
  });
});

it("a journal of before that goes on is replayed up to where it stands", async () => {
  expect(await replayWorkflow(order, journals.waits)).toEqual({ status: "waiting" });
});
