import { describe, expectTypeOf, it } from "vitest";
import * as z from "zod";
import type { Cluster } from "../cluster/cluster.ts";
import type { HandlerContext } from "../client/handler-context.ts";
import { rpc } from "../contract/rpc.ts";
import { defineEntity } from "./entity.ts";
import { defineRpcGroup } from "./rpc-group.ts";

declare const cluster: Pick<Cluster, "entity">;
declare const inside: HandlerContext;

const Auditable = defineRpcGroup({
  name: "Auditable",
  rpcs: {
    logAction: rpc({ input: z.object({ action: z.string() }), persisted: true }),
    getAuditLog: rpc({ output: z.array(z.string()) }),
    purge: rpc({ visibility: "protected" }),
  },
});
const Taggable = defineRpcGroup({ name: "Taggable", rpcs: { tag: rpc<string, number>() } });
const User = defineEntity({
  name: "User",
  groups: [Auditable],
  rpcs: { updateEmail: rpc({ input: z.object({ email: z.string() }) }) },
});

const auditable = Auditable.implement({
  async logAction(input, ctx) {
    expectTypeOf(input).toEqualTypeOf<{ action: string }>();
    expectTypeOf(ctx).toEqualTypeOf<HandlerContext>();
  },
  async getAuditLog(_input, _ctx) {
    return [];
  },
  async purge() {},
});
const taggable = Taggable.implement(() => ({ tag: async (text) => text.length }));

describe("an rpc group", () => {
  it("adds its rpcs to the entity's", () => {
    const check = async (): Promise<void> => {
      await cluster.entity(User, "u1").logAction({ action: "login" });
      expectTypeOf(await cluster.entity(User, "u1").getAuditLog()).toEqualTypeOf<string[]>();
      await cluster.entity(User, "u1").updateEmail({ email: "a@example.com" });
      await inside.entity(User, "u1").purge();
      // @ts-expect-error `purge` is protected
      await cluster.entity(User, "u1").purge();
      // @ts-expect-error the action is a string
      await cluster.entity(User, "u1").logAction({ action: 5 });
      // @ts-expect-error the group Taggable is not listed
      await cluster.entity(User, "u1").tag("a");
    };
    expectTypeOf(check).toBeFunction();
  });

  it("is implemented beside the entity's own handlers", () => {
    User.implement(
      {
        async updateEmail(input, ctx) {
          expectTypeOf(input).toEqualTypeOf<{ email: string }>();
          expectTypeOf(ctx).toEqualTypeOf<HandlerContext>();
        },
      },
      { groups: [auditable] },
    );
    User.implement(() => ({ async updateEmail() {} }), { groups: [auditable] });
    // @ts-expect-error a handler of the group is missing
    Auditable.implement({ async logAction() {}, async purge() {} });
    // @ts-expect-error the entity's own handlers are not the group's
    User.implement({ async updateEmail() {}, async logAction() {} }, { groups: [auditable] });
  });

  it("must not be left out", () => {
    // @ts-expect-error the groups are missing
    User.implement({ async updateEmail() {} });
    // @ts-expect-error the group Auditable is missing
    User.implement({ async updateEmail() {} }, {});
    // @ts-expect-error the group Auditable is missing
    User.implement({ async updateEmail() {} }, { groups: [] });
    // @ts-expect-error another group
    User.implement({ async updateEmail() {} }, { groups: [taggable] });
    const Both = defineEntity({ name: "Both", groups: [Auditable, Taggable], rpcs: {} });
    Both.implement({}, { groups: [auditable, taggable] });
    // @ts-expect-error the group Taggable is missing
    Both.implement({}, { groups: [auditable] });
    void (() => cluster.entity(Both, "b").tag("x"));
    void (() => cluster.entity(Both, "b").logAction({ action: "login" }));
    const None = defineEntity({ name: "None", rpcs: { ping: rpc() } });
    // @ts-expect-error the definition lists no groups
    None.implement({ async ping() {} }, { groups: [auditable] });
  });

  it("must not have a member that another one has", () => {
    const Clashing = defineEntity({ name: "Clashing", groups: [Taggable], rpcs: { tag: rpc() } });
    // @ts-expect-error two members are named "tag"
    Clashing.implement({ async tag() {} }, { groups: [taggable] });
    expectTypeOf(Clashing.implement).parameter(0).toEqualTypeOf<{
      readonly mistake: `Two members are named "tag": rename one of them`;
    }>();
    const Other = defineRpcGroup({ name: "Other", rpcs: { tag: rpc() } });
    const Groups = defineEntity({ name: "Groups", groups: [Taggable, Other], rpcs: {} });
    // @ts-expect-error two groups have a member named "tag"
    Groups.implement({}, { groups: [taggable, Other.implement({ async tag() {} })] });
  });
});
