import { defineEntity, rpc, type EntityImplementation } from "@holdfast/core";
import * as z from "zod";

const Sighting = z.object({
  shardId: z.string(),
  /** The runner's name. */
  runner: z.string(),
  pid: z.int(),
  address: z.string(),
});

/** Who answers for a shard. */
export type Sighting = z.infer<typeof Sighting>;

/** Says which runner it lives on: whoever asks one of each shard knows who owns them, as callers see it. */
export const Whereabouts = defineEntity({ name: "Whereabouts", rpcs: { who: rpc({ output: Sighting }) } });

/** @param self the runner's name, and where it is reached once it is started */
export function whereaboutsOf(self: { name: string; address: () => string | null }): EntityImplementation {
  return Whereabouts.implement({
    who: (_input, ctx) => ({
      shardId: ctx.address.shardId,
      runner: self.name,
      pid: process.pid,
      address: self.address() ?? "",
    }),
  });
}
