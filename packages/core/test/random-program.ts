// Random programs: what chance writes of a workflow's code, and of what happens to it from outside.

import fc from "fast-check";

/** What code does, and what it awaits together. Durations in milliseconds, to which each step adds some of its own. */
export type Plan =
  | { readonly type: "commit" | "take" | "inline" | "broken" | "call"; readonly ms: number }
  | { readonly type: "flaky" | "flakyCommit"; readonly ms: number; readonly times: number }
  | { readonly type: "sleep" | "sleepUntil"; readonly ms: number }
  | { readonly type: "signal"; readonly name: SignalName; readonly timeoutMs: number | null }
  | {
      readonly type: "child";
      readonly does: "execute" | "start" | "start, then result" | "start, signal, then cancel";
      readonly isNamed: boolean;
      readonly isDetached: boolean;
      readonly isStubborn: boolean;
      readonly ending: "completed" | "failed";
      /** So much earlier than its result is known its watchers are woken. */
      readonly wakesMsBefore: number;
      readonly ms: number;
    }
  | { readonly type: "now" | "random" | "uuid" | "state" | "attributes" }
  | { readonly type: "patched"; readonly id: "one" | "two" }
  | { readonly type: "compensated"; readonly by: "commit" | "broken" | "sleep"; readonly ms: number }
  | { readonly type: "sequence" | "all" | "race" | "any" | "settled"; readonly plans: readonly Plan[] }
  | { readonly type: "loop"; readonly times: number; readonly plan: Plan }
  | { readonly type: "try"; readonly plan: Plan; readonly rescue: Plan | null; readonly cleanup: Plan | null }
  | {
      readonly type: "generator";
      readonly plans: readonly Plan[];
      /** So many values are taken of it. */
      readonly taken: number;
      readonly cleanup: Plan | null;
    }
  /** A function of the code's own, which awaits nothing of the runtime before and after. */
  | { readonly type: "helper"; readonly hops: number; readonly plan: Plan }
  /** A promise that is awaited later. */
  | { readonly type: "meanwhile"; readonly plan: Plan; readonly other: Plan };

export type SignalName = "a" | "b" | "c";

export interface RandomProgram {
  readonly plans: readonly Plan[];
  /** What the second run of the code does: then the first one continues as new. */
  readonly next: readonly Plan[] | null;
  /** Whether it goes on after a statement that failed. */
  readonly isTolerant: boolean;
  readonly failsAtItsEnd: boolean;
  readonly signals: readonly {
    readonly name: SignalName;
    readonly atMs: number;
    readonly isRefused: boolean;
  }[];
  readonly cancelAtMs: number | null;
  /** When somebody asks to be woken at its end. */
  readonly watchAtMs: number | null;
  readonly latencyTurns: number;
}

const someMs = fc.constantFrom(0, 4, 25, 110, 350, 800, 1_300, 4_000, 30_000);
const leaf: fc.Arbitrary<Plan> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ type: fc.constantFrom("commit" as const, "take" as const), ms: someMs }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constantFrom("inline" as const, "call" as const), ms: someMs }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("broken" as const), ms: someMs }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constantFrom("flaky" as const, "flakyCommit" as const),
      ms: fc.constantFrom(4, 110, 800),
      times: fc.constantFrom(0, 1, 1, 2, 4),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ type: fc.constantFrom("sleep" as const, "sleepUntil" as const), ms: someMs }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant("signal" as const),
      name: fc.constantFrom("a" as const, "a" as const, "b" as const, "c" as const),
      timeoutMs: fc.oneof({ weight: 3, arbitrary: someMs }, { weight: 1, arbitrary: fc.constant(null) }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant("child" as const),
      does: fc.constantFrom(
        "execute" as const,
        "execute" as const,
        "start" as const,
        "start, then result" as const,
        "start, then result" as const,
        "start, signal, then cancel" as const,
      ),
      isNamed: fc.boolean(),
      isDetached: fc.constantFrom(false, false, true),
      isStubborn: fc.constantFrom(false, false, true),
      ending: fc.constantFrom("completed" as const, "completed" as const, "failed" as const),
      wakesMsBefore: fc.constantFrom(0, 0, 7, 300, 1_500),
      ms: someMs,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constantFrom(
        "now" as const,
        "random" as const,
        "uuid" as const,
        "state" as const,
        "attributes" as const,
      ),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant("patched" as const),
      id: fc.constantFrom("one" as const, "two" as const),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant("compensated" as const),
      by: fc.constantFrom("commit" as const, "commit" as const, "broken" as const, "sleep" as const),
      ms: someMs,
    }),
  },
);

const { plan, plans } = fc.letrec<{ plan: Plan; plans: readonly Plan[]; maybe: Plan | null }>((tie) => ({
  plan: fc.oneof(
    { maxDepth: 3, depthSize: "small" },
    { weight: 5, arbitrary: leaf },
    {
      weight: 4,
      arbitrary: fc.record({
        type: fc.constantFrom(
          "sequence" as const,
          "all" as const,
          "race" as const,
          "any" as const,
          "settled" as const,
        ),
        plans: tie("plans"),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        type: fc.constant("loop" as const),
        times: fc.integer({ min: 1, max: 3 }),
        plan: tie("plan"),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        type: fc.constant("try" as const),
        plan: tie("plan"),
        rescue: tie("maybe"),
        cleanup: tie("maybe"),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        type: fc.constant("generator" as const),
        plans: tie("plans"),
        taken: fc.integer({ min: 1, max: 3 }),
        cleanup: tie("maybe"),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        type: fc.constant("helper" as const),
        hops: fc.integer({ min: 1, max: 9 }),
        plan: tie("plan"),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        type: fc.constant("meanwhile" as const),
        plan: tie("plan"),
        other: tie("plan"),
      }),
    },
  ),
  plans: fc.array(tie("plan"), { minLength: 1, maxLength: 3 }),
  maybe: fc.oneof({ weight: 2, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: tie("plan") }),
}));

const eventAtMs = fc.constantFrom(1, 15, 90, 420, 700, 1_500, 2_600, 6_000, 25_000);
const seldom = <Value>(arbitrary: fc.Arbitrary<Value>): fc.Arbitrary<Value | null> =>
  fc.oneof({ weight: 3, arbitrary: fc.constant(null) }, { weight: 1, arbitrary });

export const randomProgram: fc.Arbitrary<RandomProgram> = fc.record({
  plans: fc.array(plan, { minLength: 1, maxLength: 4 }),
  next: fc.oneof({ weight: 6, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: plans }),
  isTolerant: fc.constantFrom(true, true, false),
  failsAtItsEnd: fc.constantFrom(false, false, false, true),
  signals: fc.array(
    fc.record({
      name: fc.constantFrom("a" as const, "a" as const, "b" as const),
      atMs: eventAtMs,
      isRefused: fc.constantFrom(false, false, false, true),
    }),
    { maxLength: 4 },
  ),
  cancelAtMs: seldom(eventAtMs),
  watchAtMs: seldom(eventAtMs),
  latencyTurns: fc.integer({ min: 0, max: 3 }),
});
