// Check: reads the database alone, compares it with what callers were told, and says which invariants do not hold.

import { isLinearizable, registerModel, type RegisterOperation } from "@holdfast/testing";
import type pg from "pg";
import { ACTIVITIES } from "./definitions.ts";
import type { History, Operation, OperationKind } from "./history.ts";
import { STREAMED } from "./load.ts";
import { withDatabase } from "./tables.ts";

export interface Findings {
  /** Acknowledged, and without its effect. */
  readonly lost: number;
  /** Effects that are there more than once. */
  readonly doubled: number;
  /** A sentence for each thing that does not hold, the invariant's name first. */
  readonly violations: readonly string[];
}

interface EffectRow {
  readonly position: number;
  readonly entity_type: string;
  readonly entity_id: string;
  readonly tag: string;
  readonly request_id: string;
  readonly key: string;
  readonly sender: string | null;
  readonly number: number | null;
  readonly value: number | null;
  readonly shard_id: string;
  readonly early_ms: number | null;
}

interface ActivityRow {
  readonly execution_id: string;
  readonly activity: string;
  readonly sleep_ms: number;
  readonly written_ms: number;
}

/** The kinds of operations that leave one row in `effects`. */
const WITH_EFFECT: ReadonlySet<OperationKind> = new Set([
  "add",
  "notify",
  "schedule",
  "pass",
  "write",
  "read",
]);

/** Whether work is left that is due: the check is to wait for it. */
export async function workLeft(url: string): Promise<number> {
  return withDatabase(url, async (database) => {
    // What is due in a far future waits for a signal or a call, and those are all answered.
    const { rows } = await database.query<{ count: number }>(
      `select count(*)::int as count from holdfast.pending where coalesce(deliver_at, 0) < 8e15`,
    );
    return rows[0]?.count ?? 0;
  });
}

/** @param url the database of the scenario, when all that was accepted is done */
export async function check(url: string, history: History): Promise<Findings> {
  return withDatabase(url, (database) => new Check(database, history).run());
}

class Check {
  readonly #database: pg.Client;
  readonly #history: History;
  readonly #violations: string[] = [];
  #lost = 0;
  #doubled = 0;

  constructor(database: pg.Client, history: History) {
    this.#database = database;
    this.#history = history;
  }

