// One small application, the same on every combination: a persisted rpc, and a workflow with an activity, a timer and a call.

import { randomUUID } from "node:crypto";
import { activity, defineEntity, defineWorkflow, rpc, type ClusterOptions } from "@holdfast/core";

export const Desk = defineEntity({
  name: "Desk",
  // The number is drawn anew by each run of the handler: who gets the same one twice has the recorded reply.
  rpcs: { stamp: rpc<{ paper: string }, string>({ persisted: true }) },
});

export const Application = defineWorkflow<{ id: string }, { priced: string; stamped: string }>({
  name: "Application",
  key: ({ id }) => id,
});

const desk = Desk.implement({
  stamp: ({ paper }, ctx) => `${paper} at ${ctx.entityId}: ${randomUUID()}`,
});

const application = Application.implement({
  activities: { price: activity((_ctx, id: string) => `${id} costs ${randomUUID()}`) },
  async execute(ctx, { id }) {
    const priced = await ctx.activities.price(id);
    await ctx.sleep("20ms");
    const stamped = await ctx.entity(Desk, `desk of ${id}`).stamp({ paper: id });
    return { priced, stamped };
  },
});

export const OPTIONS: ClusterOptions = {
  register: [desk, application],
  shardsPerGroup: 8,
  shardRebalanceDebounce: "50ms",
  storagePollInterval: "100ms",
  // Members without a transport would try in vain to reach each other before each request goes through storage.
  sendRetryCount: 0,
};
