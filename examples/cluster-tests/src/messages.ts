import { defineEntity, rpc, type EntityImplementation } from "@holdfast/core";
import type { Database } from "@holdfast/example-orders/database.ts";
import { postgresTx } from "@holdfast/storage-postgres";
import * as z from "zod";

/** Entities that call each other. */
export const Messenger = defineEntity({
  name: "Messenger",
  rpcs: {
    /** Sends a text to another one. */
    sendTo: rpc({ input: z.object({ to: z.string(), text: z.string() }), persisted: true }),
    /** For the others alone: no caller outside the cluster may. */
    receive: rpc({
      input: z.object({ from: z.string(), text: z.string() }),
      visibility: "protected",
      persisted: true,
    }),
    inbox: rpc({ output: z.array(z.object({ from: z.string(), text: z.string() })) }),
    /** Plays against another one: each round is a ping from here and a pong from there. Returns how often the ball was hit. */
    play: rpc({ input: z.object({ with: z.string(), rounds: z.int().min(0).max(100) }), output: z.int() }),
    hit: rpc({ input: z.object({ count: z.int() }), output: z.int(), visibility: "protected" }),
  },
});

export function messengerOf(database: Database): EntityImplementation {
  return Messenger.implement({
    async sendTo({ to, text }, ctx) {
      // Under this request's id: tried again after a crash, it is the same message.
      await ctx
        .entity(Messenger, to)
        .receive({ from: ctx.entityId, text }, { idempotencyKey: ctx.requestId });
    },
    async receive({ from, text }, ctx) {
      await postgresTx(ctx).query("insert into suite.messages (id, sender, text) values ($1, $2, $3)", [
        ctx.entityId,
        from,
        text,
      ]);
    },
    async inbox(_input, ctx) {
      const { rows } = await database.query<{ from: string; text: string }>(
        `select sender as "from", text from suite.messages where id = $1 order by n`,
        [ctx.entityId],
      );
      return rows;
    },
    async play({ with: other, rounds }, ctx) {
      let count = 0;
      for (let round = 0; round < rounds; round += 1)
        count = await ctx.entity(Messenger, other).hit({ count: count + 1 });
      return count;
    },
    hit: ({ count }) => count + 1,
  });
}
