import { Effect, Schema, type Layer } from "effect";
import { ClusterSchema, Entity, type Sharding } from "effect/cluster";
import { Rpc } from "effect/rpc";

/** The entity of ../../src/definitions.ts, as Effect has it. */
export const Echo = Entity.make("Echo", [
  Rpc.make("Volatile", { payload: { text: Schema.String }, success: Schema.String }),
  Rpc.make("Persisted", { payload: { text: Schema.String }, success: Schema.String }).annotate(
    ClusterSchema.Persisted,
    true,
  ),
]);

/** Entities that stay in memory for longer than any round. */
export const echo: Layer.Layer<never, never, Sharding.Sharding> = Echo.toLayer(
  Effect.sync(() =>
    Echo.of({
      Volatile: ({ payload }) => Effect.succeed(payload.text),
      Persisted: ({ payload }) => Effect.succeed(payload.text),
    }),
  ),
  { maxIdleTime: "1 hour" },
);
