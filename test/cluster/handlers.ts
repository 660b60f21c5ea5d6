import { activity, type Registration } from "@holdfast/core";
import { postgresTx } from "@holdfast/storage-postgres";
import type pg from "pg";
import { Echo, Ledger, Register, Relay, Transfer } from "./definitions.ts";
import { lasting } from "./clock.ts";

/** What the handlers need of their context to leave an effect. */
interface Handling {
  readonly address: { readonly entityType: string; readonly entityId: string; readonly shardId: string };
  readonly requestId: string;
  readonly attempt: number;
  readonly fencingToken: number;
}

interface Effect {
  readonly tag: string;
  readonly key: string;
  readonly value: number | null;
  readonly sender?: string;
  readonly number?: number | null;
  readonly dueAt?: number | undefined;
}

/** The implementations of definitions.ts. @param pool for effects outside of the storage's transaction */
export function registrations(pool: pg.Pool): readonly Registration[] {
  return [ledger, relay, register, echo(pool), transfer];
}

const ledger = Ledger.implement({
  async add(entry, ctx) {
    const { rows } = await postgresTx(ctx).query<{ value: number }>(
      `insert into faults.counters as c (entity_id, value) values ($1, 1)
        on conflict (entity_id) do update set value = c.value + 1 returning value`,
      [ctx.entityId],
    );
    const value = rows[0]?.value ?? -1;
    await leaveEffect(ctx, { ...entry, tag: "add", value });
    if (entry.lastsMs !== undefined) await lasting(entry.lastsMs);
    return value;
  },
});

const relay = Relay.implement({
  // At least once: it may send again, and the key makes that one request.
  pass: ({ entry, ledger: to }, ctx) => ctx.entity(Ledger, to).add(entry, { idempotencyKey: entry.key }),
});

const register = Register.implement({
  async write({ key, value }, ctx) {
    await postgresTx(ctx).query(
      `insert into faults.registers values ($1, $2) on conflict (entity_id) do update set value = excluded.value`,
      [ctx.entityId, value],
    );
    await leaveEffect(ctx, { tag: "write", key, value });
  },
  async read({ key }, ctx) {
    const { rows } = await postgresTx(ctx).query<{ value: number }>(
      `select value from faults.registers where entity_id = $1`,
      [ctx.entityId],
    );
    const value = rows[0]?.value ?? null;
    await leaveEffect(ctx, { tag: "read", key, value });
    return value;
  },
});

const echo = (pool: pg.Pool): Registration =>
  Echo.implement({
    async say({ key }, ctx) {
      await pool.query(`insert into faults.volatile_effects values ($1, $2)`, [key, ctx.entityId]);
      return key;
    },
    count: ({ upTo }) => numbers(upTo),
    keptCount: ({ upTo }) => numbers(upTo),
  });

async function* numbers(upTo: number): AsyncGenerator<number, void, undefined> {
  for (let number = 0; number < upTo; number += 1) {
    await lasting(5);
    yield number;
  }
}

/** A server that is away for a while fails attempts; the activity goes on after. */
const PATIENT = { retries: 1_000, backoff: "constant", initialInterval: "200ms" } as const;

const mark = (name: string) =>
  activity(PATIENT, async (ctx, sleepMs: number): Promise<void> => {
    await postgresTx(ctx).query(
      `insert into faults.activity_effects (execution_id, activity, attempt, sleep_ms, epoch) values ($1, $2, $3, $4, $5)`,
      [ctx.executionId, name, ctx.attempt, sleepMs, ctx.fencingToken],
    );
  });

const transfer = Transfer.implement({
  activities: { debit: mark("debit"), credit: mark("credit"), noteA: mark("noteA"), noteB: mark("noteB") },
  async execute(ctx, { key, ledger: to, sleepMs }) {
    await ctx.activities.debit(sleepMs);
    await ctx.sleep(sleepMs);
    await ctx.activities.credit(sleepMs);
    const entries = await ctx.entity(Ledger, to).add({ key: `${key}/entry`, sender: key, number: null });
    await Promise.all([ctx.activities.noteA(sleepMs), ctx.activities.noteB(sleepMs)]);
    return { entries };
  },
});

async function leaveEffect(ctx: Handling & Parameters<typeof postgresTx>[0], effect: Effect): Promise<void> {
  const { entityType, entityId, shardId } = ctx.address;
  await postgresTx(ctx).query(
    `insert into faults.effects
      (entity_type, entity_id, tag, request_id, key, sender, number, value, due_at, attempt, shard_id, epoch)
      values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
    [
      entityType,
      entityId,
      effect.tag,
      ctx.requestId,
      effect.key,
      effect.sender ?? null,
      effect.number ?? null,
      effect.value,
      effect.dueAt ?? null,
      ctx.attempt,
      shardId,
      ctx.fencingToken,
    ],
  );
}
