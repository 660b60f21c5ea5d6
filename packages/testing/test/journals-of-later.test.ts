// Journals of a later release, which an earlier one comes upon in a rolling deploy, or after it was rolled back.

import { defineWorkflow } from "@holdfast/core";
import type { InboxMessage, JournalEntry } from "@holdfast/core/adapter";
import { createTestCluster } from "@holdfast/testing";
import { expect, it } from "vitest";
import * as z from "zod";
import { tampering } from "./tampering.ts";

const Order = defineWorkflow({
  name: "Order",
  input: z.string(),
  output: z.string(),
  key: (id) => id,
  hashKey: false,
  signals: { carrier: z.string() },
});
/** A value that this release cannot read. */
const LATER = '{"$":["Later","1"]}';

it.each<[string, JournalEntry["kind"], string]>([
  ["a resumption of another shape", "resume", '{"later":[1]}'],
  ["a run that began in another way", "continue", '["later"]'],
  ["a value of a kind that there is not", "version", LATER],
])(
  "an execution whose journal has %s waits until a release that can read it is there",
  async (_, kind, value) => {
    let isOfLater = false;
    let shipped = 0;
    const entry = (ordinal: number): JournalEntry => ({
      ordinal,
      position: -1,
      kind,
      name: kind,
      event: { type: "completed", value },
    });
    await using cluster = await createTestCluster({
      runners: 1,
      register: [
        Order.implement({
          async execute(ctx, id) {
            await ctx.sleep("1 minute");
            await ctx.run("ship", () => void (shipped += 1));
            return `shipped ${id}`;
          },
        }),
      ],
      tamper: tampering(({ workflows }) => ({
        workflows: {
          async readExecution(...given) {
            const stored = await workflows.readExecution(...given);
            return isOfLater
              ? { ...stored, entries: [...stored.entries, entry(stored.entries.length)] }
              : stored;
          },
        },
      })),
    });
    const order = await cluster.workflow(Order).start("1");
    await cluster.advance("5s");
    isOfLater = true;
    await cluster.crash(0);
    await cluster.restart(0);
    await cluster.advance("5 minutes");
    expect(await order.poll()).toBeUndefined();
    await expect(order.describe()).rejects.toThrow(/written by another release of @holdfast\/core/u);
    isOfLater = false;
    await cluster.advance("2 minutes");
    expect(await order.poll()).toBe("shipped 1");
    expect(shipped).toBe(1);
  },
);

it.each(["recorded", "was sent"])(
  "an execution that %s a value of a kind that there is not waits, and ends no runner",
  async (how) => {
    const event = { type: "completed", value: LATER } as const;
    const entryOfLater = (entry: JournalEntry): JournalEntry =>
      entry.name === "ship" ? { ...entry, event } : entry;
    const messageOfLater = (message: InboxMessage): InboxMessage => ({ ...message, payload: LATER });
    let isOfLater = false;
    await using cluster = await createTestCluster({
      runners: 1,
      register: [
        Order.implement({
          async execute(ctx, id) {
            const shipped = await ctx.run("ship", () => `shipped ${id}`);
            await ctx.sleep("1 minute");
            return `${shipped} by ${await ctx.signal("carrier")}`;
          },
        }),
      ],
      tamper: tampering(({ workflows }) => ({
        workflows: {
          async readExecution(...given) {
            const { entries, inbox } = await workflows.readExecution(...given);
            if (!isOfLater) return { entries, inbox };
            return how === "recorded"
              ? { entries: entries.map(entryOfLater), inbox }
              : { entries, inbox: inbox.map(messageOfLater) };
          },
        },
      })),
    });
    const order = await cluster.workflow(Order).start("1");
    await order.signal("carrier", "ship");
    await cluster.advance("5s");
    isOfLater = true;
    await cluster.crash(0);
    await cluster.restart(0);
    await cluster.advance("5 minutes");
    expect(await order.poll()).toBeUndefined();
    isOfLater = false;
    await cluster.advance("2 minutes");
    expect(await order.poll()).toBe("shipped 1 by ship");
  },
);
