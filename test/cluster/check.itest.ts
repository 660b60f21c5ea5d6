// The check itself: it must find what is planted, or its silence says nothing.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createCluster } from "@holdfast/core";
import { check, type Findings } from "./check.ts";
import { History, type OperationKind } from "./history.ts";
import { servicesOrReason, type StartedServices } from "./services.ts";
import { createDatabase, watchTables, withDatabase } from "./tables.ts";

const EFFECT = `insert into faults.effects
  (entity_type, entity_id, tag, request_id, key, sender, number, value, due_at, attempt, shard_id, epoch) values`;

describe("the check of a history", () => {
  let services: StartedServices | string = "they were not started";
  let databases = 0;

  beforeAll(async () => {
    services = await servicesOrReason();
  });

  afterAll(async () => {
    if (typeof services !== "string") await services.stop();
  });

  /** Finds what is wrong with these rows, after these operations were acknowledged or left open. */
  async function findings(
    statements: readonly string[],
    operations: readonly {
      kind: OperationKind;
      key: string;
      number?: number;
      value?: unknown;
      outcome?: "ok" | "unknown" | "open";
    }[] = [],
  ): Promise<Findings | null> {
    if (typeof services === "string") return null;
    databases += 1;
    const url = await createDatabase(services.postgres.url, `check_${databases}`);
    await using cluster = await createCluster({ storage: url, runners: url, role: "client" });
    await cluster.start();
    await watchTables(url);
    for (const statement of statements) await withDatabase(url, (database) => database.query(statement));
    const history = new History();
    for (const { kind, key, number = null, value, outcome = "ok" } of operations) {
      const run = (): Promise<unknown> => {
        if (outcome === "open") return new Promise(() => undefined);
        return outcome === "ok" ? Promise.resolve(value) : Promise.reject(new Error("unknown"));
      };
      const noted = history.record({ kind, key, number, entityId: "l", sender: "s" }, run);
      if (outcome !== "open") await noted;
    }
    return check(url, history);
  }

  const claim = (epoch: number): string =>
    `insert into holdfast.shards values ('default:1', ${epoch}) on conflict (shard_id) do update set epoch = ${epoch}`;
  const effect = (
    key: string,
    value: number,
    more: { epoch?: number; number?: number; due?: string } = {},
  ): string =>
    `${EFFECT} ('Ledger', 'l', 'add', 'request-${key}', '${key}', 's', ${more.number ?? "null"}, ${value},
      ${more.due ?? "null"}, 1, 'default:1', ${more.epoch ?? 1})`;
  const counter = (value: number): string => `insert into faults.counters values ('l', ${value})`;
  const activities = (names: readonly string[]): string =>
    `insert into faults.activity_effects (execution_id, activity, attempt, sleep_ms, epoch) values
      ${names.map((name) => `('w', '${name}', 1, 50, 1)`).join(", ")}`;

  it("finds nothing where nothing is wrong", async () => {
    const found = await findings(
      [
        claim(1),
        effect("a", 1, { number: 1 }),
        claim(2),
        effect("b", 2, { epoch: 2, number: 2 }),
        counter(2),
      ],
      [
        { kind: "add", key: "a", number: 1, value: 1 },
        { kind: "add", key: "b", number: 2, value: 2 },
      ],
    );
    if (found !== null) expect(found).toEqual({ lost: 0, doubled: 0, violations: [] });
  });

  it.each<[string, string, readonly string[], Parameters<typeof findings>[1]]>([
    ["a lost effect", "INV-2", [claim(1)], [{ kind: "add", key: "a", value: 1 }]],
    ["a request that was never answered", "INV-2", [], [{ kind: "add", key: "a", outcome: "open" }]],
    ["a doubled effect", "INV-3", [claim(1), effect("a", 1), effect("a", 2), counter(2)], []],
    [
      "a doubled effect of an unknown outcome",
      "INV-3",
      [claim(1), effect("a", 1), effect("a", 2), counter(2)],
      [{ kind: "add", key: "a", outcome: "unknown" }],
    ],
    ["a counter that is ahead of its entries", "INV-3", [claim(1), effect("a", 1), counter(2)], []],
    [
      "entries of one sender out of order",
      "INV-4",
      [claim(1), effect("b", 1, { number: 2 }), effect("a", 2, { number: 1 }), counter(2)],
      [
        { kind: "notify", key: "a", number: 1 },
        { kind: "notify", key: "b", number: 2 },
      ],
    ],
    [
      "a write under an epoch that is over",
      "INV-1: effect a was written",
      [claim(1), claim(2), effect("a", 1, { epoch: 1 }), counter(1)],
      [],
    ],
    [
      "a write under an epoch that nobody claimed",
      "INV-1",
      [claim(1), effect("a", 1, { epoch: 7 }), counter(1)],
      [],
    ],
    [
      "an answer that is not what was recorded",
      "INV-6",
      [claim(1), effect("a", 1), counter(1)],
      [{ kind: "add", key: "a", value: 5 }],
    ],
    [
      "a reply that changed",
      "INV-6",
      [
        `insert into holdfast.replies (sequence, entity_type, ok, data, answered_at) values (1, 'Ledger', true, '1', 0)`,
        `update holdfast.replies set data = '2'`,
      ],
      [],
    ],
    [
      "an effect before it was due",
      "INV-7",
      [
        claim(1),
        effect("a", 1, { due: "(extract(epoch from clock_timestamp()) * 1000 + 5000)::bigint" }),
        counter(1),
      ],
      [],
    ],
    ["a sleep that was cut short", "INV-7", [claim(1), activities(["debit", "credit"])], []],
    ["an activity that ran twice", "INV-3", [claim(1), activities(["noteA", "noteA"])], []],
    [
      "an execution without one of its activities",
      "INV-2",
      [claim(1), activities(["debit"])],
      [{ kind: "transfer", key: "w" }],
    ],
    [
      "a volatile request that ran twice",
      "INV-3",
      [`insert into faults.volatile_effects values ('a', 'e'), ('a', 'e')`],
      [],
    ],
    ["a stream with a gap", "INV-2", [], [{ kind: "keptCount", key: "a", value: [0, 2] }]],
  ])("finds %s", async (_, invariant, statements, operations) => {
    const found = await findings(statements, operations);
    if (found !== null) expect(found.violations.join("\n")).toContain(invariant);
  });
});
