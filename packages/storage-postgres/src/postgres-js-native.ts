import { readFile } from "node:fs/promises";
import type { PostgresJsInstance, PostgresJsQuery } from "./postgres-js-module.ts";
import { ARRAYS, parserOf, textOf } from "./value-text.ts";

/** What libraries that wrap postgres.js change on an instance: Drizzle, for one, wants dates as text. */
const CHANGED_BY_OTHERS = ["parsers", "serializers"] as const;

/**
 * A TransactionSql of postgres.js on an instance that has a transaction open: the instance without what would leave the
 * transaction, and with `savepoint`. It refuses every call, and every query that was made and not sent, once there is a refusal.
 *
 * @param deliver sends a query; all those of an instance are sent through one function, each when it is first awaited
 * @returns `restore` makes the instance as it was
 */
export function transactionSql(
  instance: PostgresJsInstance,
  refusal: () => Error | null,
  deliver: PostgresJsQuery["handler"] = instance.unsafe("").handler,
  savepointsNamed: string = "holdfast",
): { readonly sql: unknown; readonly restore: () => void } {
  const before = CHANGED_BY_OTHERS.map((name) => ({ ...instance.options[name] }));
  let savepoints = 0;
  const guarded =
    <Args extends unknown[], Result>(call: (...args: Args) => Result) =>
    (...args: Args): Result => {
      const error = refusal();
      if (error !== null) throw error;
      return call(...args);
    };
  const send = (query: PostgresJsQuery): void => {
    const error = refusal();
    if (error === null) deliver(query);
    else query.reject(error);
  };
  /** What is asked for is a query or a part of one. */
  const held = <Asked>(asked: Asked): Asked => {
    if (isQuery(asked)) asked.handler = send;
    return asked;
  };

  const { types, typed, array, json, PostgresError, options } = instance;
  const unsafe = guarded((...parts: Parameters<PostgresJsInstance["unsafe"]>) =>
    held(instance.unsafe(...parts)),
  );
  const file = guarded((path: string, ...parts: unknown[]) => {
    const asked = instance.file(path, ...parts);
    // postgres.js would send what it read whatever happened meanwhile.
    asked.handler = (query) => void sendFile(path, query, send);
    return asked;
  });
  const ask = guarded((...parts: unknown[]) => held(instance(...parts)));
  const sql = Object.assign(ask, {
    types,
    typed,
    unsafe,
    notify: (channel: string, payload: string) => unsafe("select pg_notify($1, $2)", [channel, payload]),
    array,
    json,
    file,
    PostgresError,
    options,
    savepoint,
    // What would begin a transaction in this one gets a part of it.
    begin: savepoint,
  });
  return {
    sql,
    restore: () => {
      for (const [at, name] of CHANGED_BY_OTHERS.entries()) Object.assign(instance.options[name], before[at]);
    },
  };

  async function savepoint<Result>(
    first: string | ((sql: unknown) => Result),
    second?: (sql: unknown) => Result,
  ): Promise<unknown> {
    const run = second ?? (first as (sql: unknown) => Result);
    savepoints += 1;
    const name = `${savepointsNamed}_${savepoints}`;
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

/**
 * A TransactionSql for a transaction that has not begun: the first query that is sent begins it. Queries are made on an
 * instance that never connects, and sent on that of the transaction, in their order.
 */
export function laterSql(
  unconnected: PostgresJsInstance,
  refusal: () => Error | null,
  begin: () => Promise<{ readonly native: unknown }>,
): unknown {
  nameArrays(unconnected.options);
  const before = CHANGED_BY_OTHERS.map((name) => ({ ...unconnected.options[name] }));
  const adopt = (instance: Pick<PostgresJsInstance, "options">): void => {
    for (const [at, name] of CHANGED_BY_OTHERS.entries()) {
      const changed = Object.entries(unconnected.options[name]).filter(
        ([type, each]) => before[at]?.[Number(type)] !== each,
      );
      Object.assign(instance.options[name], Object.fromEntries(changed));
    }
  };
  const send = async (query: PostgresJsQuery): Promise<void> => {
    try {
      const instance = (await begin()).native as PostgresJsInstance;
      adopt(instance);
      instance.unsafe("").handler(query);
    } catch (error) {
      query.reject(error);
    }
  };
  return transactionSql(unconnected, refusal, (query) => void send(query), "holdfast_later").sql;
}

function isQuery(asked: unknown): asked is PostgresJsQuery {
  return asked instanceof Promise && "handler" in asked;
}

async function sendFile(
  path: string,
  query: PostgresJsQuery,
  send: PostgresJsQuery["handler"],
): Promise<void> {
  try {
    query.strings = [await readFile(path, "utf8")];
    send(query);
  } catch (error) {
    query.reject(error);
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
