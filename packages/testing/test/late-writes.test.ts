// Writes of which nobody knows whether they happened, and which happen when the next copy of their execution is at work.

import { defineWorkflow } from "@holdfast/core";
import { FencedError, PersistenceError } from "@holdfast/core/adapter";
import { createTestCluster } from "@holdfast/testing";
import { expect, it } from "vitest";
import { tampering } from "./tampering.ts";

it("a step is recorded with the value that the execution went on with, although a write of before comes late", async () => {
  const Quote = defineWorkflow<void, number>({ name: "Quote", key: () => "1", hashKey: false });
  let rate = 0;
  const quote = Quote.implement({
    execute: (ctx) =>
      ctx.run("rate", () => {
        rate += 1;
        return rate;
      }),
  });
  let late: (() => Promise<unknown>) | null = null;
  let isArmed = true;
  const came: unknown[] = [];
  await using cluster = await createTestCluster({
    register: [quote],
    tamper: tampering(({ workflows }) => ({
      workflows: {
        async appendJournal(...args) {
          if (isArmed) {
            isArmed = false;
            late = () => workflows.appendJournal(...args);
            throw new PersistenceError({ operation: "appendJournal", outcome: "unknown", detail: "told to" });
          }
          came.push(await late?.().catch((error: unknown) => error));
          late = null;
          return workflows.appendJournal(...args);
        },
      },
    })),
  });
  const reply = cluster.workflow(Quote).execute();
  await cluster.advance("1 minute");
  const result = await reply;
  const { steps } = await cluster.workflow(Quote).get("1").describe();
  expect(came[0]).toBeInstanceOf(FencedError);
  expect(steps.map((step) => step.result)).toEqual([result]);
});
