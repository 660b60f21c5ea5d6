import { defineEntity, defineRpcGroup, rpc, type EntityImplementation } from "@holdfast/core";
import type { Database } from "@holdfast/example-orders/database.ts";
import { postgresTx } from "@holdfast/storage-postgres";
import * as z from "zod";

/** What may be audited. */
export const Auditable = defineRpcGroup({
  name: "Auditable",
  rpcs: {
    logAction: rpc({ input: z.object({ action: z.string() }), persisted: true }),
    getAuditLog: rpc({ output: z.array(z.string()) }),
  },
});

/** What counts its changes. */
export const Versioned = defineRpcGroup({
  name: "Versioned",
  rpcs: { getVersion: rpc({ output: z.int() }) },
});

/** An entity that has both groups, and something of its own. */
export const User = defineEntity({
  name: "User",
  groups: [Auditable, Versioned],
  rpcs: {
    updateEmail: rpc({ input: z.object({ email: z.email() }), output: z.int(), persisted: true }),
    getEmail: rpc({ output: z.string() }),
  },
});

export function userOf(database: Database): EntityImplementation {
  const auditable = Auditable.implement({
    async logAction({ action }, ctx) {
      await postgresTx(ctx).query("insert into suite.audit_log (user_id, action) values ($1, $2)", [
        ctx.entityId,
        action,
      ]);
    },
    async getAuditLog(_input, ctx) {
      const { rows } = await database.query<{ action: string }>(
        "select action from suite.audit_log where user_id = $1 order by n",
        [ctx.entityId],
      );
      return rows.map(({ action }) => action);
    },
  });
  const read = async (userId: string): Promise<{ email: string; version: number }> => {
    const { rows } = await database.query<{ email: string; version: number }>(
      "select email, version from suite.users where id = $1",
      [userId],
    );
    return rows[0] ?? { email: "", version: 0 };
  };
  const versioned = Versioned.implement({
    getVersion: async (_input, ctx) => (await read(ctx.entityId)).version,
  });
  return User.implement(
    {
      async updateEmail({ email }, ctx) {
        const { rows } = await postgresTx(ctx).query<{ version: number }>(
          `insert into suite.users (id, email, version) values ($1, $2, 1)
           on conflict (id) do update set email = $2, version = suite.users.version + 1 returning version`,
          [ctx.entityId, email],
        );
        return rows[0]?.version ?? 0;
      },
      getEmail: async (_input, ctx) => (await read(ctx.entityId)).email,
    },
    { groups: [auditable, versioned] },
  );
}
