import {
  activity,
  defineEntity,
  defineWorkflow,
  rpc,
  type EntityImplementation,
  type WorkflowImplementation,
} from "@holdfast/core";

export const Echo = defineEntity({
  name: "Echo",
  rpcs: {
    volatile: rpc<string, string>(),
    persisted: rpc<string, string>({ persisted: true }),
  },
});

export const echo: EntityImplementation = Echo.implement({
  volatile: (text) => text,
  persisted: (text) => text,
});

/** The payload of every call: 200 bytes of JSON. */
export const PAYLOAD: string = "x".repeat(198);

/** @property result what each step gives: `PAYLOAD` unless it is said */
interface StepsInput {
  readonly id: string;
  readonly steps: number;
  readonly result?: string;
}

export const Steps = defineWorkflow<StepsInput, number>({
  name: "Steps",
  key: ({ id }) => id,
});

export const steps: WorkflowImplementation = Steps.implement({
  activities: { step: activity(async (_ctx, text: string): Promise<string> => text) },
  async execute(ctx, { steps: count, result = PAYLOAD }) {
    for (let step = 0; step < count; step += 1) await ctx.activities.step(result);
    return count;
  },
});
