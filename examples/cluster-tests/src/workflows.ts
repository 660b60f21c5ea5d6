import { activity, defineWorkflow, type WorkflowImplementation } from "@holdfast/core";
import { postgresTx } from "@holdfast/storage-postgres";
import * as z from "zod";

/** Records, in the transaction of its journal entry, that it ran. */
const record = activity(async (ctx, name: string): Promise<string> => {
  await postgresTx(ctx).query(
    "insert into suite.activity_log (execution_id, activity, attempt) values ($1, $2, $3)",
    [ctx.executionId, name, ctx.attempt],
  );
  return `did ${name}`;
});

export const SimpleWorkflow = defineWorkflow({
  name: "SimpleWorkflow",
  input: z.object({ id: z.string(), name: z.string() }),
  output: z.string(),
  key: ({ id }) => id,
  hashKey: false,
});

export const simpleWorkflow: WorkflowImplementation = SimpleWorkflow.implement({
  activities: { record },
  async execute(ctx, { name }) {
    return `hello ${name}: ${await ctx.activities.record("greet")}`;
  },
});

/** Ten activities, one after the other, with a pause between them. */
export const LongWorkflow = defineWorkflow({
  name: "LongWorkflow",
  input: z.object({ id: z.string(), pauseMs: z.int().min(0) }),
  output: z.array(z.string()),
  key: ({ id }) => id,
  hashKey: false,
});

export const longWorkflow: WorkflowImplementation = LongWorkflow.implement({
  activities: { record },
  async execute(ctx, { pauseMs }) {
    const results: string[] = [];
    for (let step = 1; step <= 10; step += 1) {
      results.push(await ctx.activities.record(`step-${step}`));
      if (pauseMs > 0) await ctx.sleep(pauseMs);
    }
    return results;
  },
});

/** The activity did not work this time. */
class FlakyError extends Error {
  override readonly name = "FlakyError";
}

/** Fails until its attempt is `failures` + 1; each failing attempt's row rolls back. */
export const RetryWorkflow = defineWorkflow({
  name: "RetryWorkflow",
  input: z.object({ id: z.string(), failures: z.int().min(0) }),
  output: z.int(),
  key: ({ id }) => id,
  hashKey: false,
});

export const retryWorkflow: WorkflowImplementation = RetryWorkflow.implement({
  activities: {
    flaky: activity(
      { retries: 3, initialInterval: "50ms", backoff: "constant" },
      async (ctx, failures: number): Promise<number> => {
        await postgresTx(ctx).query(
          "insert into suite.activity_log (execution_id, activity, attempt) values ($1, 'flaky', $2)",
          [ctx.executionId, ctx.attempt],
        );
        if (ctx.attempt <= failures) throw new FlakyError(`attempt ${ctx.attempt} failed`);
        return ctx.attempt;
      },
    ),
  },
  execute: (ctx, { failures }) => ctx.activities.flaky(failures),
});
