import {
  activity,
  defineEntity,
  defineWorkflow,
  rpc,
  type EntityImplementation,
  type WorkflowImplementation,
} from "@holdfast/core";
import type { Database } from "@holdfast/example-orders/database.ts";
import { postgresTx } from "@holdfast/storage-postgres";
import * as z from "zod";

const Timer = z.object({ id: z.string(), name: z.string(), delayMs: z.int().min(0) });

/** One timer: a durable sleep, and a row that says when it was over. */
export const TimerWorkflow = defineWorkflow({
  name: "TimerWorkflow",
  input: Timer,
  output: z.enum(["fired", "cancelled"]),
  key: ({ id, name }) => `${id}/${name}`,
  hashKey: false,
});

export const timerWorkflow: WorkflowImplementation = TimerWorkflow.implement({
  activities: {
    fire: activity(async (ctx, id: string, name: string): Promise<"fired" | "cancelled"> => {
      // A timer that was cancelled meanwhile is none of these rows.
      const { rowCount } = await postgresTx(ctx).query(
        "update suite.timers set state = 'fired', fired_at = $3 where id = $1 and name = $2 and state = 'waiting'",
        [id, name, Date.now()],
      );
      return rowCount === 1 ? "fired" : "cancelled";
    }),
  },
  async execute(ctx, { id, name, delayMs }) {
    await ctx.sleep(delayMs);
    return ctx.activities.fire(id, name);
  },
});

/** Starts timers and cancels them. */
export const Timers = defineEntity({
  name: "Timers",
  rpcs: {
    start: rpc({ input: z.object({ name: z.string(), delayMs: z.int().min(0) }), persisted: true }),
    cancel: rpc({ input: z.object({ name: z.string() }), output: z.boolean(), persisted: true }),
    list: rpc({
      output: z.array(
        z.object({ name: z.string(), state: z.string(), delayMs: z.int(), waitedMs: z.number().nullable() }),
      ),
    }),
  },
});

export function timersOf(database: Database): EntityImplementation {
  return Timers.implement({
    async start({ name, delayMs }, ctx) {
      // There before the execution looks for it, and once, although this request may be tried again after a crash.
      await database.query(
        `insert into suite.timers (id, name, asked_at, delay_ms, state) select $1, $2, $3, $4, 'waiting'
         where not exists (select 1 from suite.timers where id = $1 and name = $2)`,
        [ctx.entityId, name, Date.now(), delayMs],
      );
      await ctx.workflow(TimerWorkflow).start({ id: ctx.entityId, name, delayMs });
    },
    async cancel({ name }, ctx) {
      const { rowCount } = await postgresTx(ctx).query(
        "update suite.timers set state = 'cancelled' where id = $1 and name = $2 and state = 'waiting'",
        [ctx.entityId, name],
      );
      return rowCount === 1;
    },
    async list(_input, ctx) {
      const { rows } = await database.query<{
        name: string;
        state: string;
        delayMs: number;
        waitedMs: number | null;
      }>(
        `select name, state, delay_ms as "delayMs", fired_at - asked_at as "waitedMs" from suite.timers where id = $1 order by asked_at`,
        [ctx.entityId],
      );
      return rows;
    },
  });
}
