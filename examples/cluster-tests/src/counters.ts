import { defineEntity, rpc, type EntityImplementation } from "@holdfast/core";
import type { Database } from "@holdfast/example-orders/database.ts";
import { postgresTx } from "@holdfast/storage-postgres";
import * as z from "zod";

/** A counter whose value is in the database. It leaves memory soon, and comes back with its value. */
export const Counter = defineEntity({
  name: "Counter",
  maxIdleTime: "500ms",
  rpcs: {
    increment: rpc({
      input: z.object({ amount: z.int(), key: z.string() }),
      output: z.int(),
      persisted: true,
      primaryKey: ({ key }) => key,
    }),
    get: rpc({ output: z.int() }),
  },
});

export function counterOf(database: Database): EntityImplementation {
  return Counter.implement((entity) => {
    entity.onEvict(async () => {
      await database.query("insert into suite.evictions (id) values ($1)", [entity.entityId]);
    });
    return {
      async increment({ amount, key }, ctx) {
        const tx = postgresTx(ctx);
        await tx.query("insert into suite.increments (id, key, amount) values ($1, $2, $3)", [
          ctx.entityId,
          key,
          amount,
        ]);
        const { rows } = await tx.query<{ value: number }>(
          `insert into suite.counters (id, value) values ($1, $2)
           on conflict (id) do update set value = suite.counters.value + $2 returning value`,
          [ctx.entityId, amount],
        );
        return rows[0]?.value ?? 0;
      },
      async get(_input, ctx) {
        const { rows } = await database.query<{ value: number }>(
          "select value from suite.counters where id = $1",
          [ctx.entityId],
        );
        return rows[0]?.value ?? 0;
      },
    };
  });
}

/** A counter that is nowhere but in memory: at most once, and gone with its runner. */
export const StatelessCounter = defineEntity({
  name: "StatelessCounter",
  rpcs: {
    add: rpc({ input: z.object({ a: z.int(), b: z.int() }), output: z.int() }),
    count: rpc({ output: z.int() }),
  },
});

export const statelessCounter: EntityImplementation = StatelessCounter.implement(() => {
  let calls = 0;
  return {
    add({ a, b }) {
      calls += 1;
      return a + b;
    },
    count: () => calls,
  };
});