  async run(): Promise<Findings> {
    const effects = await this.#rows<EffectRow>(
      `select position::int, entity_type, entity_id, tag, request_id, key, sender, number, value, shard_id,
        due_at - extract(epoch from written_at) * 1000 as early_ms from faults.effects order by position`,
    );
    const activities = await this.#rows<ActivityRow>(
      `select execution_id, activity, sleep_ms, (extract(epoch from written_at) * 1000)::float8 as written_ms
        from faults.activity_effects`,
    );
    this.#openOperations();
    await this.#oneEpochAtATime();
    this.#onceEach(effects);
    await this.#counters(effects);
    this.#order(effects);
    await this.#replies(effects);
    this.#executions(activities, effects);
    this.#timers(effects);
    await this.#volatile();
    this.#streams();
    this.#registers();
    await this.#deadLetters();
    return { lost: this.#lost, doubled: this.#doubled, violations: this.#violations };
  }

  #openOperations(): void {
    for (const { key, kind } of this.#history.open)
      this.#broken("INV-2", `${kind} ${key} was never answered`);
  }

  /**
   * Before an epoch is claimed, every write under the one before it is committed (INV-1). `written_at` and positions are
   * of the time before the commit, so that the times of the commits themselves are compared, too.
   */
  async #oneEpochAtATime(): Promise<void> {
    const shardOfExecution = `(select q.shard_id from holdfast.requests q
      where q.entity_type = 'workflow:Transfer' and q.entity_id = a.execution_id limit 1)`;
    const rows = await this.#rows<{ shard_id: string; epoch: number; claimed: number; what: string }>(
      `with writes as (
        select shard_id, epoch, position, pg_xact_commit_timestamp(xmin) as committed_at, 'effect ' || key as what
          from faults.effects
        union all
        select ${shardOfExecution}, epoch, position, pg_xact_commit_timestamp(xmin), 'activity ' || execution_id || activity
          from faults.activity_effects a
      )
      select w.shard_id, w.epoch::int, c.epoch::int as claimed, w.what from writes w
        join faults.claims c on c.shard_id = w.shard_id and c.epoch > w.epoch
        where w.committed_at > pg_xact_commit_timestamp(c.xmin)`,
    );
    for (const { shard_id, epoch, claimed, what } of rows)
      this.#broken(
        "INV-1",
        `${what} was written to ${shard_id} under epoch ${epoch} after epoch ${claimed} was claimed`,
      );
    const unclaimed = await this.#rows<{ shard_id: string; epoch: number }>(
      `select shard_id, epoch::int from faults.effects e
        where not exists (select 1 from faults.claims c where c.shard_id = e.shard_id and c.epoch = e.epoch)`,
    );
    for (const { shard_id, epoch } of unclaimed)
      this.#broken("INV-1", `${shard_id} was written under epoch ${epoch}, which nobody claimed`);
    const order = await this.#rows<{ shard_id: string; epoch: number; after: number }>(
      `select shard_id, epoch::int, after::int from (
        select shard_id, epoch, max(epoch) over (partition by shard_id order by position) as after from faults.effects
      ) o where epoch < after`,
    );
    for (const { shard_id, epoch, after } of order)
      this.#broken("INV-1", `${shard_id} was written under epoch ${epoch} after it was under ${after}`);
  }

  /** What was acknowledged has its effect once, and what failed has it at most once (INV-2, INV-3). */
  #onceEach(effects: readonly EffectRow[]): void {
    const byKey = grouped(effects, ({ key }) => key);
    const byRequest = grouped(effects, ({ request_id }) => request_id);
    for (const [key, rows] of byKey) if (rows.length > 1) this.#double(`${key} has ${rows.length} effects`);
    for (const [id, rows] of byRequest)
      if (rows.length > 1) this.#broken("INV-3", `request ${id} has ${rows.length} effects: ${rows[0]?.key}`);
    for (const { key, kind, outcome } of this.#history.operations) {
      if (outcome === "ok" && WITH_EFFECT.has(kind) && !byKey.has(key))
        this.#lose(`${kind} ${key} was acknowledged and has no effect`);
    }
  }

  /** Each counter counted each of its entries. */
  async #counters(effects: readonly EffectRow[]): Promise<void> {
    const counters = await this.#rows<{ entity_id: string; value: number }>(`select * from faults.counters`);
    const added = grouped(
      effects.filter(({ tag }) => tag === "add"),
      ({ entity_id }) => entity_id,
    );
    for (const { entity_id, value } of counters) {
      const values = (added.get(entity_id) ?? [])
        .map((effect) => effect.value ?? -1)
        .toSorted((a, b) => a - b);
      if (values.length !== value || values.some((each, index) => each !== index + 1))
        this.#broken(
          "INV-3",
          `the counter of ${entity_id} is at ${value}, and its entries say ${values.join(" ")}`,
        );
    }
  }

  /** Of one sender and entity, what was accepted earlier was handled earlier (INV-4). What failed may come at any time. */
  #order(effects: readonly EffectRow[]): void {
    const answered = new Set(this.#history.answered.map(({ key }) => key));
    const ordered = effects.filter(({ key, number }) => number !== null && answered.has(key));
    for (const [of, rows] of grouped(ordered, ({ sender, entity_id }) => `${sender} at ${entity_id}`)) {
      let last = 0;
      for (const { number } of rows.toSorted((a, b) => (a.value ?? 0) - (b.value ?? 0))) {
        if ((number ?? 0) < last) this.#broken("INV-4", `entry ${number} of ${of} came after ${last}`);
        last = Math.max(last, number ?? 0);
      }
    }
  }

  /** Callers were told what is recorded, and it does not change (INV-6). */
  async #replies(effects: readonly EffectRow[]): Promise<void> {
    const changed = await this.#rows<{ sequence: string }>(
      `select sequence::text from faults.changed_replies where old_data <> new_data`,
    );
    for (const { sequence } of changed) this.#broken("INV-6", `the reply of request ${sequence} was changed`);
    const valueOf = new Map(effects.map(({ key, value }) => [key, value]));
    for (const { key, kind, value } of this.#history.answered) {
      if (
        (kind === "add" || kind === "pass" || kind === "read") &&
        valueOf.has(key) &&
        valueOf.get(key) !== value
      )
        this.#broken(
          "INV-6",
          `${kind} ${key} was answered ${String(value)}, and ${valueOf.get(key)} was recorded`,
        );
    }
    const recorded = await this.#rows<{ key: string; value: number | null; ok: boolean; data: string }>(
      `select e.key, e.value, r.ok, r.data from faults.effects e join holdfast.requests q using (request_id)
        join holdfast.replies r using (sequence) where e.tag = 'add'`,
    );
    for (const { key, value, ok, data } of recorded)
      if (!ok || !data.includes(String(value)))
        this.#broken("INV-6", `${key} left ${value}, and its reply is ${ok ? data : "an error"}`);
  }

  /** Each execution that was answered did each of its activities once, and its sleep was as long as it said (INV-7). */
  #executions(activities: readonly ActivityRow[], effects: readonly EffectRow[]): void {
    const byExecution = grouped(activities, ({ execution_id }) => execution_id);
    const entries = grouped(effects, ({ key }) => key);
    for (const [id, rows] of byExecution) {
      for (const name of ACTIVITIES) {
        const times = rows.filter(({ activity }) => activity === name).length;
        if (times > 1) this.#double(`execution ${id} has ${times} effects of ${name}`);
      }
      const debit = rows.find(({ activity }) => activity === "debit");
      const credit = rows.find(({ activity }) => activity === "credit");
      // Both are rounded to a millisecond on their way.
      if (
        debit !== undefined &&
        credit !== undefined &&
        credit.written_ms - debit.written_ms < debit.sleep_ms - 2
      )
        this.#broken("INV-7", `execution ${id} slept for less than ${debit.sleep_ms} ms`);
    }
    for (const { key } of this.#history.answered.filter(({ kind }) => kind === "transfer")) {
      const rows = byExecution.get(key) ?? [];
      for (const name of ACTIVITIES)
        if (!rows.some(({ activity }) => activity === name))
          this.#lose(`execution ${key} ended and has no effect of ${name}`);
      if (!entries.has(`${key}/entry`)) this.#lose(`execution ${key} ended and its entry is missing`);
    }
  }

  #timers(effects: readonly EffectRow[]): void {
    for (const { key, early_ms } of effects)
      if (early_ms !== null && early_ms > 2) this.#broken("INV-7", `${key} was handled ${early_ms} ms early`);
  }

  /** A volatile request runs at most once, and did if it was answered. */
  async #volatile(): Promise<void> {
    const rows = await this.#rows<{ key: string; count: number }>(
      `select key, count(*)::int as count from faults.volatile_effects group by key`,
    );
    const counts = new Map(rows.map(({ key, count }) => [key, count]));
    for (const [key, count] of counts) if (count > 1) this.#double(`the volatile ${key} ran ${count} times`);
    for (const { key, value } of this.#history.answered.filter(({ kind }) => kind === "say")) {
      if (!counts.has(key)) this.#lose(`the volatile ${key} was answered and never ran`);
      if (value !== key) this.#broken("INV-6", `${key} was answered ${String(value)}`);
    }
  }

  #streams(): void {
    for (const { key, kind, value } of this.#history.answered) {
      if ((kind === "count" || kind === "keptCount") && JSON.stringify(value) !== JSON.stringify(STREAMED))
        this.#broken("INV-2", `the stream ${key} gave ${JSON.stringify(value)}`);
    }
  }

  #registers(): void {
    const operations = this.#history.operations.filter(
      ({ kind, outcome }) => kind === "write" || (kind === "read" && outcome === "ok"),
    );
    for (const [id, ofOne] of grouped(operations, ({ entityId }) => entityId)) {
      if (!isLinearizable(registerModel, ofOne.map(registerOperation)))
        this.#broken("INV-3", `${id} is not linearizable`);
    }
  }

  async #deadLetters(): Promise<void> {
    const rows = await this.#rows<{ tag: string; attempts: number; error: string }>(
      `select q.tag, d.attempts, d.error from holdfast.dead_letters d join holdfast.requests q using (sequence)`,
    );
    for (const { tag, attempts, error } of rows)
      this.#broken("INV-2", `a request ${tag} is a dead letter after ${attempts} attempts: ${error}`);
  }

  async #rows<Row extends object>(text: string): Promise<readonly Row[]> {
    return (await this.#database.query<Row>(text)).rows;
  }

  #lose(what: string): void {
    this.#lost += 1;
    this.#broken("INV-2", what);
  }

  #double(what: string): void {
    this.#doubled += 1;
    this.#broken("INV-3", what);
  }

  #broken(invariant: string, what: string): void {
    this.#violations.push(`${invariant}: ${what}`);
  }
}

function registerOperation({
  kind,
  input,
  value,
  invokedAt,
  completedAt,
  outcome,
}: Operation): RegisterOperation {
  return {
    input: kind === "write" ? { kind: "write", value: input ?? 0 } : { kind: "read" },
    output: kind === "write" ? null : (value as number | null),
    invokedAt,
    completedAt: outcome === "ok" ? (completedAt ?? Infinity) : Infinity,
  };
}

function grouped<Item>(
  items: readonly Item[],
  keyOf: (item: Item) => string,
): ReadonlyMap<string, readonly Item[]> {
  const groups = new Map<string, Item[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}
