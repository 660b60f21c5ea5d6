import { describe, expect, it } from "vitest";
import { rpc } from "../contract/rpc.ts";
import { ConfigError, DefinitionError } from "../errors/config.ts";
import {
  activity,
  activitySettings,
  defineActivityGroup,
  type ActivityOptions,
  type AnyActivity,
} from "./activity-group.ts";
import { defineWorkflow } from "./workflow.ts";

const Order = defineWorkflow<{ id: string }, void>({ name: "Order", key: ({ id }) => id });
const Stock = defineActivityGroup({ name: "Stock", activities: { reserve: activity(async () => 1) } });
const Other = defineActivityGroup({ name: "Other", activities: { reserve: activity(async () => 2) } });
/** Past the types, as plain JavaScript comes. */
const implement = Order.implement as (code: object) => unknown;
const execute = async (): Promise<void> => undefined;

describe("a workflow's definition", () => {
  it("is refused with a hashKey: false that has no key to take as it is", () => {
    const define = (): unknown => defineWorkflow<string, void>({ name: "W", hashKey: false });
    expect(define).toThrow(DefinitionError);
    expect(define).toThrow(/"W" has hashKey: false but no key/);
  });

  it.each(["", "a b", "a/b", "x".repeat(300)])("is refused with the name %j", (name) => {
    expect(() => defineWorkflow<void, void>({ name })).toThrow(/name/i);
  });

  it("is refused with a key that is no function", () => {
    const define = (): unknown => defineWorkflow<{ id: string }, void>({ name: "W", key: "id" as never });
    expect(define).toThrow(DefinitionError);
    expect(define).toThrow(/The key of the workflow "W" is no function/);
  });

  it.each(["false", 0])("is refused with the hashKey %j", (hashKey) => {
    const define = (): unknown =>
      defineWorkflow<string, void>({ name: "W", key: (id) => id, hashKey: hashKey as never });
    expect(define).toThrow(ConfigError);
  });

  function* generator(): Generator<void> {
    // Has a prototype, and is no constructor.
  }
  it.each([[["Broke"]], [[undefined]], [[() => Error]], [Error], [[generator]]])(
    "is refused with errors that are no list of classes: %o",
    (errors) => {
      expect(() => defineWorkflow<void, void>({ name: "W", errors: errors as never })).toThrow(ConfigError);
      expect(() => rpc<void, void>({ errors: errors as never })).toThrow(/^Option "errors" is/);
    },
  );

  it("is refused with a class of errors that does not tell its name", () => {
    class Nameless extends Error {
      static override get name(): string {
        throw new Error("it has none");
      }
    }
    expect(() => defineWorkflow<void, void>({ name: "W", errors: [Nameless] })).toThrow(ConfigError);
  });

  it("names the hidden entity type of its executions", () => {
    expect(Order.implement({ execute })).toMatchObject({ kind: "workflow", entityType: "workflow:Order" });
  });
});

describe("a workflow's implementation", () => {
  it("is refused with an option that there is not, and no guess where none is near", () => {
    expect(() => implement({ run: execute })).toThrow(/"run" .* there is no such option\.$/);
    expect(() => implement({ activity: {}, execute })).toThrow(/Did you mean "activities"\?$/);
  });

  it.each([
    ["without code", {}, /"Order" has no execute/],
    ["that is a function", execute, /"Order" is no object with execute/],
    [
      "whose own activity has the name of a group's",
      { groups: [Stock], activities: { reserve: activity(async () => 3) }, execute },
      /Two activities of the workflow "Order" are named "reserve": "reserve" and "Stock.reserve"/,
    ],
    [
      "of two groups that have an activity of one name",
      { groups: [Stock, Other], execute },
      /are named "reserve": "Stock.reserve" and "Other.reserve"/,
    ],
    [
      "that is given a group twice",
      { groups: [Stock, Stock], execute },
      /The activity group "Stock" is given to the implementation of the workflow "Order" twice\. Give it once\./,
    ],
    [
      "with a plain function for an activity",
      { activities: { reserve: async () => 1 }, execute },
      /"reserve" of the workflow "Order" was not made by activity\(\)/,
    ],
    ["with an activity named then", { activities: { then: activity(async () => 1) }, execute }, /"then"/],
  ])("%s is refused", (_what, code, message) => {
    expect(() => implement(code)).toThrow(DefinitionError);
    expect(() => implement(code)).toThrow(message);
  });
});

describe("an activity", () => {
  it("is not tried again unless it says so, and pauses for a second at first and a minute at most", () => {
    expect(activity(async () => 1).settings).toEqual({
      retries: 0,
      backoff: "exponential",
      initialIntervalMs: 1_000,
      maxIntervalMs: 60_000,
      timeoutMs: null,
      heartbeatTimeoutMs: null,
      nonRetryable: [],
    });
  });

  it("takes durations as text, too", () => {
    const options = {
      initialInterval: "2s",
      maxInterval: "5 minutes",
      timeout: 30,
      heartbeatTimeout: "10s",
    } as const;
    expect(activitySettings(options)).toMatchObject({
      initialIntervalMs: 2_000,
      maxIntervalMs: 300_000,
      timeoutMs: 30,
      heartbeatTimeoutMs: 10_000,
    });
  });

  it.each<[keyof ActivityOptions, unknown]>([
    ["retries", -1],
    ["retries", 1.5],
    ["retries", Number.POSITIVE_INFINITY],
    ["backoff", "linear"],
    ["initialInterval", "soon"],
    ["maxInterval", -1],
    ["timeout", Number.NaN],
    ["heartbeatTimeout", "now"],
  ])("refuses the %s %j", (option, value) => {
    const define = (): AnyActivity => activity({ [option]: value } as ActivityOptions, async () => 1);
    expect(define).toThrow(ConfigError);
    expect(define).toThrow(option);
  });

  it("is refused without a function", () => {
    expect(() => (activity as (options: object) => unknown)({ retries: 1 })).toThrow(DefinitionError);
  });

  it("is refused in a group that was given something else", () => {
    const activities = { reserve: 5 as unknown as AnyActivity };
    expect(() => defineActivityGroup({ name: "Stock", activities })).toThrow(
      /"reserve" of the activity group "Stock" was not made by activity\(\)/,
    );
  });
});
