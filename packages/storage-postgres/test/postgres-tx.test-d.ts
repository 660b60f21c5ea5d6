import type {
  ActivityContext,
  CronContext,
  HandlerContext,
  SingletonContext,
  WorkflowContext,
} from "@holdfast/core";
import { describe, expectTypeOf, it } from "vitest";
import { postgresTx, type PostgresTx } from "../src/index.ts";

declare const handler: HandlerContext;
declare const activity: ActivityContext;
declare const workflow: WorkflowContext;
declare const cron: CronContext;
declare const singleton: SingletonContext;

describe("postgresTx", () => {
  it("takes the contexts that have a transaction, and no others", () => {
    const check = (): void => {
      expectTypeOf(postgresTx(handler)).toEqualTypeOf<PostgresTx>();
      expectTypeOf(postgresTx(activity)).toEqualTypeOf<PostgresTx>();
      expectTypeOf(postgresTx(cron)).toEqualTypeOf<PostgresTx>();
      expectTypeOf(postgresTx<number>(handler).native).toEqualTypeOf<number>();
      // @ts-expect-error what a workflow's code writes belongs into an activity
      postgresTx(workflow);
      // @ts-expect-error a singleton's run leaves no record to commit with
      postgresTx(singleton);
    };
    expectTypeOf(check).toBeFunction();
  });
});
