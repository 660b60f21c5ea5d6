import { describe, expectTypeOf, it } from "vitest";
import { rpc } from "../contract/rpc.ts";
import { activity, defineActivityGroup } from "../define/activity-group.ts";
import { defineEntity } from "../define/entity.ts";
import { defineRpcGroup } from "../define/rpc-group.ts";
import { defineWorkflow } from "../define/workflow.ts";
import type { Registrable, Registration } from "./registration.ts";

const Counter = defineEntity({ name: "Counter", rpcs: { add: rpc<number, number>() } });
const Order = defineWorkflow<{ id: string }, string>({ name: "Order" });
const Audited = defineRpcGroup({ name: "Audited", rpcs: { log: rpc<string, void>() } });
const Stock = defineActivityGroup({ name: "Stock", activities: { reserve: activity(async () => "r") } });

declare function register(...registrations: readonly Registrable[]): void;

describe("register", () => {
  it("takes implementations", () => {
    expectTypeOf(Counter.implement({ add: (n) => n })).toExtend<Registration>();
    expectTypeOf(Order.implement({ execute: async (_ctx, { id }) => id })).toExtend<Registration>();
  });

  it("takes lists of them, whose members code tells apart by their kind", () => {
    const list: Registration[] = [
      Counter.implement({ add: (n) => n }),
      Order.implement({ execute: async (_ctx, { id }) => id }),
    ];
    register(...list);
    const nameOf = (each: Registration): string => {
      switch (each.kind) {
        case "entity":
        case "workflow":
          return each.contract.name;
        case "singleton":
        case "cron":
          return each.name;
      }
    };
    expectTypeOf(list.map(nameOf)).toEqualTypeOf<string[]>();
    expectTypeOf<Registration["kind"]>().toEqualTypeOf<"entity" | "workflow" | "singleton" | "cron">();
  });

  it("says of a definition, and of a group, what is to be registered", () => {
    // @ts-expect-error a definition
    register(Counter);
    // @ts-expect-error a definition
    register(Order);
    // @ts-expect-error a group
    register(Stock);
    // @ts-expect-error the implementation of a group
    register(Audited.implement({ log: () => undefined }));
    type SaidOf<Kind> = Extract<Registrable, { readonly mistake: string; readonly kind: Kind }>["mistake"];
    expectTypeOf<
      SaidOf<"entity-definition" | "workflow-definition">
    >().toEqualTypeOf<"This is a definition: register what its implement() returns">();
    expectTypeOf<
      SaidOf<"rpc-group" | "rpc-group-implementation" | "activity-group">
    >().toEqualTypeOf<"This is a group: register what implement() of its entity or workflow returns">();
  });
});
