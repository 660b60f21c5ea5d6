import { transactionOver } from "./guarded-client.ts";
import type { PostgresJsInstance } from "./postgres-js-module.ts";
import { ARRAYS, parserOf, textOf } from "./value-text.ts";

/** What libraries that wrap postgres.js change on an instance: Drizzle, for one, wants dates as text. */
const CHANGED_BY_OTHERS = ["parsers", "serializers"] as const;

/**
 * A TransactionSql of postgres.js on an instance that has a transaction open: the instance without what would leave the
 * transaction, and with `savepoint`. After `end` it refuses every call, and the instance is as it was.
 */
export function transactionSql(instance: PostgresJsInstance): {
  readonly sql: unknown;
  readonly end: () => void;
} {
  const before = CHANGED_BY_OTHERS.map((name) => ({ ...instance.options[name] }));
  let isOver = false;
  let savepoints = 0;
  const guarded =
    <Args extends unknown[], Result>(call: (...args: Args) => Result) =>
    (...args: Args): Result => {
      if (isOver) throw transactionOver();
      return call(...args);
    };

  const { types, typed, array, json, PostgresError, options } = instance;
  const unsafe = guarded((...parts: Parameters<PostgresJsInstance["unsafe"]>) => instance.unsafe(...parts));
  const sql = Object.assign(guarded(instance), {
    types,
    typed,
    unsafe,
    notify: guarded((channel: string, payload: string) => instance.notify(channel, payload)),
    array,
    json,
    file: guarded((...parts: unknown[]) => instance.file(...parts)),
    PostgresError,
    options,
    savepoint,
    // What would begin a transaction in this one gets a part of it.
    begin: savepoint,
  });
  return {
    sql,
    end: () => {
      isOver = true;
      for (const [at, name] of CHANGED_BY_OTHERS.entries()) Object.assign(instance.options[name], before[at]);
    },
  };

  async function savepoint<Result>(
    first: string | ((sql: unknown) => Result),
    second?: (sql: unknown) => Result,
  ): Promise<unknown> {
    const run = second ?? (first as (sql: unknown) => Result);
    savepoints += 1;
    const name = `holdfast_${savepoints}`;
    await unsafe(`SAVEPOINT ${name}`);
    try {
      const result: unknown = await run(sql);
      return Array.isArray(result) ? await Promise.all(result) : result;
    } catch (error) {
      await unsafe(`ROLLBACK TO SAVEPOINT ${name}`);
      throw error;
    }
  }
}

/** Tells an instance what postgres.js would ask the server for: which types are arrays, and of what. */
export function nameArrays({ parsers, serializers, shared }: PostgresJsInstance["options"]): void {
  for (const [element, array] of Object.entries(ARRAYS)) {
    shared.typeArrayMap[Number(element)] = array;
    parsers[array] ??= parserOf(array);
    serializers[array] ??= textOf;
  }
}
