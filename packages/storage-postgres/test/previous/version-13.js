// The storage of schema version 13, bundled from src/ as it was then: for upgrade.itest.ts, in which members of that release
// work beside those of this one. Not to be edited.

var __defProp = Object.defineProperty;
var __getOwnPropNames = Object.getOwnPropertyNames;
var __esm = (fn, res, err) => function __init() {
  if (err) throw err[0];
  try {
    return fn && (res = (0, fn[__getOwnPropNames(fn)[0]])(fn = 0)), res;
  } catch (e) {
    throw err = [e], e;
  }
};
var __export = (target, all) => {
  for (var name in all)
    __defProp(target, name, { get: all[name], enumerable: true });
};

// src/errors.ts
import { FencedError, PersistenceError, SerializationError } from "@holdfast/core/adapter";
function failureOf(error, wasSent, isSettled = false) {
  if (error instanceof SqlFailure) return error;
  const sqlState = sqlStateOf(error);
  const message = sqlState === null ? describe(error) : `${sqlState}: ${describe(error)}`;
  const outcome = !wasSent || isPlainError(error) ? "not-written" : "unknown";
  return new SqlFailure(
    {
      outcome,
      sqlState,
      message,
      serverDetail: fieldOf(error, "detail"),
      constraint: constraintOf(error),
      isSettled
    },
    { cause: error }
  );
}
function undone(error) {
  const { sqlState, message, serverDetail, constraint } = failureOf(error, false);
  return new SqlFailure(
    { outcome: "not-written", sqlState, message, serverDetail, constraint },
    { cause: error }
  );
}
function failureOfCommit(error) {
  const { outcome, sqlState, message, serverDetail, constraint } = failureOf(error, true);
  const isOfCommit = outcome === "not-written";
  return new SqlFailure(
    { outcome, sqlState, message, serverDetail, constraint, isOfCommit },
    { cause: error }
  );
}
function isPlainError(error) {
  const sqlState = sqlStateOf(error);
  const severity = fieldOf(error, "severity");
  if (sqlState === null || severity === null) return false;
  if (severity === "ERROR") return true;
  return severity !== "FATAL" && severity !== "PANIC" && !MAY_END_SESSION.test(sqlState);
}
function isSpoilt(error) {
  return isReadOnly(error) || isForgotten(error);
}
function isForgotten(error) {
  return sqlStateOf(error) === "26000";
}
function isReadOnly(error) {
  return sqlStateOf(error) === "25006";
}
function isAborted(error) {
  return sqlStateOf(error) === "25P02";
}
function mayBeOneRow(error) {
  if (!(error instanceof SqlFailure) || error.outcome !== "not-written" || error.sqlState === null)
    return false;
  return error.sqlState === "57014" || !/^(?:08|25|53|57|58|F0|XX)/.test(error.sqlState);
}
function isRefusedCommit(failure) {
  return failure.isOfCommit && mayBeOneRow(failure);
}
function isTransient(error) {
  const sqlState = sqlStateOf(error);
  return sqlState === "40001" || sqlState === "40P01" || sqlState === "55P03" || isOutdated(error);
}
function isOutdated(error) {
  return sqlStateOf(error) === "0A000" && fieldOf(error, "routine") === "RevalidateCachedQuery";
}
function persistenceError(operation, error) {
  if (error instanceof PersistenceError) return error;
  const failure = failureOf(error, true);
  return new PersistenceError(
    { operation, outcome: failure.outcome, detail: failure.message },
    { cause: failure }
  );
}
function lostTransaction(error) {
  return persistenceError("a transaction", undone(error));
}
function fencedError(fence, current2) {
  return new FencedError({ shardId: fence.shardId, epoch: fence.epoch, current: current2 });
}
function closedError(operation) {
  return new PersistenceError({
    operation,
    outcome: "not-written",
    detail: "this session of the storage was closed"
  });
}
function isStorable(value) {
  return !value.includes("\0") && value.isWellFormed();
}
function assertStorable(value, what) {
  if (isStorable(value)) return;
  const problem = value.includes("\0") ? "a text with a NUL character" : "a text with half of a surrogate pair";
  throw new SerializationError({ what, path: "", problem });
}
function sqlStateOf(error) {
  const code = error instanceof SqlFailure ? error.sqlState : fieldOf(error, "code");
  return code !== null && /^[0-9A-Z]{5}$/.test(code) && fieldOf(error, "severity") !== null ? code : error instanceof SqlFailure ? code : null;
}
function describe(error) {
  if (!(error instanceof Error)) return typeof error;
  if (error.message !== "") return error.message;
  return fieldOf(error, "code") ?? error.name;
}
function constraintOf(error) {
  const schema = fieldOf(error, "schema") ?? fieldOf(error, "schema_name");
  const constraint = fieldOf(error, "constraint") ?? fieldOf(error, "constraint_name");
  return schema === null || constraint === null ? null : `${schema}.${constraint}`;
}
function fieldOf(error, field) {
  if (typeof error !== "object" || error === null || !(field in error)) return null;
  const value = error[field];
  return typeof value === "string" ? value : null;
}
var FENCED_STATE, SqlFailure, MAY_END_SESSION;
var init_errors = __esm({
  "src/errors.ts"() {
    "use strict";
    FENCED_STATE = "HF001";
    SqlFailure = class extends Error {
      name = "SqlFailure";
      /** `not-written` if its transaction surely did not commit. */
      outcome;
      /** The server's five-character code, or null where the failure was not the server's. */
      sqlState;
      /** The server's DETAIL. May hold values: for our own states only, never for messages. */
      serverDetail;
      /** What was violated, as `schema.constraint`. */
      constraint;
      /** Of an unknown outcome: the server process is gone, so that what is not written now never will be. */
      isSettled;
      /** The server refused COMMIT itself: every statement before it had passed. */
      isOfCommit;
      constructor(failure, options) {
        super(failure.message, options);
        this.outcome = failure.outcome;
        this.sqlState = failure.sqlState;
        this.serverDetail = failure.serverDetail ?? null;
        this.constraint = failure.constraint ?? null;
        this.isSettled = failure.isSettled ?? false;
        this.isOfCommit = failure.isOfCommit ?? false;
      }
    };
    MAY_END_SESSION = /^(?:08|28|3D|53|57P|58|F0|XX|25P0[34])/;
  }
});

// src/guarded-client.ts
import { TransactionUnavailableError } from "@holdfast/core/adapter";
function guardedClient(client, methods, refusal) {
  return new Proxy(client, {
    get(target, property) {
      const value = Reflect.get(target, property, target);
      if (typeof value !== "function" || !methods.includes(String(property))) return value;
      return (...args) => {
        const error = refusal();
        if (error === null) return Reflect.apply(value, target, args);
        const callback = args.at(-1);
        if (typeof callback === "function") {
          callback(error);
          return void 0;
        }
        if (isSubmittable(args[0])) throw error;
        return Promise.reject(error);
      };
    }
  });
}
function isSubmittable(query) {
  return typeof query === "object" && query !== null && "submit" in query;
}
function transactionOver() {
  return new TransactionUnavailableError({
    wanted: TRANSACTION_KIND,
    why: "it is over: the handler that it belonged to has ended"
  });
}
var TRANSACTION_KIND;
var init_guarded_client = __esm({
  "src/guarded-client.ts"() {
    "use strict";
    TRANSACTION_KIND = "postgres";
  }
});

// src/session-settings.ts
function sessionSettings(limits) {
  return {
    lock_timeout: limits.lockTimeoutMs,
    statement_timeout: Math.max(10, Math.floor(limits.statementDeadlineMs * SERVER_SHARE)),
    idle_in_transaction_session_timeout: limits.idleTransactionTimeoutMs
  };
}
function connectDeadline({ statementDeadlineMs }) {
  return Math.min(statementDeadlineMs, 1e4);
}
function beginText(limits, isOurs) {
  const settings = isOurs ? [] : Object.entries(sessionSettings(limits)).map(([name, ms]) => `SET LOCAL ${name} = ${ms}`);
  return ["BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", ...settings].join("; ");
}
var SERVER_SHARE;
var init_session_settings = __esm({
  "src/session-settings.ts"() {
    "use strict";
    SERVER_SHARE = 0.8;
  }
});

// src/turnstile.ts
var Turnstile;
var init_turnstile = __esm({
  "src/turnstile.ts"() {
    "use strict";
    Turnstile = class {
      #capacity;
      #waiting = [];
      #inside = 0;
      constructor(capacity) {
        this.#capacity = capacity;
      }
      /** Resolves to what lets the next one in, to be called once; further calls do nothing. Null: nobody left in time. */
      async enter(patienceMs) {
        if (this.#inside < this.#capacity) {
          this.#inside += 1;
          return this.#leaver();
        }
        return new Promise((resolve2) => {
          const admit = () => {
            clearTimeout(timer);
            resolve2(this.#leaver());
          };
          const timer = setTimeout(() => {
            this.#waiting.splice(this.#waiting.indexOf(admit), 1);
            resolve2(null);
          }, patienceMs);
          this.#waiting.push(admit);
        });
      }
      #leaver() {
        let isInside = true;
        return () => {
          if (!isInside) return;
          isInside = false;
          const next = this.#waiting.shift();
          if (next === void 0) this.#inside -= 1;
          else next();
        };
      }
    };
  }
});

// src/within.ts
async function within(work, deadlineMs, what, late = () => void 0) {
  let timer;
  let isLate = false;
  const deadline = new Promise((_resolve, reject) => {
    timer = setTimeout(() => {
      isLate = true;
      reject(new Error(`${what} within ${deadlineMs} ms`));
    }, deadlineMs);
  });
  work.then(
    (result) => {
      if (isLate) late(result);
    },
    () => void 0
  );
  try {
    return await Promise.race([work, deadline]);
  } finally {
    clearTimeout(timer);
  }
}
var init_within = __esm({
  "src/within.ts"() {
    "use strict";
  }
});

// src/later-client.ts
function laterClient(methods, begin) {
  const later = (method) => {
    return async (...args) => {
      const { native } = await begin();
      return native[method]?.(...args);
    };
  };
  return Object.fromEntries(methods.map((method) => [method, later(method)]));
}
var init_later_client = __esm({
  "src/later-client.ts"() {
    "use strict";
  }
});

// src/statement-names.ts
var MOST, StatementNames;
var init_statement_names = __esm({
  "src/statement-names.ts"() {
    "use strict";
    MOST = 200;
    StatementNames = class {
      #generation = 0;
      #names = /* @__PURE__ */ new Map();
      /** Undefined: there are too many texts already, and this one is not prepared. */
      of(text) {
        const known = this.#names.get(text);
        if (known !== void 0 || this.#names.size >= MOST) return known;
        const name = `holdfast_user_${this.#generation}_${this.#names.size}`;
        this.#names.set(text, name);
        return name;
      }
      /** Gives every text another name, after a table changed under a prepared statement: sessions prepare them anew. */
      renew() {
        this.#generation += 1;
        this.#names = /* @__PURE__ */ new Map();
      }
    };
  }
});

// src/pg-pool.ts
var pg_pool_exports = {};
__export(pg_pool_exports, {
  PgPool: () => PgPool
});
import { hash as hash2 } from "node:crypto";
function poolConfig(settings) {
  return {
    application_name: "holdfast",
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
    connectionTimeoutMillis: connectDeadline(settings),
    idleTimeoutMillis: 6e4,
    ...settings.client,
    ...settings.connectionString === void 0 ? {} : { connectionString: settings.connectionString },
    max: settings.poolSize,
    pipeline: true,
    ...settings.pooler === null ? sessionSettings(settings) : {}
  };
}
function withPassword(options) {
  return options.password === void 0 ? {} : { password: options.password };
}
function streamOf2(client) {
  return client.connection?.stream;
}
function ignore() {
}
var CLIENT_METHODS, GUARDED, KEEP_ALIVE_MS, PgPool, PgConnection, PreparedConfigs;
var init_pg_pool = __esm({
  "src/pg-pool.ts"() {
    "use strict";
    init_later_client();
    init_errors();
    init_guarded_client();
    init_session_settings();
    init_statement_names();
    init_within();
    CLIENT_METHODS = ["query"];
    GUARDED = /* @__PURE__ */ new WeakSet();
    KEEP_ALIVE_MS = 3e4;
    PgPool = class {
      size;
      laterNative = (begin) => laterClient(CLIENT_METHODS, begin);
      #pg;
      #settings;
      #pool;
      /** In which generation each was first seen: those of an earlier one are not lent out. */
      #seenIn = /* @__PURE__ */ new WeakMap();
      #generation = 0;
      #names = new StatementNames();
      #prepared;
      constructor(pg, settings) {
        this.#pg = pg;
        this.#settings = settings;
        this.#prepared = new PreparedConfigs(settings.statementDeadlineMs);
        this.#pool = settings.pool === void 0 ? new pg.Pool(poolConfig(settings)) : settings.pool;
        this.#pool.on("error", ignore);
        this.#pool.on("connect", this.#see);
        const { max } = this.#pool.options;
        this.size = max ?? settings.poolSize;
      }
      async connect() {
        const { statementDeadlineMs } = this.#settings;
        for (; ; ) {
          const client = await within(
            this.#pool.connect(),
            statementDeadlineMs,
            "no connection became free",
            (late) => late.release()
          );
          this.#see(client);
          const connection = new PgConnection(client, this.#settings, this.#names, this.#prepared);
          if (this.#seenIn.get(client) === this.#generation) return connection;
          connection.release(false);
        }
      }
      renew() {
        this.#generation += 1;
      }
      async openListener({ heard, lost }) {
        const { statementDeadlineMs } = this.#settings;
        const options = this.#pool.options;
        const client = new this.#pg.Client({ ...options, ...withPassword(options), pipeline: false });
        let isEnded = false;
        const end = () => {
          isEnded = true;
          void client.end().catch(ignore);
          streamOf2(client)?.destroy?.();
        };
        client.on("error", ignore);
        client.on("notification", ({ channel, payload }) => heard(channel, payload ?? ""));
        client.once("end", () => {
          if (!isEnded) lost();
        });
        try {
          await within(client.connect(), connectDeadline(this.#settings), "no connection was made");
        } catch (error) {
          end();
          throw error;
        }
        return {
          // Channel names are made of checked identifiers.
          listen: async (channel) => {
            const query = { text: `LISTEN "${channel}"`, query_timeout: statementDeadlineMs };
            await client.query(query);
          },
          end
        };
      }
      async end() {
        if (this.#settings.pool === void 0) {
          if (!this.#pool.ending) await this.#pool.end();
          return;
        }
        this.#pool.removeListener("connect", this.#see);
        this.#pool.removeListener("error", ignore);
      }
      #see = (client) => {
        if (!this.#seenIn.has(client)) this.#seenIn.set(client, this.#generation);
        if (GUARDED.has(client)) return;
        GUARDED.add(client);
        client.on("error", ignore);
      };
    };
    PgConnection = class {
      #client;
      isPipelined;
      processId;
      #settings;
      #names;
      #prepared;
      #native = null;
      #refusal = null;
      constructor(client, settings, names, prepared) {
        this.#client = client;
        this.#settings = settings;
        this.#names = names;
        this.#prepared = prepared;
        const { pipeline, processID } = client;
        this.isPipelined = pipeline === true;
        this.processId = typeof processID === "number" && processID > 0 ? processID : null;
      }
      get native() {
        this.#native ??= guardedClient(this.#client, CLIENT_METHODS, () => this.#refusal?.() ?? null);
        return this.#native;
      }
      seal(why = transactionOver) {
        this.#refusal ??= why;
      }
      async script(text, deadlineMs) {
        return this.#send(text, void 0, void 0, deadlineMs);
      }
      async query(text, params) {
        const name = this.#settings.prepare && params.length > 0 ? this.#names.of(text) : void 0;
        try {
          return await this.#send(text, [...params], name);
        } catch (error) {
          if (name !== void 0 && isOutdated(error)) {
            this.#names.renew();
            this.#prepared.clear();
          }
          throw error;
        }
      }
      async run({ name, text, values }) {
        return this.#send(text, [...values], this.#settings.prepare ? name : void 0);
      }
      /**
       * What is sent within a turn leaves in one write, such as BEGIN with the first statement and the last one with COMMIT: a
       * write takes the longest of all that is done here for a statement.
       */
      #gather() {
        if (!this.isPipelined) return;
        const stream = streamOf2(this.#client);
        if (stream?.cork === void 0 || stream.writableCorked !== 0) return;
        stream.cork();
        process.nextTick(() => stream.uncork?.());
      }
      release(isUsable) {
        if (isUsable) {
          this.#client.release();
          return;
        }
        streamOf2(this.#client)?.destroy?.();
        this.#client.release(true);
      }
      /** @param name under which it is prepared */
      async #send(text, values, name, deadlineMs = this.#settings.statementDeadlineMs) {
        const config = name === void 0 ? { text, query_timeout: deadlineMs } : this.#prepared.of(name, text);
        this.#gather();
        const results = await this.#client.query(config, values);
        const result = Array.isArray(results) ? results.at(-1) : results;
        return {
          rows: result?.rows ?? [],
          rowCount: result?.rowCount ?? 0,
          command: result?.command ?? ""
        };
      }
    };
    PreparedConfigs = class {
      #timeoutMs;
      #shared = /* @__PURE__ */ new Map();
      constructor(timeoutMs) {
        this.#timeoutMs = timeoutMs;
      }
      /**
       * Each run has an object of its own, since tracers write to what they see, and has its properties from its prototype: `pg`
       * copies an object's own, which takes longer than all else that it does before it sends.
       */
      of(name, text) {
        let shared = this.#shared.get(name);
        if (shared === void 0) {
          const unique = `${name}_${hash2("sha256", text).slice(0, 16)}`;
          this.#shared.set(name, shared = { name: unique, text, query_timeout: this.#timeoutMs });
        }
        return Object.create(shared);
      }
      /** Names that nobody uses any more do not pile up. */
      clear() {
        this.#shared.clear();
      }
    };
  }
});

// src/value-text.ts
import pgTypes from "pg-types";
function parserOf(type) {
  return pgTypes.getTypeParser(type, "text");
}
function pgliteOptions() {
  return {
    parsers: Object.fromEntries([...COMMON, ...OTHERS].map((type) => [type, parserOf(type)])),
    serializers: Object.fromEntries(COMMON.map((type) => [type, (value) => textOf(value) ?? ""]))
  };
}
function textOf(value) {
  if (value === null || value === void 0) return null;
  if (typeof value !== "object") return value.toString();
  if (ArrayBuffer.isView(value)) return `\\x${hexOf(value)}`;
  if (value instanceof Date) return dateText(value);
  if (Array.isArray(value)) return arrayText(value);
  if ("toPostgres" in value && typeof value.toPostgres === "function") {
    return textOf(value.toPostgres(textOf));
  }
  return JSON.stringify(value);
}
function arrayText(values) {
  const elements = values.map((value) => {
    if (value === null || value === void 0) return "NULL";
    if (Array.isArray(value)) return arrayText(value);
    return `"${(textOf(value) ?? "").replaceAll(/["\\]/g, "\\$&")}"`;
  });
  return `{${elements.join(",")}}`;
}
function dateText(date) {
  const minutes = -date.getTimezoneOffset();
  const offset = `${minutes < 0 ? "-" : "+"}${two(Math.abs(minutes) / 60)}:${two(Math.abs(minutes) % 60)}`;
  const year = date.getFullYear();
  const day = `${String(year < 1 ? 1 - year : year).padStart(4, "0")}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return `${day}T${time}.${String(date.getMilliseconds()).padStart(3, "0")}${offset}${year < 1 ? " BC" : ""}`;
}
function two(value) {
  return String(Math.floor(value)).padStart(2, "0");
}
function hexOf({ buffer, byteOffset, byteLength }) {
  return Buffer.from(buffer, byteOffset, byteLength).toString("hex");
}
var ARRAYS, COMMON, OTHERS;
var init_value_text = __esm({
  "src/value-text.ts"() {
    "use strict";
    ARRAYS = {
      16: 1e3,
      17: 1001,
      20: 1016,
      21: 1005,
      23: 1007,
      25: 1009,
      114: 199,
      700: 1021,
      701: 1022,
      1043: 1015,
      1082: 1182,
      1114: 1115,
      1184: 1185,
      1700: 1231,
      2950: 2951,
      3802: 3807
    };
    COMMON = Object.entries(ARRAYS).flatMap(([type, array]) => [Number(type), array]);
    OTHERS = [600, 718, 1186, 1187];
  }
});

// src/postgres-js-native.ts
import { readFile } from "node:fs/promises";
function transactionSql(instance, refusal, deliver = instance.unsafe("").handler, savepointsNamed = "holdfast") {
  const before = CHANGED_BY_OTHERS.map((name) => ({ ...instance.options[name] }));
  let savepoints = 0;
  const guarded = (call2) => (...args) => {
    const error = refusal();
    if (error !== null) throw error;
    return call2(...args);
  };
  const send = (query) => {
    const error = refusal();
    if (error === null) deliver(query);
    else query.reject(error);
  };
  const held = (asked) => {
    if (isQuery(asked)) asked.handler = send;
    return asked;
  };
  const { types, typed, array, json, PostgresError, options } = instance;
  const unsafe = guarded(
    (...parts) => held(instance.unsafe(...parts))
  );
  const file = guarded((path, ...parts) => {
    const asked = instance.file(path, ...parts);
    asked.handler = (query) => void sendFile(path, query, send);
    return asked;
  });
  const ask = guarded((...parts) => held(instance(...parts)));
  const sql = Object.assign(ask, {
    types,
    typed,
    unsafe,
    notify: (channel, payload) => unsafe("select pg_notify($1, $2)", [channel, payload]),
    array,
    json,
    file,
    PostgresError,
    options,
    savepoint,
    // What would begin a transaction in this one gets a part of it.
    begin: savepoint
  });
  return {
    sql,
    restore: () => {
      for (const [at, name] of CHANGED_BY_OTHERS.entries()) Object.assign(instance.options[name], before[at]);
    }
  };
  async function savepoint(first, second) {
    const run = second ?? first;
    savepoints += 1;
    const name = `${savepointsNamed}_${savepoints}`;
    await unsafe(`SAVEPOINT ${name}`);
    try {
      const result = await run(sql);
      return Array.isArray(result) ? await Promise.all(result) : result;
    } catch (error) {
      await unsafe(`ROLLBACK TO SAVEPOINT ${name}`);
      throw error;
    }
  }
}
function laterSql(unconnected, refusal, begin) {
  nameArrays(unconnected.options);
  const before = CHANGED_BY_OTHERS.map((name) => ({ ...unconnected.options[name] }));
  const adopt = (instance) => {
    for (const [at, name] of CHANGED_BY_OTHERS.entries()) {
      const changed = Object.entries(unconnected.options[name]).filter(
        ([type, each]) => before[at]?.[Number(type)] !== each
      );
      Object.assign(instance.options[name], Object.fromEntries(changed));
    }
  };
  const send = async (query) => {
    try {
      const instance = (await begin()).native;
      adopt(instance);
      instance.unsafe("").handler(query);
    } catch (error) {
      query.reject(error);
    }
  };
  return transactionSql(unconnected, refusal, (query) => void send(query), "holdfast_later").sql;
}
function isQuery(asked) {
  return asked instanceof Promise && "handler" in asked;
}
async function sendFile(path, query, send) {
  try {
    query.strings = [await readFile(path, "utf8")];
    send(query);
  } catch (error) {
    query.reject(error);
  }
}
function nameArrays({ parsers, serializers, shared }) {
  for (const [element, array] of Object.entries(ARRAYS)) {
    shared.typeArrayMap[Number(element)] = array;
    parsers[array] ??= parserOf(array);
    serializers[array] ??= textOf;
  }
}
var CHANGED_BY_OTHERS;
var init_postgres_js_native = __esm({
  "src/postgres-js-native.ts"() {
    "use strict";
    init_value_text();
    CHANGED_BY_OTHERS = ["parsers", "serializers"];
  }
});

// src/postgres-js-connection.ts
import { connect } from "node:net";
function isMany(results) {
  return !("command" in results);
}
function rowsOf2(result) {
  const columns2 = (result?.columns ?? []).map(({ name, type }) => ({ name, parse: parserOf(type) }));
  return (result ?? []).map((values) => {
    const row = {};
    for (const [at, { name, parse }] of columns2.entries()) {
      const value = values[at] ?? null;
      row[name] = value === null ? null : parse(Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString());
    }
    return row;
  });
}
function ignore2() {
}
var UNKNOWN_TYPE, PostgresJsConnection;
var init_postgres_js_connection = __esm({
  "src/postgres-js-connection.ts"() {
    "use strict";
    init_postgres_js_native();
    init_statement_names();
    init_value_text();
    UNKNOWN_TYPE = 705;
    PostgresJsConnection = class _PostgresJsConnection {
      isPipelined = true;
      #options;
      #instance;
      /**
       * Rejects what waits for an answer. One for each, and no promise of the loss for all of them: that would keep all that was ever
       * raced with it, with its rows, for as long as the session is there.
       */
      #underWay = /* @__PURE__ */ new Set();
      /** Not the names: postgres.js has its own. Which texts are prepared, that is. */
      #names = new StatementNames();
      #socket = null;
      #processId = null;
      /** Why the session is over; null: it is not. */
      #overFor = null;
      #isOpen = false;
      /** How many hosts were tried: postgres.js asks for the next one where the server is not as target_session_attrs has it. */
      #tried = 0;
      constructor(options) {
        this.#options = options;
        this.#instance = options.make({
          max: 1,
          // Timers of postgres.js end a session between two statements of a transaction.
          idle_timeout: null,
          max_lifetime: null,
          connect_timeout: 0,
          // postgres.js lets nobody know when this fails: a loss at that moment would end the process.
          fetch_types: false,
          onclose: () => this.end(new Error("the connection was closed")),
          onnotify: options.heard,
          // A promise of the socket: TLS, if it is on, is put around it by postgres.js.
          socket: (parsed) => this.#openSocket(parsed)
        });
        nameArrays(this.#instance.options);
      }
      /** Rejects, with what failed, once the session surely is over. */
      static async open(options) {
        const connection = new _PostgresJsConnection(options);
        try {
          await connection.#send(() => connection.#instance.unsafe("SELECT 1"), options.connectDeadlineMs);
          connection.#isOpen = true;
          return connection;
        } catch (error) {
          connection.end(new Error("no connection was made"));
          throw error;
        }
      }
      get isOver() {
        return this.#overFor !== null;
      }
      get processId() {
        return this.#processId;
      }
      get instance() {
        return this.#instance;
      }
      async script(text, deadlineMs) {
        return this.#send(() => this.#instance.unsafe(text), deadlineMs);
      }
      async query(text, params) {
        if (params.length === 0) return this.script(text);
        return this.#sendWith(text, params, this.#names.of(text) !== void 0);
      }
      async run({ text, values }) {
        return this.#sendWith(text, values, true);
      }
      /** Ends the session at once, and settles what is under way. Further calls do nothing. */
      end(reason) {
        if (this.#overFor !== null) return;
        this.#overFor = reason;
        for (const reject of this.#underWay) reject(reason);
        const ended = this.#instance.end({ timeout: 0 }).catch(ignore2);
        void ended.then(() => this.#socket?.destroy());
        this.#options.over();
      }
      #sendWith(text, params, isPrepared) {
        return this.#send(() => {
          const values = params.map((value) => this.#instance.typed(textOf(value), UNKNOWN_TYPE));
          const options = { prepare: this.#options.prepare && isPrepared, simple: false };
          return this.#instance.unsafe(text, values, options);
        });
      }
      async #send(make, deadlineMs = this.#options.deadlineMs) {
        if (this.#overFor !== null) throw this.#overFor;
        const query = make().raw().execute();
        const timer = setTimeout(() => this.end(new Error(`no answer within ${deadlineMs} ms`)), deadlineMs);
        const { promise: lost, reject } = Promise.withResolvers();
        this.#underWay.add(reject);
        try {
          const results = await Promise.race([query, lost]);
          if (!Array.isArray(results)) throw this.#refuseCopy(results);
          const result = isMany(results) ? results.at(-1) : results;
          this.#processId ??= result?.state?.pid ?? null;
          return { rows: rowsOf2(result), rowCount: result?.count ?? 0, command: result?.command ?? "" };
        } finally {
          clearTimeout(timer);
          this.#underWay.delete(reject);
        }
      }
      /** What postgres.js gives for COPY is a stream, which nobody here reads or writes: without a listener its end would be the process's. */
      #refuseCopy(stream) {
        stream.on("error", ignore2);
        const message = "COPY goes through `native` of the transaction, and not through `query`";
        this.end(Object.assign(new Error(message), { code: "25P02", severity: "ERROR" }));
        return Object.assign(new Error(message), { code: "0A000", severity: "ERROR" });
      }
      async #openSocket({ host, port, path }) {
        if (this.#isOpen || this.isOver) throw new Error("the connection was lost");
        const places = typeof path === "string" ? [{ path }] : host.map((name, at) => ({ host: name, port: port[at] ?? 5432 }));
        let failure = new Error(
          this.#tried === 0 ? "no host is named" : "none of the hosts let the session begin"
        );
        while (this.#tried < places.length && !this.isOver) {
          const place = places[this.#tried];
          this.#tried += 1;
          try {
            return await this.#connectSocket(place);
          } catch (error) {
            failure = error;
          }
        }
        if (this.#socket !== null) this.end(failure);
        throw failure;
      }
      #connectSocket(place) {
        const socket = connect(place);
        this.#socket = socket;
        if ("host" in place) Object.assign(socket, place);
        return new Promise((resolve2, reject) => {
          socket.once("error", reject);
          socket.once("close", () => reject(new Error("the connection was closed")));
          socket.once("connect", () => {
            socket.off("error", reject);
            resolve2(socket);
          });
        });
      }
    };
  }
});

// src/postgres-js-pool.ts
var postgres_js_pool_exports = {};
__export(postgres_js_pool_exports, {
  PostgresJsPool: () => PostgresJsPool
});
var LONGEST_LIFE_MS, LONGEST_IDLE_MS, PostgresJsPool, LentConnection;
var init_postgres_js_pool = __esm({
  "src/postgres-js-pool.ts"() {
    "use strict";
    init_errors();
    init_guarded_client();
    init_postgres_js_connection();
    init_postgres_js_native();
    init_session_settings();
    init_turnstile();
    LONGEST_LIFE_MS = 36e5;
    LONGEST_IDLE_MS = 6e4;
    PostgresJsPool = class {
      size;
      laterNative = (begin, refusal) => laterSql(this.#make({ max: 1, fetch_types: false }), refusal, begin);
      #postgresJs;
      #settings;
      #entrance;
      /** The last one given back is lent out first. */
      #idle = [];
      #lent = /* @__PURE__ */ new Set();
      #ended = null;
      /** Raised when a table changed under a prepared statement, too: sessions from before are not lent out again. */
      #generation = 0;
      constructor(postgresJs, settings) {
        this.#postgresJs = postgresJs;
        this.#settings = settings;
        this.size = settings.poolSize;
        this.#entrance = new Turnstile(this.size);
      }
      async connect() {
        const { statementDeadlineMs } = this.#settings;
        const leave = await this.#entrance.enter(statementDeadlineMs);
        if (leave === null) throw new Error(`no connection became free within ${statementDeadlineMs} ms`);
        for (let idle = this.#idle.pop(); idle !== void 0; idle = this.#idle.pop()) {
          clearTimeout(idle.timer);
          if (idle.generation === this.#generation && !idle.connection.isOver)
            return this.#lend(idle.connection, idle.diesAt, leave);
          idle.connection.end(new Error("the connection was outdated"));
        }
        try {
          const diesAt = Date.now() + LONGEST_LIFE_MS * (0.5 + Math.random() / 2);
          return this.#lend(await this.#open({ over: () => void 0 }), diesAt, leave);
        } catch (error) {
          leave();
          throw error;
        }
      }
      renew() {
        this.#generation += 1;
      }
      async openListener({ heard, lost }) {
        let isEnded = false;
        const connection = await this.#open({
          heard,
          over: () => {
            if (!isEnded) lost();
          }
        });
        return {
          listen: async (channel) => {
            await connection.script(`LISTEN "${channel}"`);
          },
          end: () => {
            isEnded = true;
            connection.end(new Error("the session was closed"));
          }
        };
      }
      async end() {
        this.#ended ??= Promise.withResolvers();
        for (const { connection, timer } of this.#idle.splice(0)) {
          clearTimeout(timer);
          connection.end(new Error("the session was closed"));
        }
        if (this.#lent.size === 0) this.#ended.resolve();
        await this.#ended.promise;
      }
      #lend(connection, diesAt, leave) {
        this.#lent.add(connection);
        const generation = this.#generation;
        return new LentConnection(
          connection,
          () => this.renew(),
          (isUsable) => {
            this.#lent.delete(connection);
            const isCurrent = generation === this.#generation && Date.now() < diesAt;
            const isKept = isUsable && isCurrent && !connection.isOver && this.#ended === null;
            if (isKept) this.#keep(connection, diesAt);
            else connection.end(new Error("the connection was ended"));
            if (this.#lent.size === 0) this.#ended?.resolve();
            leave();
          }
        );
      }
      #keep(connection, diesAt) {
        const timer = setTimeout(() => {
          this.#idle.splice(this.#idle.indexOf(idle), 1);
          connection.end(new Error("the connection was idle"));
        }, LONGEST_IDLE_MS);
        timer.unref();
        const idle = { connection, diesAt, generation: this.#generation, timer };
        this.#idle.push(idle);
      }
      async #open(events) {
        const { statementDeadlineMs, prepare } = this.#settings;
        return PostgresJsConnection.open({
          make: (own) => this.#make(own),
          connectDeadlineMs: connectDeadline(this.#settings),
          deadlineMs: statementDeadlineMs,
          prepare,
          ...events
        });
      }
      #make(own) {
        const { sql, client, connectionString, pooler, prepare } = this.#settings;
        const ours = pooler === null ? sessionSettings(this.#settings) : {};
        const bare = { onnotice: () => void 0, ...prepare ? {} : { prepare }, ...own };
        if (sql === void 0) {
          const { connection, ...others } = client;
          const options = {
            ...others,
            ...bare,
            connection: { application_name: "holdfast", ...connection, ...ours }
          };
          return connectionString === void 0 ? this.#postgresJs(options) : this.#postgresJs(connectionString, options);
        }
        const given2 = sql.options;
        return this.#postgresJs({
          ...given2,
          ...bare,
          connection: { ...given2.connection, ...ours },
          parsers: { ...given2.parsers },
          serializers: { ...given2.serializers },
          parameters: {},
          shared: { retries: 0, typeArrayMap: {} },
          transform: { undefined: void 0, column: {}, value: {}, row: {} }
        });
      }
    };
    LentConnection = class {
      isPipelined = true;
      #connection;
      #outdated;
      #release;
      #native = null;
      #refusal = null;
      constructor(connection, outdated, release) {
        this.#connection = connection;
        this.#outdated = outdated;
        this.#release = release;
      }
      get native() {
        this.#native ??= transactionSql(this.#connection.instance, () => this.#refusal?.() ?? null);
        return this.#native.sql;
      }
      get processId() {
        return this.#connection.processId;
      }
      script(text, deadlineMs) {
        return this.#connection.script(text, deadlineMs);
      }
      async query(text, params) {
        try {
          return await this.#connection.query(text, params);
        } catch (error) {
          if (isOutdated(error)) this.#outdated();
          throw error;
        }
      }
      run(statement) {
        return this.#connection.run(statement);
      }
      seal(why = transactionOver) {
        this.#refusal ??= why;
        this.#native?.restore();
      }
      release(isUsable) {
        this.seal();
        this.#release(isUsable);
      }
    };
  }
});

// src/index.ts
import { ConfigError as ConfigError5 } from "@holdfast/core/adapter";

// src/open-pglite.ts
init_errors();
import { HoldfastError } from "@holdfast/core/adapter";

// src/migrations.ts
init_errors();
import { ConfigError } from "@holdfast/core/adapter";

// src/migration-1-write.ts
var PLANNING = [
  "SET plan_cache_mode = force_generic_plan",
  "SET enable_seqscan = off",
  "SET enable_bitmapscan = off",
  "SET enable_mergejoin = off"
].join(" ");
var UNTIL_JOURNAL = `p_now bigint, p_f_shard text[], p_f_epoch bigint[],
  p_q_fence int[], p_q_id text[], p_q_shard text[], p_q_type text[], p_q_entity text[], p_q_tag text[], p_q_key text[],
  p_q_payload text[], p_q_headers text[], p_q_expects text[], p_q_uninterruptible boolean[], p_q_inside boolean[],
  p_q_pending_first boolean[], p_q_sender text[], p_q_deliver_at bigint[], p_q_attempts int[],
  p_u_fence int[], p_u_id text[], p_u_attempts int[], p_u_moves boolean[], p_u_deliver_at bigint[],
  p_j_fence int[], p_j_type text[], p_j_execution text[], p_j_ordinal int[], p_j_position int[], p_j_kind text[],
  p_j_name text[], p_j_event text[], p_j_data text[]`;
var OF_REPLIES = "p_r_fence int[], p_r_id text[], p_r_ok boolean[], p_r_data text[]";
function writeGroup(s) {
  return `
CREATE OR REPLACE FUNCTION ${s}.write_group_v1(
  p_strict boolean, ${UNTIL_JOURNAL},
  p_c_fence int[], p_c_id text[], p_c_index int[], p_c_value text[],
  ${OF_REPLIES},
  p_d_fence int[], p_d_id text[], p_d_attempts int[], p_d_error text[], p_d_since bigint[]
) RETURNS text LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE v_keys uuid[]; v_executions text[];
BEGIN
  SELECT coalesce(array_agg(${s}.journal_key_v9(t.type, t.execution) ORDER BY t.place), '{}'),
      coalesce(array_agg(${s}.journal_execution_v9(t.type, t.execution, t.kind, t.event) ORDER BY t.place), '{}')
    INTO v_keys, v_executions
    FROM unnest(p_j_type, p_j_execution, p_j_kind, p_j_event) WITH ORDINALITY AS t (type, execution, kind, event, place);
  RETURN ${s}.write_group_any_v9(p_strict, NULL, p_now, p_f_shard, p_f_epoch, p_q_fence, p_q_id, p_q_shard, p_q_type,
    p_q_entity, p_q_tag, p_q_key, p_q_payload, p_q_headers, p_q_expects, p_q_uninterruptible, p_q_inside, p_q_pending_first,
    p_q_sender, p_q_deliver_at, p_q_attempts, p_u_fence, p_u_id, p_u_attempts, p_u_moves, p_u_deliver_at, p_j_fence, v_keys,
    p_j_ordinal, p_j_position, p_j_kind, p_j_name, p_j_event, p_j_data, v_executions, p_c_fence, p_c_id, p_c_index, p_c_value,
    p_r_fence, p_r_id, p_r_ok, p_r_data, p_d_fence, p_d_id, p_d_attempts, p_d_error, p_d_since);
END $fn$;`;
}
function writeCommonGroup(s, version) {
  return `
CREATE OR REPLACE FUNCTION ${s}.write_group_v${version}(
  ${UNTIL_JOURNAL},
  ${OF_REPLIES}
) RETURNS text LANGUAGE plpgsql AS $fn$
BEGIN
  RETURN ${s}.write_group_v1(false, p_now, p_f_shard, p_f_epoch, p_q_fence, p_q_id, p_q_shard, p_q_type, p_q_entity, p_q_tag,
    p_q_key, p_q_payload, p_q_headers, p_q_expects, p_q_uninterruptible, p_q_inside, p_q_pending_first, p_q_sender,
    p_q_deliver_at, p_q_attempts, p_u_fence, p_u_id, p_u_attempts, p_u_moves, p_u_deliver_at, p_j_fence, p_j_type,
    p_j_execution, p_j_ordinal, p_j_position, p_j_kind, p_j_name, p_j_event, p_j_data, '{}', '{}', '{}', '{}',
    p_r_fence, p_r_id, p_r_ok, p_r_data, '{}', '{}', '{}', '{}', '{}');
END $fn$;`;
}

// src/migration-1-functions.ts
function functionsOfVersion1(schema) {
  const s = `"${schema}"`;
  return [
    claimShards(s),
    writeGroup(s),
    readPending(s),
    lookUp(s),
    readJournal(s),
    deadLetters(s),
    streams(s),
    forgetting(s),
    leases(s)
  ].join("\n");
}
function claimShards(s) {
  return `
CREATE OR REPLACE FUNCTION ${s}.claim_shards_v1(p_shards text[]) RETURNS text LANGUAGE plpgsql AS $fn$
BEGIN
  RETURN ${s}.claim_shards_v9(p_shards, NULL);
END $fn$;`;
}
function readPending(s) {
  return `
CREATE OR REPLACE FUNCTION ${s}.read_pending_v1(${OF_READING})
RETURNS TABLE (sequence bigint, attempts int, request_id text, shard_id text, entity_type text, entity_id text, tag text,
  deduplication_key text, payload text, headers text, expects text, uninterruptible boolean, from_inside boolean,
  read_pending_first boolean, sender text, deliver_at bigint)
LANGUAGE plpgsql STABLE ${PLANNING} AS $fn$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH found AS MATERIALIZED (
    ${foundOnShards(s)}
  )
  SELECT f.sequence, f.attempts, q.request_id, q.shard_id, q.entity_type, q.entity_id, q.tag, q.deduplication_key, q.payload,
    q.headers, q.expects, q.uninterruptible, q.from_inside, q.read_pending_first, q.sender, q.deliver_at
    FROM found f CROSS JOIN LATERAL (SELECT o.* FROM ${s}.requests o WHERE o.sequence = f.sequence OFFSET 0) q
    ORDER BY f.sequence;
  RETURN QUERY
  SELECT NULL::bigint, NULL::int, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL::boolean, NULL::boolean,
    NULL::boolean, NULL, (${nextDue(s)});
END $fn$;`;
}
var OF_READING = "p_shards text[], p_now bigint, p_limit int, p_held bigint[], p_full_types text[], p_full_ids text[]";
var IS_FREE = `p.sequence NOT IN (SELECT unnest(p_held))
      AND (p.entity_type, p.entity_id) NOT IN (SELECT t.type, t.id FROM unnest(p_full_types, p_full_ids) AS t (type, id))`;
function foundOnShards(s) {
  return `SELECT f.sequence, f.attempts FROM unnest(p_shards) AS s (shard_id) CROSS JOIN LATERAL (
      (SELECT p.sequence, p.attempts FROM ${s}.pending p
        WHERE p.shard_id >= s.shard_id AND p.shard_id <= s.shard_id AND p.deliver_at IS NULL AND ${IS_FREE}
        ORDER BY p.shard_id, p.sequence LIMIT p_limit + 1)
      UNION ALL
      (SELECT o.sequence, o.attempts FROM (
        SELECT p.sequence, p.attempts FROM ${s}.pending p
          WHERE p.shard_id = s.shard_id AND p.deliver_at <= p_now AND ${IS_FREE} OFFSET 0) o
        ORDER BY o.sequence LIMIT p_limit + 1)
    ) f ORDER BY f.sequence LIMIT p_limit + 1`;
}
function nextDue(s) {
  return `SELECT min(n.deliver_at) FROM unnest(p_shards) AS s (shard_id) CROSS JOIN LATERAL (
      SELECT p.deliver_at FROM ${s}.pending p WHERE p.shard_id = s.shard_id AND p.deliver_at > p_now
        ORDER BY p.deliver_at LIMIT 1) n`;
}
function lookUp(s) {
  const columns2 = `q.sequence, p.attempts, p.deliver_at, r.ok, r.data, d.attempts, d.error, d.dead_since, q.request_id,
    q.shard_id, q.entity_type, q.entity_id, q.tag, q.deduplication_key, CASE WHEN d.sequence IS NOT NULL THEN q.payload END,
    q.headers, q.expects, q.uninterruptible, q.from_inside, q.read_pending_first, q.sender, q.deliver_at`;
  const joins = ["pending p", "replies r", "dead_letters d"].map((table) => table.split(" ")).map(
    ([table, as]) => `LEFT JOIN LATERAL (SELECT o.* FROM ${s}.${table} o WHERE o.sequence = q.sequence OFFSET 0) ${as} ON true`
  ).join("\n      ");
  const row = `TABLE (sequence bigint, attempts int, due_at bigint, ok boolean, data text, dead_attempts int, error text,
  dead_since bigint, request_id text, shard_id text, entity_type text, entity_id text, tag text, deduplication_key text,
  payload text, headers text, expects text, uninterruptible boolean, from_inside boolean, read_pending_first boolean,
  sender text, deliver_at bigint)`;
  return `
CREATE FUNCTION ${s}.look_up_v1(p_ids text[]) RETURNS ${row} LANGUAGE plpgsql STABLE ${PLANNING} AS $fn$
#variable_conflict use_column
BEGIN
  RETURN QUERY SELECT ${columns2} FROM ${s}.requests q ${joins} WHERE q.request_id = ANY (p_ids);
END $fn$;
CREATE FUNCTION ${s}.look_up_by_key_v1(p_type text, p_entity text, p_tag text, p_key text) RETURNS ${row}
LANGUAGE plpgsql STABLE ${PLANNING} AS $fn$
#variable_conflict use_column
BEGIN
  RETURN QUERY SELECT ${columns2} FROM ${s}.requests q ${joins}
    WHERE q.entity_type = p_type AND q.entity_id = p_entity AND q.tag = p_tag AND q.deduplication_key = p_key;
END $fn$;`;
}
function readJournal(s) {
  return `
CREATE OR REPLACE FUNCTION ${s}.read_journal_v1(p_type text, p_execution text)
RETURNS TABLE (ordinal int, "position" int, kind text, name text, event text, data text)
LANGUAGE plpgsql STABLE ${PLANNING} AS $fn$
#variable_conflict use_column
DECLARE v_keys uuid[] := ${usedKeys(s)};
BEGIN
  ${entriesOf(s, "j.ordinal, j.position, j.kind, j.name, j.event, j.data")}
END $fn$;`;
}
function usedKeys(s) {
  return `ARRAY(SELECT DISTINCT k.key FROM unnest(${s}.journal_keys_v12(p_type, p_execution)) AS k (key)
    WHERE EXISTS (SELECT FROM ${s}.journal j WHERE j.key = k.key OFFSET 0))`;
}
function entriesOf(s, columns2) {
  const query = (where) => `RETURN QUERY SELECT ${columns2} FROM ${s}.journal j WHERE ${where} ORDER BY j.ordinal;`;
  return `IF cardinality(v_keys) = 1 THEN
    ${query("j.key = v_keys[1]")}
  ELSE
    ${query("j.key = ANY (v_keys)")}
  END IF;`;
}
function deadLetters(s) {
  const lock2 = `SELECT q.sequence, q.shard_id INTO v_sequence, v_shard FROM ${s}.requests q WHERE q.request_id = p_id;
  IF NOT FOUND THEN RETURN; END IF;
  PERFORM ${s}.hold_shards_v9(ARRAY[v_shard]);
  DELETE FROM ${s}.dead_letters d WHERE d.sequence = v_sequence;
  IF NOT FOUND THEN RETURN; END IF;`;
  return `
CREATE OR REPLACE FUNCTION ${s}.list_dead_letters_v1(p_limit int, p_after text)
RETURNS TABLE (dead_attempts int, error text, dead_since bigint, request_id text, shard_id text, entity_type text,
  entity_id text, tag text, deduplication_key text, payload text, headers text, expects text, uninterruptible boolean,
  from_inside boolean, read_pending_first boolean, sender text, deliver_at bigint)
LANGUAGE plpgsql STABLE ${PLANNING} AS $fn$
#variable_conflict use_column
DECLARE v_since bigint := NULL;
BEGIN
  SELECT d.dead_since INTO v_since FROM ${s}.dead_letters d
    WHERE d.sequence = (SELECT q.sequence FROM ${s}.requests q WHERE q.request_id = p_after);
  RETURN QUERY SELECT d.attempts, d.error, d.dead_since, q.request_id, q.shard_id, q.entity_type, q.entity_id, q.tag,
    q.deduplication_key, q.payload, q.headers, q.expects, q.uninterruptible, q.from_inside, q.read_pending_first, q.sender,
    q.deliver_at
    FROM (SELECT * FROM ${s}.dead_letters o WHERE v_since IS NULL OR (o.dead_since, o.request_id) > (v_since, p_after)
      ORDER BY o.dead_since, o.request_id LIMIT p_limit) d
    CROSS JOIN LATERAL (SELECT o.* FROM ${s}.requests o WHERE o.sequence = d.sequence OFFSET 0) q
    ORDER BY d.dead_since, d.request_id;
END $fn$;
CREATE OR REPLACE FUNCTION ${s}.requeue_dead_letter_v1(p_id text)
RETURNS TABLE (entity_type text, entity_id text, shard_id text) LANGUAGE plpgsql ${PLANNING} AS $fn$
#variable_conflict use_column
DECLARE v_sequence bigint; v_shard text;
BEGIN
  ${lock2}
  INSERT INTO ${s}.pending (sequence, shard_id, entity_type, entity_id, attempts, deliver_at)
    SELECT q.sequence, q.shard_id, q.entity_type, q.entity_id, 0, NULL FROM ${s}.requests q WHERE q.sequence = v_sequence;
  RETURN QUERY SELECT q.entity_type, q.entity_id, q.shard_id FROM ${s}.requests q WHERE q.sequence = v_sequence;
END $fn$;
CREATE OR REPLACE FUNCTION ${s}.drop_dead_letter_v1(p_id text) RETURNS TABLE (dropped text) LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE v_sequence bigint; v_shard text;
BEGIN
  ${lock2}
  DELETE FROM ${s}.chunks c WHERE c.sequence = v_sequence;
  DELETE FROM ${s}.streams o WHERE o.sequence = v_sequence;
  DELETE FROM ${s}.requests q WHERE q.sequence = v_sequence;
  RETURN QUERY SELECT p_id;
END $fn$;`;
}
function streams(s) {
  return `
CREATE FUNCTION ${s}.read_chunks_v1(p_id text, p_from int) RETURNS TABLE (index int, value text, saved int)
LANGUAGE plpgsql STABLE ${PLANNING} AS $fn$
#variable_conflict use_column
DECLARE v_sequence bigint; v_saved int;
BEGIN
  SELECT o.sequence, o.saved INTO v_sequence, v_saved FROM ${s}.streams o
    WHERE o.sequence = (SELECT q.sequence FROM ${s}.requests q WHERE q.request_id = p_id);
  RETURN QUERY SELECT c.index, c.value, NULL::int FROM ${s}.chunks c
    WHERE c.sequence = v_sequence AND c.index >= p_from AND c.index < v_saved ORDER BY c.index;
  RETURN QUERY SELECT NULL::int, NULL, coalesce(v_saved, 0);
END $fn$;
CREATE FUNCTION ${s}.acknowledge_chunks_v1(p_id text, p_up_to int) RETURNS void LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE v_sequence bigint; v_end int;
BEGIN
  UPDATE ${s}.streams o SET acknowledged = greatest(o.acknowledged, least(p_up_to, o.saved))
    WHERE o.sequence = (SELECT q.sequence FROM ${s}.requests q WHERE q.request_id = p_id)
    RETURNING o.sequence, o.acknowledged INTO v_sequence, v_end;
  DELETE FROM ${s}.chunks c WHERE c.sequence = v_sequence AND c.index < v_end;
END $fn$;`;
}
function forgetting(s) {
  return `
CREATE OR REPLACE FUNCTION ${s}.forget_answered_v1(p_type text, p_before bigint, p_limit int) RETURNS int
LANGUAGE plpgsql AS $fn$
BEGIN
  RETURN ${s}.forget_answered_v4(p_type, p_before, p_limit, CASE WHEN starts_with(p_type, 'workflow:') THEN 'execute' END);
END $fn$;`;
}
function leases(s) {
  const reap = `DELETE FROM ${s}.runners r WHERE r.runner_id IN (
    SELECT o.runner_id FROM ${s}.runners o WHERE o.expires_at <= clock_timestamp() FOR UPDATE SKIP LOCKED)
    AND r.expires_at <= clock_timestamp();`;
  return `
CREATE FUNCTION ${s}.register_runner_v1(p_id text, p_record text, p_ttl_ms double precision) RETURNS void
LANGUAGE plpgsql AS $fn$
BEGIN
  ${reap}
  INSERT INTO ${s}.runners AS r (runner_id, record, ttl_ms, expires_at)
    VALUES (p_id, p_record, p_ttl_ms, clock_timestamp() + p_ttl_ms * interval '1 millisecond')
    ON CONFLICT (runner_id) DO UPDATE
      SET record = excluded.record, ttl_ms = excluded.ttl_ms, expires_at = clock_timestamp() + p_ttl_ms * interval '1 millisecond';
END $fn$;
CREATE FUNCTION ${s}.acquire_shards_v1(p_id text, p_shards text[]) RETURNS text LANGUAGE plpgsql AS $fn$
DECLARE v_held json;
BEGIN
  ${reap}
  PERFORM 1 FROM ${s}.runners r WHERE r.runner_id = p_id AND r.expires_at > clock_timestamp() FOR KEY SHARE;
  IF NOT FOUND THEN RETURN NULL; END IF;
  INSERT INTO ${s}.shard_leases (shard_id, runner_id)
    SELECT DISTINCT t.shard_id COLLATE "C", p_id FROM unnest(p_shards) AS t (shard_id) ORDER BY 1 ON CONFLICT DO NOTHING;
  SELECT json_agg(l.shard_id) INTO v_held FROM ${s}.shard_leases l
    WHERE l.runner_id = p_id AND l.shard_id = ANY (p_shards);
  RETURN v_held::text;
END $fn$;`;
}

// src/migration-1.ts
function tablesOfVersion1(schema) {
  const s = `"${schema}"`;
  return `
CREATE TABLE ${s}.shards (
  shard_id text COLLATE "C" PRIMARY KEY,
  epoch bigint NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE ${s}.shards IS 'The epoch of each shard: its fencing token. A write locks its row, a claim raises it.';

CREATE TABLE ${s}.requests (
  sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  request_id text COLLATE "C" NOT NULL,
  shard_id text COLLATE "C" NOT NULL,
  entity_type text COLLATE "C" NOT NULL,
  entity_id text COLLATE "C" NOT NULL,
  tag text COLLATE "C" NOT NULL,
  deduplication_key text COLLATE "C",
  payload text NOT NULL,
  headers text NOT NULL,
  expects text NOT NULL,
  uninterruptible boolean NOT NULL,
  from_inside boolean NOT NULL,
  read_pending_first boolean NOT NULL,
  sender text NOT NULL,
  deliver_at bigint
);
COMMENT ON TABLE ${s}.requests IS 'Every accepted request as it came. Rows never change.';
CREATE UNIQUE INDEX requests_by_id ON ${s}.requests (request_id);
CREATE UNIQUE INDEX requests_by_key ON ${s}.requests (entity_type, entity_id, tag, deduplication_key)
  WHERE deduplication_key IS NOT NULL;

CREATE TABLE ${s}.pending (
  sequence bigint PRIMARY KEY,
  shard_id text COLLATE "C" NOT NULL,
  entity_type text COLLATE "C" NOT NULL,
  entity_id text COLLATE "C" NOT NULL,
  attempts integer NOT NULL,
  deliver_at bigint
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);
COMMENT ON TABLE ${s}.pending IS 'The requests that are neither answered nor dead. deliver_at in ms since 1970; null: at once.';
CREATE INDEX pending_now ON ${s}.pending (shard_id, sequence) WHERE deliver_at IS NULL;
CREATE INDEX pending_later ON ${s}.pending (shard_id, deliver_at) WHERE deliver_at IS NOT NULL;

CREATE TABLE ${s}.replies (
  sequence bigint PRIMARY KEY,
  entity_type text COLLATE "C" NOT NULL,
  ok boolean NOT NULL,
  data text NOT NULL,
  answered_at bigint NOT NULL
);
COMMENT ON TABLE ${s}.replies IS 'How each answered request ended: its value, or its error as JSON. Rows never change.';
CREATE INDEX replies_by_age ON ${s}.replies (entity_type, answered_at);

CREATE TABLE ${s}.dead_letters (
  sequence bigint PRIMARY KEY,
  request_id text COLLATE "C" NOT NULL,
  attempts integer NOT NULL,
  error text NOT NULL,
  dead_since bigint NOT NULL
);
CREATE INDEX dead_letters_by_age ON ${s}.dead_letters (dead_since, request_id);

CREATE TABLE ${s}.streams (
  sequence bigint PRIMARY KEY,
  saved integer NOT NULL,
  acknowledged integer NOT NULL
) WITH (fillfactor = 70);
CREATE TABLE ${s}.chunks (
  sequence bigint NOT NULL,
  index integer NOT NULL,
  value text NOT NULL,
  PRIMARY KEY (sequence, index)
);

CREATE TABLE ${s}.journal (
  entity_type text COLLATE "C" NOT NULL,
  execution_id text COLLATE "C" NOT NULL,
  ordinal integer NOT NULL,
  position integer NOT NULL,
  kind text NOT NULL,
  name text NOT NULL,
  event text NOT NULL,
  data text NOT NULL,
  PRIMARY KEY (entity_type, execution_id, ordinal)
);
COMMENT ON TABLE ${s}.journal IS 'What executions have done. data: the value of a completed step, else JSON.';

CREATE TABLE ${s}.runners (
  runner_id text COLLATE "C" PRIMARY KEY,
  record text NOT NULL,
  ttl_ms double precision NOT NULL,
  expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE ${s}.shard_leases (
  shard_id text COLLATE "C" PRIMARY KEY,
  runner_id text COLLATE "C" NOT NULL REFERENCES ${s}.runners ON DELETE CASCADE
) WITH (fillfactor = 70);
COMMENT ON TABLE ${s}.shard_leases IS 'Which runner holds which shard: as long as its row in runners is there.';
CREATE INDEX shard_leases_by_runner ON ${s}.shard_leases (runner_id);
`;
}

// src/migration-2.ts
function functionsOfVersion2(schema) {
  const s = `"${schema}"`;
  return `
CREATE FUNCTION ${s}.forget_answered_v2(p_type text, p_before bigint, p_limit int, p_execution_tag text) RETURNS int
LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE v_old bigint[];
BEGIN
  SELECT array_agg(o.sequence) INTO v_old FROM (
    SELECT r.sequence FROM ${s}.replies r WHERE r.entity_type = p_type AND r.answered_at < p_before
      ORDER BY r.answered_at LIMIT p_limit FOR UPDATE SKIP LOCKED) o;
  IF v_old IS NULL THEN RETURN 0; END IF;
  IF p_execution_tag IS NOT NULL THEN
    DELETE FROM ${s}.journal j WHERE j.entity_type = p_type AND j.execution_id = ANY (ARRAY(
      SELECT q.entity_id FROM ${s}.requests q WHERE q.sequence = ANY (v_old) AND q.tag = p_execution_tag));
  END IF;
  DELETE FROM ${s}.chunks c WHERE c.sequence = ANY (v_old);
  DELETE FROM ${s}.streams o WHERE o.sequence = ANY (v_old);
  DELETE FROM ${s}.requests q WHERE q.sequence = ANY (v_old);
  DELETE FROM ${s}.replies r WHERE r.sequence = ANY (v_old);
  RETURN cardinality(v_old);
END $fn$;`;
}

// src/migration-3.ts
function functionsOfVersion3(schema) {
  const s = `"${schema}"`;
  return commitReply(s) + commitStep(s);
}
function commitReply(s) {
  const fence = `SELECT e.epoch INTO v_epoch FROM ${s}.shards e WHERE e.shard_id = p_shard FOR SHARE;
  IF v_epoch IS DISTINCT FROM p_epoch THEN
    RAISE EXCEPTION 'the shard was claimed again' USING ERRCODE = 'HF001', DETAIL = coalesce(v_epoch::text, '');
  END IF;`;
  return `
CREATE FUNCTION ${s}.commit_reply_v3(p_shard text, p_epoch bigint, p_now bigint, p_id text, p_ok boolean, p_data text)
RETURNS void LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE v_epoch bigint; v_sequence bigint; v_type text;
BEGIN
  ${fence}
  SELECT q.sequence, q.entity_type INTO v_sequence, v_type FROM ${s}.requests q WHERE q.request_id = p_id;
  IF FOUND THEN
    INSERT INTO ${s}.replies (sequence, entity_type, ok, data, answered_at) VALUES (v_sequence, v_type, p_ok, p_data, p_now)
      ON CONFLICT DO NOTHING;
  END IF;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is a recorded reply, or no such request' USING ERRCODE = 'HF002';
  END IF;
  DELETE FROM ${s}.pending p WHERE p.sequence = v_sequence;
  IF NOT FOUND THEN
    -- It was not pending: a dead letter that is answered after all is a dead letter no longer.
    DELETE FROM ${s}.dead_letters d WHERE d.sequence = v_sequence;
  END IF;
END $fn$;`;
}
function commitStep(s) {
  return `
CREATE OR REPLACE FUNCTION ${s}.commit_step_v3(p_shard text, p_epoch bigint, p_type text, p_execution text, p_ordinal int,
  p_position int, p_kind text, p_name text, p_event text, p_data text)
RETURNS void LANGUAGE plpgsql AS $fn$
BEGIN
  PERFORM ${s}.commit_step_v9(p_shard, p_epoch, ${s}.journal_key_v9(p_type, p_execution), p_ordinal, p_position, p_kind,
    p_name, p_event, p_data, ${s}.journal_execution_v9(p_type, p_execution, p_kind, p_event));
END $fn$;`;
}

// src/migration-4-functions.ts
function functionsOfVersion4(s) {
  return [readExecution(s), trimExecution(s), reopenExecution(s), forgetAnswered(s), sweepOfVersion2(s)].join(
    "\n"
  );
}
function readExecution(s) {
  const keyed = `${s}.requests o
    WHERE o.entity_type = p_type AND o.entity_id = p_execution AND o.deduplication_key IS NOT NULL`;
  return `
CREATE OR REPLACE FUNCTION ${s}.read_execution_v4(p_type text, p_execution text, p_execution_tag text, p_inbox_tags text[])
RETURNS TABLE (ordinal int, "position" int, kind text, name text, event text, data text, request_id text, tag text, payload text)
LANGUAGE plpgsql STABLE ${PLANNING} AS $fn$
#variable_conflict use_column
DECLARE v_keys uuid[] := ${usedKeys(s)}; v_start bigint;
BEGIN
  ${entriesOf(s, "j.ordinal, j.position, j.kind, j.name, j.event, j.data, NULL, NULL, NULL")}
  SELECT min(q.sequence) INTO v_start FROM (
    SELECT o.sequence FROM ${keyed} AND o.tag = p_execution_tag OFFSET 0) q;
  IF v_start IS NULL THEN RETURN; END IF;
  RETURN QUERY SELECT NULL::int, NULL::int, NULL, NULL, NULL, NULL, q.request_id, q.tag, q.payload FROM (
    SELECT o.* FROM ${keyed} AND o.tag = ANY (p_inbox_tags) OFFSET 0) q
    WHERE q.sequence > v_start ORDER BY q.sequence;
END $fn$;`;
}
function withoutKey(s, ids) {
  return `EXECUTE 'SELECT $1 || ARRAY(SELECT q.sequence FROM unnest(${ids}) AS t (id) CROSS JOIN LATERAL (
      SELECT o.sequence FROM ${s}.requests o WHERE o.entity_type = $2 AND o.entity_id = t.id
        AND o.deduplication_key IS NULL OFFSET 0) q)' INTO v_old`;
}
function forgetOld(s) {
  return ["pending", "chunks", "streams", "dead_letters", "replies", "requests"].map((table) => `DELETE FROM ${s}.${table} o WHERE o.sequence = ANY (v_old);`).join("\n  ");
}
function trimExecution(s) {
  return `
CREATE OR REPLACE FUNCTION ${s}.trim_execution_v4(
  p_shard text, p_epoch bigint, p_type text, p_execution text, p_below bigint, p_ids text[], p_before bigint
) RETURNS void LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE v_keys uuid[] := ${s}.journal_keys_v12(p_type, p_execution); v_epoch bigint; v_old bigint[];
BEGIN
  SELECT e.epoch INTO v_epoch FROM ${s}.shards e WHERE e.shard_id = p_shard FOR SHARE;
  IF v_epoch IS DISTINCT FROM p_epoch THEN
    PERFORM ${s}.refuse_fence_v9(v_epoch);
  END IF;
  DELETE FROM ${s}.journal j WHERE j.key = ANY (v_keys) AND j.ordinal < p_below;
  v_old := ARRAY(SELECT q.sequence FROM ${s}.requests q
    WHERE q.request_id = ANY (p_ids) AND q.entity_type = p_type AND q.entity_id = p_execution);
  ${withoutKey(s, "ARRAY[$3]")} USING v_old, p_type, p_execution;
  -- In one order, so that two who trim at once do not wait for each other.
  v_old := ARRAY(SELECT r.sequence FROM ${s}.replies r
    WHERE r.sequence = ANY (v_old) AND r.answered_at < p_before ORDER BY r.sequence FOR UPDATE);
  ${forgetOld(s)}
END $fn$;`;
}
function reopenExecution(s) {
  return `
CREATE OR REPLACE FUNCTION ${s}.reopen_execution_v4(p_type text, p_execution text, p_id text, p_forget int[],
  p_ordinal int, p_position int, p_kind text, p_name text, p_event text, p_data text)
RETURNS TABLE (entity_type text, entity_id text, shard_id text) LANGUAGE plpgsql ${PLANNING} AS $fn$
#variable_conflict use_column
DECLARE v_keys uuid[] := ${s}.journal_keys_v12(p_type, p_execution); v_sequence bigint; v_shard text;
  v_key uuid := ${s}.journal_key_v12(p_type, p_execution, p_id);
BEGIN
  SELECT q.sequence, q.shard_id INTO v_sequence, v_shard FROM ${s}.requests q
    WHERE q.request_id = p_id AND q.entity_type = p_type AND q.entity_id = p_execution;
  IF NOT FOUND THEN RETURN; END IF;
  PERFORM ${s}.hold_shards_v9(ARRAY[v_shard]);
  PERFORM 1 FROM ${s}.journal j WHERE j.key = ANY (v_keys) AND j.ordinal >= p_ordinal LIMIT 1;
  IF FOUND THEN RETURN; END IF;
  DELETE FROM ${s}.replies r WHERE r.sequence = v_sequence AND NOT r.ok;
  IF NOT FOUND THEN RETURN; END IF;
  DELETE FROM ${s}.journal j WHERE j.key = ANY (v_keys) AND j.ordinal = ANY (p_forget);
  INSERT INTO ${s}.journal (key, ordinal, position, kind, name, event, data, execution)
    VALUES (CASE WHEN v_key = ANY (v_keys) THEN v_key ELSE v_keys[1] END, p_ordinal, p_position, p_kind, p_name, p_event, p_data,
      ${s}.journal_execution_v9(p_type, p_execution, p_kind, p_event));
  INSERT INTO ${s}.pending (sequence, shard_id, entity_type, entity_id, attempts, deliver_at)
    VALUES (v_sequence, v_shard, p_type, p_execution, 0, NULL);
  RETURN QUERY SELECT p_type, p_execution, v_shard;
END $fn$;`;
}
function forgetAnswered(s) {
  const old = `r.entity_type = p_type AND r.answered_at < p_before`;
  return `
CREATE OR REPLACE FUNCTION ${s}.forget_answered_v4(p_type text, p_before bigint, p_limit int, p_execution_tag text) RETURNS int
LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE v_old bigint[]; v_executions text[]; v_execution text; v_count int;
BEGIN
  IF p_execution_tag IS NULL THEN
    SELECT array_agg(o.sequence) INTO v_old FROM (
      SELECT r.sequence FROM ${s}.replies r WHERE ${old} ORDER BY r.answered_at LIMIT p_limit FOR UPDATE SKIP LOCKED) o;
  ELSE
    -- Another request of the tag is no execution, and must not take the execution along.
    SELECT array_agg(o.sequence), coalesce(array_agg(o.entity_id) FILTER (WHERE o.deduplication_key = p_execution_tag), '{}')
      INTO v_old, v_executions FROM (
      SELECT r.sequence, q.entity_id, q.deduplication_key FROM ${s}.replies r LEFT JOIN LATERAL (
        SELECT o.tag, o.entity_id, o.deduplication_key FROM ${s}.requests o WHERE o.sequence = r.sequence OFFSET 0) q ON true
        WHERE ${old} AND (q.tag IS NULL OR q.tag = p_execution_tag)
        ORDER BY r.answered_at LIMIT p_limit FOR UPDATE OF r SKIP LOCKED) o;
  END IF;
  IF v_old IS NULL THEN RETURN 0; END IF;
  v_count := cardinality(v_old);
  IF p_execution_tag IS NOT NULL THEN
    FOREACH v_execution IN ARRAY v_executions LOOP
      DELETE FROM ${s}.journal j WHERE j.key = ANY (${s}.journal_keys_v12(p_type, v_execution));
      DELETE FROM ${s}.attributes a WHERE a.entity_type = p_type AND a.execution_id = v_execution;
      v_old := v_old || ARRAY(SELECT q.sequence FROM ${s}.requests q
        WHERE q.entity_type = p_type AND q.entity_id = v_execution AND q.deduplication_key IS NOT NULL);
    END LOOP;
    ${withoutKey(s, "$3")} USING v_old, p_type, v_executions;
  END IF;
  ${forgetOld(s)}
  RETURN v_count;
END $fn$;`;
}
function sweepOfVersion2(s) {
  return `
CREATE OR REPLACE FUNCTION ${s}.forget_answered_v2(p_type text, p_before bigint, p_limit int, p_execution_tag text) RETURNS int
LANGUAGE plpgsql AS $fn$
BEGIN
  RETURN ${s}.forget_answered_v4(p_type, p_before, p_limit, p_execution_tag);
END $fn$;`;
}

// src/migration-4-listing.ts
var FEW = 1e4;
function listingOfVersion4(s) {
  return `
CREATE OR REPLACE FUNCTION ${s}.list_executions_v4(
  p_type text, p_tag text, p_execution text, p_status text, p_from text, p_below text, p_names text[], p_values text[],
  p_now bigint, p_limit int, p_cancelled text
) RETURNS TABLE (status text, ended_at bigint, due_at bigint, attributes text, request_id text, shard_id text,
  entity_type text, entity_id text, tag text, deduplication_key text, payload text, headers text, expects text,
  uninterruptible boolean, from_inside boolean, read_pending_first boolean, sender text, deliver_at bigint)
LANGUAGE plpgsql STABLE ${PLANNING} SET max_parallel_workers_per_gather = 0 SET jit = off AS $fn$
#variable_conflict use_column
DECLARE v_few bigint[]; v_some bigint[]; v_executions text[]; v_requests text := '${s}.requests'; v_where text := '';
BEGIN
  IF p_execution IS NOT NULL THEN
    v_few := ARRAY(${executions(s, "ARRAY[p_execution]")});
  ELSIF p_status IS NOT NULL THEN
    EXECUTE 'SELECT ARRAY(SELECT f.sequence FROM (' || CASE p_status
      ${ofStatuses(s)}
      END || ') f LIMIT ${FEW + 1})' INTO v_some USING p_type, p_now, p_cancelled;
    IF cardinality(v_some) <= ${FEW} THEN v_few := v_some; END IF;
  END IF;
  FOR i IN 1 .. cardinality(p_names) LOOP
    v_executions := ARRAY(SELECT a.execution_id FROM ${s}.attributes a
      WHERE a.entity_type = p_type AND a.name = p_names[i] AND a.value = p_values[i]
      LIMIT least(${FEW}, cardinality(v_few)) + 1);
    IF cardinality(v_executions) <= least(${FEW}, cardinality(v_few)) THEN
      v_few := ARRAY(${executions(s, "v_executions")});
    END IF;
    -- Found by its execution: by its name PostgreSQL may go through the attributes of all.
    v_where := v_where || format(' AND ($7)[%1$s] = (SELECT o.value FROM ${s}.attributes o
      WHERE o.entity_type = q.entity_type AND o.execution_id = q.entity_id AND o.name || '''' = ($6)[%1$s])', i);
  END LOOP;
  IF v_few IS NOT NULL THEN
    v_requests := '(SELECT t.sequence FROM unnest($10) AS t (sequence)) t
      CROSS JOIN LATERAL (SELECT o.* FROM ${s}.requests o WHERE o.sequence = t.sequence OFFSET 0)';
  END IF;
  RETURN QUERY EXECUTE 'SELECT s.status, coalesce(r.answered_at, d.dead_since),
      CASE WHEN s.status = ''suspended'' THEN p.deliver_at END,
      (SELECT json_object_agg(a.name, a.value::json)::text FROM ${s}.attributes a
        WHERE a.entity_type = q.entity_type AND a.execution_id = q.entity_id),
      q.request_id, q.shard_id, q.entity_type, q.entity_id, q.tag, q.deduplication_key, q.payload, q.headers, q.expects,
      q.uninterruptible, q.from_inside, q.read_pending_first, q.sender, q.deliver_at
    FROM ' || v_requests || ' q
    LEFT JOIN LATERAL (SELECT o.* FROM ${s}.pending o WHERE o.sequence = q.sequence OFFSET 0) p ON true
    LEFT JOIN LATERAL (SELECT o.ok, o.answered_at, NOT o.ok AND starts_with(o.data, $9) AS is_cancelled
      FROM ${s}.replies o WHERE o.sequence = q.sequence OFFSET 0) r ON true
    LEFT JOIN LATERAL (SELECT o.dead_since FROM ${s}.dead_letters o WHERE o.sequence = q.sequence OFFSET 0) d ON true
    CROSS JOIN LATERAL (SELECT CASE
      WHEN r.ok THEN ''completed'' WHEN r.is_cancelled THEN ''cancelled''
      WHEN NOT r.ok OR d.dead_since IS NOT NULL THEN ''failed''
      WHEN p.deliver_at > $8 THEN ''suspended'' WHEN p.attempts > 0 THEN ''running'' ELSE ''pending'' END AS status) s
    WHERE q.entity_type = $1 AND q.tag = $2 AND q.deduplication_key IS NOT NULL
      AND ($3 IS NULL OR s.status = $3) AND ($4 IS NULL OR q.request_id >= $4) AND ($5 IS NULL OR q.request_id < $5)'
      || v_where || ' ORDER BY q.request_id DESC LIMIT $11'
    USING p_type, p_tag, p_status, p_from, p_below, p_names, p_values, p_now, p_cancelled, v_few, p_limit;
END $fn$;`;
}
function executions(s, ids) {
  return `SELECT q.sequence FROM unnest(${ids}) AS t (id) CROSS JOIN LATERAL (
        SELECT o.sequence FROM ${s}.requests o WHERE o.entity_type = p_type AND o.entity_id = t.id AND o.tag = p_tag
          AND o.deduplication_key IS NOT NULL OFFSET 0) q`;
}
function ofStatuses(s) {
  const due = (where) => ["p.deliver_at IS NULL", "p.deliver_at <= $2"].map(
    (when) => `SELECT p.sequence FROM ${s}.pending p WHERE p.entity_type = $1 AND ${when} AND ${where}`
  ).join(" UNION ALL ");
  const answered = `SELECT r.sequence FROM ${s}.replies r WHERE r.entity_type = $1`;
  const dead = `SELECT d.sequence FROM ${s}.dead_letters d
        CROSS JOIN LATERAL (SELECT FROM ${s}.requests o WHERE o.sequence = d.sequence AND o.entity_type = $1 OFFSET 0) q`;
  return Object.entries({
    pending: due("p.attempts = 0"),
    running: due("p.attempts > 0"),
    suspended: `SELECT p.sequence FROM ${s}.pending p WHERE p.entity_type = $1 AND p.deliver_at > $2`,
    completed: `${answered} AND r.ok`,
    cancelled: `${answered} AND NOT r.ok AND starts_with(r.data, $3)`,
    failed: `${answered} AND NOT r.ok AND NOT starts_with(r.data, $3) UNION ALL ${dead}`
  }).map(([status, query]) => `WHEN '${status}' THEN '${query}'`).join("\n      ");
}

// src/migration-4.ts
var OF_WORKFLOWS = `entity_type >= 'workflow:' AND entity_type < 'workflow;'`;
function tablesAndFunctionsOfVersion4(schema) {
  const s = `"${schema}"`;
  return [locks(s), attributes(s), indexes(s), functionsOfVersion4(s), listingOfVersion4(s)].join("\n");
}
function locks(s) {
  return `
LOCK TABLE ${s}.shards IN EXCLUSIVE MODE;
LOCK TABLE ${s}.journal, ${s}.requests, ${s}.pending, ${s}.replies IN SHARE ROW EXCLUSIVE MODE;`;
}
function attributes(s) {
  return `
CREATE TABLE ${s}.attributes (
  entity_type text COLLATE "C" NOT NULL,
  execution_id text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  value text COLLATE "C" NOT NULL,
  PRIMARY KEY (entity_type, execution_id, name)
);
COMMENT ON TABLE ${s}.attributes IS 'What executions are found by, as JSON. Follows the journal.';
CREATE INDEX attributes_by_value ON ${s}.attributes (entity_type, name, value);
CREATE FUNCTION ${s}.keep_attributes_v4() RETURNS trigger LANGUAGE plpgsql ${PLANNING} AS $fn$
BEGIN
  INSERT INTO ${s}.attributes (entity_type, execution_id, name, value)
    SELECT NEW.entity_type, NEW.execution_id, e.key, e.value::text FROM json_each(NEW.data::json) e
      WHERE json_typeof(e.value) <> 'null'
    ON CONFLICT (entity_type, execution_id, name) DO UPDATE SET value = excluded.value;
  DELETE FROM ${s}.attributes a
    WHERE a.entity_type = NEW.entity_type AND a.execution_id = NEW.execution_id AND a.name = ANY (ARRAY(
      SELECT e.key FROM json_each(NEW.data::json) e WHERE json_typeof(e.value) = 'null'));
  RETURN NULL;
END $fn$;
CREATE TRIGGER keep_attributes AFTER INSERT ON ${s}.journal FOR EACH ROW
  WHEN (NEW.kind = 'attributes' AND NEW.event = 'completed') EXECUTE FUNCTION ${s}.keep_attributes_v4();`;
}
function indexes(s) {
  return `
CREATE INDEX requests_of_executions ON ${s}.requests (entity_type, request_id) WHERE tag = 'execute';
CREATE INDEX requests_without_key ON ${s}.requests (entity_type, entity_id)
  WHERE deduplication_key IS NULL AND ${OF_WORKFLOWS};
CREATE INDEX pending_executions ON ${s}.pending (entity_type, deliver_at) WHERE ${OF_WORKFLOWS};
CREATE INDEX replies_failed ON ${s}.replies (entity_type, sequence) WHERE NOT ok AND ${OF_WORKFLOWS};`;
}

// src/migration-5.ts
function functionsOfVersion5(schema) {
  const s = `"${schema}"`;
  return [dropDeadLetter(s), dropOfVersion1(s)].join("\n");
}
function dropDeadLetter(s) {
  const forgetOld2 = ["pending", "streams", "chunks", "dead_letters", "replies", "requests"].map((table) => `DELETE FROM ${s}.${table} o WHERE o.sequence = ANY (v_old);`).join("\n  ");
  return `
CREATE OR REPLACE FUNCTION ${s}.drop_dead_letter_v5(p_id text, p_execution_tag text) RETURNS TABLE (dropped text)
LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE v_sequence bigint; v_shard text; v_type text; v_entity text; v_tag text; v_key text; v_old bigint[];
BEGIN
  SELECT q.sequence, q.shard_id, q.entity_type, q.entity_id, q.tag, q.deduplication_key
    INTO v_sequence, v_shard, v_type, v_entity, v_tag, v_key
    FROM ${s}.requests q WHERE q.request_id = p_id;
  IF NOT FOUND THEN RETURN; END IF;
  PERFORM ${s}.hold_shards_v9(ARRAY[v_shard]);
  PERFORM 1 FROM ${s}.dead_letters d WHERE d.sequence = v_sequence;
  IF NOT FOUND THEN RETURN; END IF;
  v_old := ARRAY[v_sequence];
  -- Another request of the tag is no execution, and must not take the execution along.
  IF v_tag = p_execution_tag AND v_key = p_execution_tag THEN
    DELETE FROM ${s}.journal j WHERE j.key = ANY (${s}.journal_keys_v12(v_type, v_entity));
    DELETE FROM ${s}.attributes a WHERE a.entity_type = v_type AND a.execution_id = v_entity;
    v_old := v_old || ARRAY(SELECT q.sequence FROM ${s}.requests q
      WHERE q.entity_type = v_type AND q.entity_id = v_entity AND q.deduplication_key IS NOT NULL);
    ${withoutKey(s, "ARRAY[$3]")} USING v_old, v_type, v_entity;
  END IF;
  ${forgetOld2}
  RETURN QUERY SELECT p_id;
END $fn$;`;
}
function dropOfVersion1(s) {
  return `
CREATE OR REPLACE FUNCTION ${s}.drop_dead_letter_v1(p_id text) RETURNS TABLE (dropped text)
LANGUAGE plpgsql ${PLANNING} AS $fn$
BEGIN
  RETURN QUERY SELECT d.dropped FROM ${s}.drop_dead_letter_v5(p_id, (
    SELECT 'execute'::text FROM ${s}.requests q WHERE q.request_id = p_id AND starts_with(q.entity_type, 'workflow:'))) d;
END $fn$;`;
}

// src/migration-6.ts
function functionsOfVersion6(schema) {
  const s = `"${schema}"`;
  return writeOthers(s) + writeStep(s);
}
function writeOthers(s) {
  const fence = `SELECT e.epoch INTO v_epoch FROM ${s}.shards e WHERE e.shard_id = p_shard FOR SHARE;
  v_answer := json_build_object('f', json_build_array(v_epoch));
  IF v_epoch IS DISTINCT FROM p_epoch THEN RETURN v_answer; END IF;`;
  return `
CREATE FUNCTION ${s}.write_request_v6(p_shard text, p_epoch bigint, p_id text, p_of_shard text, p_type text, p_entity text,
  p_tag text, p_key text, p_payload text, p_headers text, p_expects text, p_uninterruptible boolean, p_inside boolean,
  p_pending_first boolean, p_sender text, p_deliver_at bigint, p_attempts int)
RETURNS text LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE v_epoch bigint; v_sequence bigint; v_answer text := '{}';
BEGIN
  -- Who stores a request for others has no fence.
  IF p_shard IS NOT NULL THEN
    ${fence}
  END IF;
  INSERT INTO ${s}.requests (request_id, shard_id, entity_type, entity_id, tag, deduplication_key, payload, headers, expects,
      uninterruptible, from_inside, read_pending_first, sender, deliver_at)
    VALUES (p_id, p_of_shard, p_type, p_entity, p_tag, p_key, p_payload, p_headers, p_expects, p_uninterruptible, p_inside,
      p_pending_first, p_sender, p_deliver_at)
    ON CONFLICT DO NOTHING RETURNING requests.sequence INTO v_sequence;
  IF NOT FOUND THEN RETURN v_answer; END IF;
  INSERT INTO ${s}.pending (sequence, shard_id, entity_type, entity_id, attempts, deliver_at)
    VALUES (v_sequence, p_of_shard, p_type, p_entity, p_attempts, p_deliver_at);
  RETURN json_build_object('f', json_build_array(v_epoch), 'q', json_build_object(p_id, v_sequence));
END $fn$;
CREATE FUNCTION ${s}.write_reply_v6(p_shard text, p_epoch bigint, p_now bigint, p_id text, p_ok boolean, p_data text)
RETURNS text LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE v_epoch bigint; v_sequence bigint; v_type text; v_answer text;
BEGIN
  ${fence}
  SELECT q.sequence, q.entity_type INTO v_sequence, v_type FROM ${s}.requests q WHERE q.request_id = p_id;
  IF NOT FOUND THEN RETURN v_answer; END IF;
  INSERT INTO ${s}.replies (sequence, entity_type, ok, data, answered_at) VALUES (v_sequence, v_type, p_ok, p_data, p_now)
    ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN RETURN v_answer; END IF;
  DELETE FROM ${s}.pending p WHERE p.sequence = v_sequence;
  IF NOT FOUND THEN
    -- It was not pending: a dead letter that is answered after all is a dead letter no longer.
    DELETE FROM ${s}.dead_letters d WHERE d.sequence = v_sequence;
  END IF;
  RETURN json_build_object('f', json_build_array(v_epoch), 'r', json_build_array(p_id));
END $fn$;
CREATE FUNCTION ${s}.write_attempts_v6(p_shard text, p_epoch bigint, p_id text, p_attempts int, p_moves boolean,
  p_deliver_at bigint)
RETURNS text LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE v_epoch bigint; v_sequence bigint; v_answer text;
BEGIN
  ${fence}
  SELECT q.sequence INTO v_sequence FROM ${s}.requests q WHERE q.request_id = p_id;
  UPDATE ${s}.pending p SET attempts = p_attempts,
    deliver_at = CASE WHEN p_moves THEN p_deliver_at ELSE p.deliver_at END WHERE p.sequence = v_sequence;
  RETURN v_answer;
END $fn$;`;
}
function writeStep(s) {
  return `
CREATE OR REPLACE FUNCTION ${s}.write_step_v6(p_shard text, p_epoch bigint, p_type text, p_execution text, p_ordinal int,
  p_position int, p_kind text, p_name text, p_event text, p_data text)
RETURNS text LANGUAGE plpgsql AS $fn$
BEGIN
  RETURN ${s}.write_step_v9(p_shard, p_epoch, ${s}.journal_key_v9(p_type, p_execution), p_ordinal, p_position, p_kind, p_name,
    p_event, p_data, ${s}.journal_execution_v9(p_type, p_execution, p_kind, p_event));
END $fn$;`;
}

// src/migration-7.ts
function functionsOfVersion7(schema) {
  const s = `"${schema}"`;
  return [
    writeCommonGroup(s, 7),
    readPending(s),
    requeueDeadLetter(s),
    listingOfVersion4(s),
    forgetAnswered(s)
  ].join("\n");
}
function requeueDeadLetter(s) {
  return `
CREATE FUNCTION ${s}.requeue_dead_letter_v7(p_id text, p_execution_tag text)
RETURNS TABLE (entity_type text, entity_id text, shard_id text) LANGUAGE plpgsql ${PLANNING} AS $fn$
#variable_conflict use_column
DECLARE v_sequence bigint;
BEGIN
  RETURN QUERY SELECT t.entity_type, t.entity_id, t.shard_id FROM ${s}.requeue_dead_letter_v1(p_id) t;
  IF NOT FOUND THEN RETURN; END IF;
  SELECT q.sequence INTO v_sequence FROM ${s}.requests q WHERE q.request_id = p_id AND q.tag = p_execution_tag;
  UPDATE ${s}.pending p SET attempts = 1 WHERE p.sequence = v_sequence;
END $fn$;`;
}

// src/migration-8.ts
function functionsOfVersion8(schema) {
  return writeCommonGroup(`"${schema}"`, 8);
}

// src/migration-9-write.ts
function writeStepOfVersion9(s) {
  const parameters = `p_shard text, p_epoch bigint, p_key uuid, p_ordinal int, p_position int, p_kind text, p_name text,
  p_event text, p_data text, p_execution text`;
  const lock2 = `SELECT e.epoch INTO v_epoch FROM ${s}.shards e WHERE e.shard_id = p_shard FOR SHARE;`;
  const insert = `INSERT INTO ${s}.journal (key, ordinal, position, kind, name, event, data, execution)
    VALUES (p_key, p_ordinal, p_position, p_kind, p_name, p_event, p_data, p_execution) ON CONFLICT DO NOTHING;`;
  return `
CREATE FUNCTION ${s}.write_step_v9(${parameters}) RETURNS text LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE v_epoch bigint;
BEGIN
  ${lock2}
  IF v_epoch = p_epoch THEN
    ${insert}
  END IF;
  RETURN json_build_object('f', json_build_array(v_epoch));
END $fn$;
CREATE FUNCTION ${s}.commit_step_v9(${parameters}) RETURNS void LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE v_epoch bigint;
BEGIN
  ${lock2}
  IF v_epoch IS DISTINCT FROM p_epoch THEN
    PERFORM ${s}.refuse_fence_v9(v_epoch);
  END IF;
  ${insert}
  IF NOT FOUND THEN
    RAISE EXCEPTION 'an entry of this ordinal is there already' USING ERRCODE = 'HF003';
  END IF;
END $fn$;`;
}

// src/migration-9.ts
function tablesAndFunctionsOfVersion9(schema) {
  const s = `"${schema}"`;
  return [
    gates(s),
    journal(s),
    writeStepOfVersion9(s),
    claimShards(s),
    readJournal(s),
    deadLetters(s),
    writeGroup(s),
    commitStep(s),
    functionsOfVersion4(s),
    functionsOfVersion5(schema),
    writeStep(s),
    writeCommonGroup(s, 7),
    writeCommonGroup(s, 8)
  ].join("\n");
}
function gates(s) {
  return `
ALTER TABLE ${s}.shards ADD COLUMN gate bigint;
COMMENT ON TABLE ${s}.shards IS 'The epoch of each shard: its fencing token. A write holds its gate or its row, a claim raises it.';
COMMENT ON COLUMN ${s}.shards.gate IS 'The advisory lock under which whoever claimed it writes. Null: only its row is locked.';
CREATE FUNCTION ${s}.hold_shards_v9(p_shards text[]) RETURNS void LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE v_gate bigint;
BEGIN
  -- Rows and gates are locked in one order by all, so that two who do it never wait for each other.
  PERFORM 1 FROM ${s}.shards e WHERE e.shard_id = ANY (p_shards) ORDER BY e.shard_id FOR UPDATE;
  FOR v_gate IN
    SELECT DISTINCT e.gate FROM ${s}.shards e WHERE e.shard_id = ANY (p_shards) AND e.gate IS NOT NULL ORDER BY e.gate
  LOOP
    PERFORM pg_advisory_xact_lock(v_gate);
  END LOOP;
END $fn$;
COMMENT ON FUNCTION ${s}.hold_shards_v9 IS 'Waits for the fenced writes of these shards, and holds up new ones until the end of the transaction.';
CREATE FUNCTION ${s}.wait_for_gate_v9() RETURNS trigger LANGUAGE plpgsql AS $fn$
BEGIN
  PERFORM pg_advisory_xact_lock(OLD.gate);
  RETURN NEW;
END $fn$;
COMMENT ON FUNCTION ${s}.wait_for_gate_v9 IS 'No epoch is raised beside a write under the gate, whoever raises it.';
CREATE TRIGGER wait_for_gate BEFORE UPDATE OF epoch ON ${s}.shards FOR EACH ROW
  WHEN (OLD.gate IS NOT NULL) EXECUTE FUNCTION ${s}.wait_for_gate_v9();
CREATE FUNCTION ${s}.refuse_fence_v9(p_epoch bigint) RETURNS boolean LANGUAGE plpgsql AS $fn$
BEGIN
  RAISE EXCEPTION 'the shard was claimed again' USING ERRCODE = 'HF001', DETAIL = coalesce(p_epoch::text, '');
END $fn$;
COMMENT ON FUNCTION ${s}.refuse_fence_v9 IS 'Ends the transaction of a write whose shard is at this epoch, and not at its own.';
CREATE FUNCTION ${s}.claim_shards_v9(p_shards text[], p_gate bigint) RETURNS text LANGUAGE plpgsql AS $fn$
DECLARE v_new text[]; v_old text[]; v_epochs json;
BEGIN
  WITH made AS (
    INSERT INTO ${s}.shards (shard_id, epoch, gate)
    SELECT DISTINCT t.shard_id COLLATE "C", 1, p_gate FROM unnest(p_shards) AS t (shard_id) ORDER BY 1
    ON CONFLICT DO NOTHING RETURNING shards.shard_id
  ) SELECT coalesce(array_agg(m.shard_id), '{}') INTO v_new FROM made m;
  v_old := ARRAY(SELECT DISTINCT t.shard_id FROM unnest(p_shards) AS t (shard_id) WHERE t.shard_id <> ALL (v_new));
  PERFORM ${s}.hold_shards_v9(v_old);
  UPDATE ${s}.shards e SET epoch = e.epoch + 1, gate = p_gate WHERE e.shard_id = ANY (v_old);
  SELECT json_object_agg(e.shard_id, e.epoch) INTO v_epochs FROM ${s}.shards e WHERE e.shard_id = ANY (p_shards);
  RETURN v_epochs::text;
END $fn$;`;
}
function journal(s) {
  return `
CREATE FUNCTION ${s}.journal_key_v9(p_type text, p_execution text) RETURNS uuid LANGUAGE sql STABLE AS $fn$
  SELECT encode(substring(sha256(convert_to(p_type || '/' || p_execution, 'UTF8')) FROM 1 FOR 16), 'hex')::uuid
$fn$;
CREATE FUNCTION ${s}.journal_execution_v9(p_type text, p_execution text, p_kind text, p_event text) RETURNS text
LANGUAGE sql IMMUTABLE AS $fn$
  SELECT CASE WHEN p_kind = 'attributes' AND p_event = 'completed' THEN p_type || '/' || p_execution END
$fn$;

LOCK TABLE ${s}.journal IN ACCESS EXCLUSIVE MODE;
ALTER TABLE ${s}.journal RENAME TO journal_v1;
CREATE TABLE ${s}.journal (
  key uuid NOT NULL,
  ordinal integer NOT NULL,
  position integer NOT NULL,
  kind text NOT NULL,
  name text NOT NULL,
  event text NOT NULL,
  data text NOT NULL,
  execution text COLLATE "C",
  CONSTRAINT journal_by_key PRIMARY KEY (key, ordinal)
);
COMMENT ON TABLE ${s}.journal IS 'What executions have done, each under its journal_keys_v12. data: the value of a completed step, else JSON.';
INSERT INTO ${s}.journal (key, ordinal, position, kind, name, event, data, execution)
  SELECT ${s}.journal_key_v9(j.entity_type, j.execution_id), j.ordinal, j.position, j.kind, j.name, j.event, j.data,
    ${s}.journal_execution_v9(j.entity_type, j.execution_id, j.kind, j.event) FROM ${s}.journal_v1 j;
DROP TABLE ${s}.journal_v1;

DROP FUNCTION ${s}.keep_attributes_v4();
CREATE FUNCTION ${s}.keep_attributes_v9() RETURNS trigger LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE v_type text := split_part(NEW.execution, '/', 1); v_execution text := substr(NEW.execution, length(v_type) + 2);
BEGIN
  INSERT INTO ${s}.attributes (entity_type, execution_id, name, value)
    SELECT v_type, v_execution, e.key, e.value::text FROM json_each(NEW.data::json) e WHERE json_typeof(e.value) <> 'null'
    ON CONFLICT (entity_type, execution_id, name) DO UPDATE SET value = excluded.value;
  DELETE FROM ${s}.attributes a
    WHERE a.entity_type = v_type AND a.execution_id = v_execution AND a.name = ANY (ARRAY(
      SELECT e.key FROM json_each(NEW.data::json) e WHERE json_typeof(e.value) = 'null'));
  RETURN NULL;
END $fn$;
CREATE TRIGGER keep_attributes AFTER INSERT ON ${s}.journal FOR EACH ROW
  WHEN (NEW.execution IS NOT NULL) EXECUTE FUNCTION ${s}.keep_attributes_v9();`;
}

// src/group-columns.ts
var ANSWERED = -1;
var GROUP_COLUMNS = {
  q: columns(
    "fence int, id text, shard text, type text, entity text, tag text, key text?, payload text, headers text, expects text, uninterruptible boolean, inside boolean, pending_first boolean, sender text, deliver_at bigint?, attempts int"
  ),
  u: columns("fence int, id text, attempts int, moves boolean, deliver_at bigint?"),
  j: columns(
    "fence int, key uuid, ordinal int, position int, kind text, name text, event text, data text, execution text?"
  ),
  c: columns("fence int, id text, index int, value text"),
  r: columns("fence int, id text, ok boolean, data text"),
  d: columns("fence int, id text, attempts int, error text, since bigint")
};
function columns(list) {
  return list.split(", ").map((column, index) => {
    const [name = "", type = ""] = column.replace("?", "").split(" ");
    return { name, type, isNullable: column.endsWith("?"), isWhole: index === 1 };
  });
}

// src/migration-10.ts
function given(kind, chosen) {
  const asked = chosen?.split(" ") ?? GROUP_COLUMNS[kind].map(({ name }) => name);
  const columns2 = asked.map(
    (name) => GROUP_COLUMNS[kind].find((column) => column.name === name)
  );
  const values = columns2.map(
    ({ name, isNullable, isWhole }) => isNullable || isWhole ? `u.${name}` : `CASE WHEN cardinality(p_${kind}_${name}) = 1 THEN p_${kind}_${name}[1] ELSE u.${name} END AS ${name}`
  );
  const whole = GROUP_COLUMNS[kind].find(({ isWhole }) => isWhole);
  return `(SELECT ${values.join(", ")}, u.place
        FROM (SELECT ${asked.map((name) => `unnest(p_${kind}_${name}) AS ${name}`).join(", ")},
          generate_subscripts(p_${kind}_${whole.name}, 1) AS place) u) t`;
}
function parametersOf(...kinds) {
  return kinds.map((kind) => GROUP_COLUMNS[kind].map(({ name, type }) => `p_${kind}_${name} ${type}[]`).join(", ")).join(",\n  ");
}
function argumentsOf(...kinds) {
  return kinds.map((kind) => GROUP_COLUMNS[kind].map(({ name }) => `p_${kind}_${name}`).join(", ")).join(",\n    ");
}
function noneOf(kind) {
  return GROUP_COLUMNS[kind].map(() => "'{}'").join(", ");
}
var TERMS = "p_gate bigint, p_now bigint, p_f_shard text[], p_f_epoch bigint[]";
function functionsOfVersion10(schema) {
  const s = `"${schema}"`;
  return writeGroupOfVersion9(s);
}
function standing(s) {
  return `v_gated := p_gate IS NOT NULL AND current_setting('transaction_isolation') = 'read committed';
IF v_gated THEN
  PERFORM pg_advisory_xact_lock_shared(p_gate);
ELSE
  PERFORM 1 FROM ${s}.shards e WHERE e.shard_id = ANY (p_f_shard) ORDER BY e.shard_id FOR SHARE;
END IF;`;
}
function writeAnyGroup(s) {
  const lookedUp = lookedUpIn(s);
  return `
CREATE OR REPLACE FUNCTION ${s}.write_group_any_v9(
  p_strict boolean, ${TERMS},
  ${parametersOf("q", "u", "j", "c", "r", "d")}
) RETURNS text LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE
  v_epochs bigint[]; v_held boolean[]; v_gated boolean; v_replied text[] := '{}';
  v_accepted json; v_streams json; v_recorded json;
  v_sequences bigint[]; v_types text[]; v_ids text[]; v_oks boolean[]; v_texts text[];
  v_attempts int[]; v_moves boolean[]; v_times bigint[]; v_count int; v_left int; v_refused text[] := '{}';
BEGIN
  IF cardinality(p_f_shard) > 0 THEN
    ${standing(s).replaceAll("\n", "\n    ")}
    SELECT array_agg(e.epoch ORDER BY f.place), array_agg(e.epoch IS NOT DISTINCT FROM f.epoch ORDER BY f.place)
      INTO v_epochs, v_held
      FROM unnest(p_f_shard, p_f_epoch) WITH ORDINALITY AS f (shard_id, epoch, place)
      -- Under a gate that is not that of who claimed a shard nothing is held, whatever the epoch.
      LEFT JOIN ${s}.shards e ON e.shard_id = f.shard_id AND (NOT v_gated OR e.gate = p_gate OR e.epoch <> f.epoch);
    IF p_strict AND NOT (true = ALL (v_held)) THEN
      PERFORM ${s}.refuse_fence_v9(v_epochs[1]);
    END IF;
  END IF;

  IF cardinality(p_q_id) > 0 THEN
    IF cardinality(p_r_id) > 0 THEN
      SELECT coalesce(array_agg(t.id), '{}') INTO v_replied
        FROM ${given("r")} WHERE v_held[t.fence];
    END IF;
    WITH given AS MATERIALIZED (
      SELECT t.* FROM ${given("q")} WHERE t.fence = 0 OR v_held[t.fence]
    ), accepted AS (
      INSERT INTO ${s}.requests (request_id, shard_id, entity_type, entity_id, tag, deduplication_key, payload, headers,
        expects, uninterruptible, from_inside, read_pending_first, sender, deliver_at)
      SELECT g.id, g.shard, g.type, g.entity, g.tag, g.key, g.payload, g.headers, g.expects, g.uninterruptible, g.inside,
        g.pending_first, g.sender, g.deliver_at FROM given g ORDER BY g.place
      ON CONFLICT DO NOTHING
      RETURNING requests.sequence, requests.request_id
    ), queued AS (
      INSERT INTO ${s}.pending (sequence, shard_id, entity_type, entity_id, attempts, deliver_at)
      SELECT a.sequence, g.shard, g.type, g.entity, g.attempts, g.deliver_at
        FROM accepted a JOIN given g ON g.id = a.request_id
        WHERE NOT (a.request_id = ANY (v_replied))
    ) SELECT json_object_agg(a.request_id, a.sequence) INTO v_accepted FROM accepted a;
    IF cardinality(p_r_id) > 0 THEN
      -- Of a duplicate nothing is written, and so no reply that came with it.
      SELECT coalesce(array_agg(t.id), '{}') INTO v_refused
        FROM ${given("q", "id attempts")} WHERE t.attempts = ${ANSWERED} AND v_accepted->t.id IS NULL;
    END IF;
  END IF;

  ${updatePending(s, "WHERE v_held[t.fence]")}

  IF cardinality(p_j_key) > 0 THEN
    INSERT INTO ${s}.journal (key, ordinal, position, kind, name, event, data, execution)
      SELECT t.key, t.ordinal, t.position, t.kind, t.name, t.event, t.data, t.execution
        FROM ${given("j")} WHERE v_held[t.fence] ORDER BY t.place
      ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    IF p_strict AND v_count < cardinality(p_j_key) THEN
      RAISE EXCEPTION 'an entry of this ordinal is there already' USING ERRCODE = 'HF003';
    END IF;
  END IF;

  IF cardinality(p_c_id) > 0 THEN
    WITH given AS MATERIALIZED (
      SELECT q.sequence, t.id, t.index, t.value, t.place
        FROM ${given("c")}
        ${lookedUp} WHERE v_held[t.fence]
    ), stream AS (
      INSERT INTO ${s}.streams AS o (sequence, saved, acknowledged)
      SELECT g.sequence, max(g.index) + 1, 0 FROM given g GROUP BY g.sequence ORDER BY g.sequence
      ON CONFLICT (sequence) DO UPDATE SET saved = greatest(o.saved, excluded.saved)
      RETURNING o.sequence, o.acknowledged
    ), kept AS (
      INSERT INTO ${s}.chunks (sequence, index, value)
      SELECT g.sequence, g.index, g.value FROM given g JOIN stream o ON o.sequence = g.sequence
        WHERE g.index >= o.acknowledged ORDER BY g.place
      ON CONFLICT DO NOTHING
    ) SELECT json_agg(DISTINCT g.id) INTO v_streams FROM given g;
  END IF;

  IF cardinality(p_r_id) > 0 THEN
    SELECT array_agg(q.sequence ORDER BY t.place), array_agg(q.entity_type ORDER BY t.place), array_agg(t.id ORDER BY t.place),
        array_agg(t.ok ORDER BY t.place), array_agg(t.data ORDER BY t.place)
      INTO v_sequences, v_types, v_ids, v_oks, v_texts
      FROM ${given("r")}
      ${lookedUp} WHERE v_held[t.fence] AND NOT (t.id = ANY (v_refused));
    DELETE FROM ${s}.pending p WHERE p.sequence = ANY (v_sequences);
    GET DIAGNOSTICS v_left = ROW_COUNT;
    WITH recorded AS (
      INSERT INTO ${s}.replies (sequence, entity_type, ok, data, answered_at)
      SELECT t.sequence, t.type, t.ok, t.data, p_now FROM unnest(v_sequences, v_types, v_oks, v_texts) AS t (sequence, type, ok, data)
      ON CONFLICT DO NOTHING RETURNING replies.sequence
    ) SELECT json_agg(v_ids[array_position(v_sequences, r.sequence)]), count(*) INTO v_recorded, v_count FROM recorded r;
    IF v_left < v_count THEN
      -- It was not pending: a dead letter that is answered after all is a dead letter no longer.
      DELETE FROM ${s}.dead_letters d WHERE d.sequence = ANY (v_sequences);
    END IF;
    IF p_strict AND v_count < cardinality(p_r_id) THEN
      RAISE EXCEPTION 'there is a recorded reply, or no such request' USING ERRCODE = 'HF002';
    END IF;
  END IF;

  IF cardinality(p_d_id) > 0 THEN
    WITH given AS MATERIALIZED (
      SELECT q.sequence, t.id, t.attempts, t.error, t.since
        FROM ${given("d")}
        ${lookedUp} WHERE v_held[t.fence]
    ), gone AS (
      DELETE FROM ${s}.pending p WHERE p.sequence = ANY (ARRAY(SELECT g.sequence FROM given g)) RETURNING p.sequence
    ) INSERT INTO ${s}.dead_letters (sequence, request_id, attempts, error, dead_since)
        SELECT g.sequence, g.id, g.attempts, g.error, g.since FROM gone JOIN given g ON g.sequence = gone.sequence;
  END IF;

  RETURN json_build_object('f', v_epochs, 'q', v_accepted, 'c', v_streams, 'r', v_recorded)::text;
END $fn$;`;
}
function writeGroup2(s) {
  return `
CREATE OR REPLACE FUNCTION ${s}.write_group_v10(
  ${TERMS},
  ${parametersOf("q", "u", "j", "r")}
) RETURNS text LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE
  v_epochs bigint[]; v_count int; v_left int; v_gated boolean; v_passes boolean; v_pending int := 0;
  v_accepted bigint[] := '{}'; v_sequences bigint[]; v_attempts int[]; v_moves boolean[]; v_times bigint[];
BEGIN
  ${standing(s).replaceAll("\n", "\n  ")}
  v_epochs := ARRAY(
    SELECT e.epoch FROM ${s}.shards e WHERE e.shard_id = ANY (p_f_shard) AND (NOT v_gated OR e.gate = p_gate)
      ORDER BY e.shard_id);
  v_passes := v_epochs = p_f_epoch;
  IF v_passes AND cardinality(p_q_key) > 0 THEN
    v_passes := NOT EXISTS (SELECT FROM ${given("q", "id type entity tag key")} CROSS JOIN LATERAL (
      SELECT FROM ${s}.requests o WHERE o.entity_type = t.type AND o.entity_id = t.entity AND o.tag = t.tag
        AND o.deduplication_key = t.key OFFSET 0) known);
  END IF;
  IF v_passes THEN
    BEGIN
      IF cardinality(p_q_id) > 0 THEN
        v_accepted := ARRAY(SELECT nextval('${s}.requests_sequence_seq') FROM generate_series(1, cardinality(p_q_id)));
        INSERT INTO ${s}.requests (sequence, request_id, shard_id, entity_type, entity_id, tag, deduplication_key, payload,
            headers, expects, uninterruptible, from_inside, read_pending_first, sender, deliver_at) OVERRIDING SYSTEM VALUE
          SELECT v_accepted[t.place], t.id, t.shard, t.type, t.entity, t.tag, t.key, t.payload, t.headers, t.expects,
            t.uninterruptible, t.inside, t.pending_first, t.sender, t.deliver_at
            FROM ${given("q", "id shard type entity tag key payload headers expects uninterruptible inside pending_first sender deliver_at")};
        INSERT INTO ${s}.pending (sequence, shard_id, entity_type, entity_id, attempts, deliver_at)
          SELECT v_accepted[t.place], t.shard, t.type, t.entity, t.attempts, t.deliver_at
            FROM ${given("q", "id shard type entity attempts deliver_at")} WHERE t.attempts <> ${ANSWERED};
        GET DIAGNOSTICS v_pending = ROW_COUNT;
      END IF;
      ${updatePending(s, "").replaceAll("\n", "\n    ")}
      IF cardinality(p_j_key) > 0 THEN
        INSERT INTO ${s}.journal (key, ordinal, position, kind, name, event, data, execution)
          SELECT t.key, t.ordinal, t.position, t.kind, t.name, t.event, t.data, t.execution
            FROM ${given("j", "key ordinal position kind name event data execution")};
      END IF;
      IF cardinality(p_r_id) > 0 THEN
        ${replies(s)}
      END IF;
      RETURN json_build_object('s', v_accepted);
    EXCEPTION WHEN unique_violation THEN
      -- The block did nothing, then.
    END;
  END IF;
  ${leaveToAny(s)}
END $fn$;`;
}
function writeGroupOfVersion9(s) {
  return `
CREATE OR REPLACE FUNCTION ${s}.write_group_v9(
  ${TERMS},
  ${parametersOf("q", "u", "j", "r")}
) RETURNS text LANGUAGE plpgsql AS $fn$
BEGIN
  ${leaveToAny(s)}
END $fn$;`;
}
function leaveToAny(s) {
  return `RETURN ${s}.write_group_any_v9(false, p_gate, p_now, p_f_shard, p_f_epoch,
    ${argumentsOf("q", "u", "j")},
    ${noneOf("c")},
    ${argumentsOf("r")},
    ${noneOf("d")});`;
}
function replies(s) {
  return `WITH given AS MATERIALIZED (
          SELECT q.sequence, q.entity_type, t.ok, t.data FROM ${given("r", "id ok data")}
          ${lookedUpIn(s)}
        ), gone AS (
          DELETE FROM ${s}.pending p WHERE p.sequence = ANY (ARRAY(SELECT g.sequence FROM given g)) RETURNING p.sequence
        ), recorded AS (
          INSERT INTO ${s}.replies (sequence, entity_type, ok, data, answered_at)
          SELECT g.sequence, g.entity_type, g.ok, g.data, p_now FROM given g
        ) SELECT array_agg(g.sequence), count(*), (SELECT count(*) FROM gone) INTO v_sequences, v_count, v_left FROM given g;
        IF v_count < cardinality(p_r_id) THEN
          -- Something is not known: the other says what.
          RAISE unique_violation;
        END IF;
        IF v_left < v_count - (cardinality(p_q_id) - v_pending) THEN
          DELETE FROM ${s}.dead_letters d WHERE d.sequence = ANY (v_sequences);
        END IF;`;
}
function lookedUpIn(s) {
  return `CROSS JOIN LATERAL (
        SELECT o.sequence, o.entity_type FROM ${s}.requests o WHERE o.request_id = t.id OFFSET 0) q`;
}
function updatePending(s, where) {
  const place = "array_position(v_sequences, p.sequence)";
  return `IF cardinality(p_u_id) > 0 THEN
    SELECT array_agg(q.sequence), array_agg(t.attempts), array_agg(t.moves), array_agg(t.deliver_at)
      INTO v_sequences, v_attempts, v_moves, v_times
      FROM ${given("u")}
      ${lookedUpIn(s)} ${where};
    UPDATE ${s}.pending p
      SET attempts = CASE WHEN cardinality(p_u_attempts) = 1 THEN p_u_attempts[1] ELSE v_attempts[${place}] END,
        deliver_at = CASE WHEN p_u_moves <> '{f}' AND v_moves[${place}] THEN v_times[${place}] ELSE p.deliver_at END
      WHERE p.sequence = ANY (v_sequences);
  END IF;`;
}

// src/pending-rows.ts
var SHARED_COLUMNS = [
  "entity_type",
  "tag",
  "headers",
  "expects",
  "uninterruptible",
  "from_inside",
  "read_pending_first",
  "sender"
];
var OWN_COLUMNS = [
  "sequence",
  "attempts",
  "request_id",
  "shard_id",
  "entity_id",
  "deduplication_key",
  "payload",
  "deliver_at"
];
function pendingOf(rows) {
  return rows.flatMap(requestsOf).toSorted((a, b) => a.sequence - b.sequence);
}
function requestsOf(rows) {
  const [
    entityType,
    tag,
    headersText,
    expects,
    uninterruptible,
    fromInside,
    readPendingFirst,
    sender,
    ...own
  ] = rows;
  const [sequences, attempts, requestIds, shardIds, entityIds, deduplicationKeys, payloads, deliverAt] = own;
  const headers = JSON.parse(headersText);
  return sequences.map((sequence, index) => ({
    envelope: {
      requestId: requestIds[index],
      address: { entityType, entityId: entityIds[index], shardId: shardIds[index] },
      tag,
      payload: payloads[index],
      headers: { ...headers },
      persisted: true,
      expects,
      deduplicationKey: deduplicationKeys[index] ?? null,
      deliverAt: deliverAt[index] ?? null,
      uninterruptible,
      fromInside,
      sender,
      readPendingFirst
    },
    sequence,
    attempts: attempts[index]
  }));
}

// src/migration-11.ts
var PAGE_BYTES = 8 * 1024 * 1024;
function functionsOfVersion11(schema) {
  const s = `"${schema}"`;
  return [
    `ALTER TABLE ${s}.pending SET (fillfactor = 45);`,
    readPending2(s),
    writeAnyGroup(s),
    writeGroup2(s)
  ].join("\n");
}
function readPending2(s) {
  const shared = SHARED_COLUMNS.map((column) => `r.${column}`).join(", ");
  const own = OWN_COLUMNS.map((column) => `json_agg(r.${column})`).join(", ");
  return `
CREATE FUNCTION ${s}.read_pending_v11(${OF_READING}, p_ahead int) RETURNS text LANGUAGE plpgsql STABLE ${PLANNING} AS $fn$
#variable_conflict use_column
DECLARE v_sequences bigint[]; v_attempts int[]; v_found int; v_read int; v_rows json;
BEGIN
  SELECT array_agg(f.sequence), array_agg(f.attempts) INTO v_sequences, v_attempts FROM (
    SELECT p.sequence, p.attempts FROM (SELECT * FROM ${s}.pending o ORDER BY o.sequence LIMIT p_ahead) p
      -- IS TRUE keeps it from becoming a join, which would go through the shards for each row.
      WHERE (p.deliver_at IS NULL OR p.deliver_at <= p_now) AND (p.shard_id IN (SELECT unnest(p_shards))) IS TRUE AND ${IS_FREE}
      ORDER BY p.sequence LIMIT p_limit + 1) f;
  IF coalesce(cardinality(v_sequences), 0) <= p_limit THEN
    SELECT array_agg(f.sequence), array_agg(f.attempts) INTO v_sequences, v_attempts FROM (
      ${foundOnShards(s)}) f;
  END IF;
  v_found := coalesce(cardinality(v_sequences), 0);
  SELECT json_agg(g.columns), coalesce(sum(g.count), 0) INTO v_rows, v_read FROM (
    SELECT json_build_array(${shared}, ${own}) AS columns, count(*) FROM (
      SELECT q.*, f.attempts,
        sum(octet_length(q.payload)) OVER (ORDER BY f.place ROWS UNBOUNDED PRECEDING) - octet_length(q.payload) AS bytes_before
        FROM unnest(v_sequences[:p_limit], v_attempts[:p_limit]) WITH ORDINALITY AS f (sequence, attempts, place)
        CROSS JOIN LATERAL (SELECT o.* FROM ${s}.requests o WHERE o.sequence = f.sequence OFFSET 0) q) r
      WHERE r.bytes_before < ${PAGE_BYTES} GROUP BY ${shared}) g;
  -- Where nothing could be read of what is pending, another look would not do, either.
  RETURN json_build_object('rows', v_rows, 'more', v_read BETWEEN 1 AND v_found - 1, 'due', (${nextDue(s)}));
END $fn$;`;
}

// src/migration-12.ts
function functionsOfVersion12(schema) {
  const s = `"${schema}"`;
  return [
    journalKeys(s),
    readJournal(s),
    forgetting(s),
    functionsOfVersion4(s),
    functionsOfVersion5(schema)
  ].join("\n");
}
function journalKeys(s) {
  return `
CREATE FUNCTION ${s}.journal_key_v12(p_type text, p_execution text, p_request text) RETURNS uuid LANGUAGE sql STABLE AS $fn$
  SELECT CASE WHEN p_request ~ '^[0-9a-f]{32}$' THEN p_request::uuid ELSE ${s}.journal_key_v9(p_type, p_execution) END
$fn$;
COMMENT ON FUNCTION ${s}.journal_key_v12 IS 'Under what runners of version 12 file the journal of an execution that is this request.';
CREATE FUNCTION ${s}.journal_keys_v12(p_type text, p_execution text) RETURNS uuid[] LANGUAGE plpgsql STABLE ${PLANNING} AS $fn$
-- As a variable: were it a constant, the index of all executions of a type would do, too.
DECLARE v_tag text := 'execute';
BEGIN
  RETURN ${s}.journal_key_v9(p_type, p_execution) || ARRAY(
    SELECT ${s}.journal_key_v12(p_type, p_execution, q.request_id) FROM ${s}.requests q
      WHERE q.entity_type = p_type AND q.entity_id = p_execution AND q.tag = v_tag AND q.deduplication_key IS NOT NULL);
END $fn$;
COMMENT ON FUNCTION ${s}.journal_keys_v12 IS 'Under what an execution may have entries in its journal, as long as its request is there.';`;
}

// src/migration-13.ts
function functionsOfVersion13(schema) {
  const s = `"${schema}"`;
  return [writeAnyGroup(s), writeGroup2(s)].join("\n");
}

// src/migrations.ts
var MIGRATIONS = [
  { version: 1, worksFrom: 1, script: (schema) => tablesOfVersion1(schema) + functionsOfVersion1(schema) },
  { version: 2, worksFrom: 1, script: functionsOfVersion2 },
  { version: 3, worksFrom: 1, script: functionsOfVersion3 },
  { version: 4, worksFrom: 1, script: tablesAndFunctionsOfVersion4 },
  { version: 5, worksFrom: 1, script: functionsOfVersion5 },
  { version: 6, worksFrom: 1, script: functionsOfVersion6 },
  { version: 7, worksFrom: 1, script: functionsOfVersion7 },
  { version: 8, worksFrom: 1, script: functionsOfVersion8 },
  { version: 9, worksFrom: 1, script: tablesAndFunctionsOfVersion9 },
  { version: 10, worksFrom: 1, script: functionsOfVersion10 },
  { version: 11, worksFrom: 1, script: functionsOfVersion11 },
  { version: 12, worksFrom: 1, script: functionsOfVersion12 },
  { version: 13, worksFrom: 1, script: functionsOfVersion13 }
];
var LATEST = MIGRATIONS.length;
var ENCODINGS = /* @__PURE__ */ new Set(["UTF8", "SQL_ASCII"]);
var STEP_DEADLINE_MS = 36e5;
var LOOK_MS = 1e3;
var STEP_SETTINGS = `SET LOCAL statement_timeout = ${STEP_DEADLINE_MS};
  DO $do$ BEGIN SET LOCAL client_connection_check_interval = ${LOOK_MS}; EXCEPTION WHEN OTHERS THEN NULL; END $do$`;
var LOCK_CLASS = 1752132708;
async function migrate(driver, schema) {
  try {
    if (await isLatest(driver, schema)) return;
    await migrateLocked(driver, schema);
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw persistenceError("the migration of the schema", error);
  }
}
async function isLatest(driver, schema) {
  const { rows } = await driver.run({
    name: "holdfast_has_migrations",
    text: `SELECT to_regclass($1) IS NOT NULL AS there, current_setting('server_encoding') AS encoding`,
    values: [`"${schema}".migrations`]
  });
  const encoding = rows[0]?.encoding ?? "";
  if (!ENCODINGS.has(encoding)) {
    throw new ConfigError({
      option: "storage",
      got: `a database in ${encoding}`,
      takes: "one in UTF8",
      hint: "Make it with CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0."
    });
  }
  if (rows[0]?.there !== true) return false;
  const { rows: versions } = await driver.run({
    name: "holdfast_read_migrations",
    text: versionsText(schema),
    values: []
  });
  return current(versions, schema) >= LATEST;
}
async function migrateLocked(driver, schema) {
  const transaction = await driver.begin();
  try {
    await lock(transaction, schema);
    await transaction.script(
      `DO $do$ BEGIN IF to_regnamespace('"${schema}"') IS NULL THEN CREATE SCHEMA "${schema}"; END IF; END $do$;
       CREATE TABLE IF NOT EXISTS "${schema}".migrations (
         version integer PRIMARY KEY, works_from integer NOT NULL, applied_at timestamptz NOT NULL DEFAULT now());`
    );
    const { rows } = await transaction.query(
      versionsText(schema),
      []
    );
    const from = current(rows, schema);
    await transaction.script(STEP_SETTINGS);
    for (const { version, worksFrom, script } of MIGRATIONS.filter((migration) => migration.version > from)) {
      await transaction.script(script(schema), STEP_DEADLINE_MS);
      await transaction.query(`INSERT INTO "${schema}".migrations (version, works_from) VALUES ($1, $2)`, [
        version,
        worksFrom
      ]);
    }
    await transaction.commitAfter({ name: "holdfast_migrated", text: "SELECT 1 AS migrated", values: [] });
  } catch (error) {
    await transaction.rollback();
    throw error;
  }
}
async function lock(transaction, schema) {
  for (let attempts = 1; ; attempts += 1) {
    try {
      await transaction.script("SAVEPOINT before_lock");
      await transaction.query(`SELECT pg_advisory_xact_lock($1, hashtext($2))`, [LOCK_CLASS, schema]);
      return;
    } catch (error) {
      if (attempts >= 6 || !isTransient(error)) throw error;
      await transaction.script("ROLLBACK TO SAVEPOINT before_lock");
    }
  }
}
function current(rows, schema) {
  const worksFrom = Math.max(0, ...rows.map((row) => row.works_from));
  if (worksFrom > LATEST) {
    throw new ConfigError({
      option: "schema",
      got: schema,
      takes: `a schema that a release of this age can use, and a later one has migrated it (it needs version ${worksFrom}, this is ${LATEST})`,
      hint: "Deploy a later release of @holdfast/storage-postgres."
    });
  }
  return Math.max(0, ...rows.map(({ version }) => version));
}
function versionsText(schema) {
  return `SELECT version, works_from FROM "${schema}".migrations`;
}

// src/open-postgres.ts
init_errors();
import {
  AdapterNotInstalledError
} from "@holdfast/core/adapter";

// src/postgres-message-storage.ts
init_errors();
import {
  PersistenceError as PersistenceError2,
  TransactionUnavailableError as TransactionUnavailableError3
} from "@holdfast/core/adapter";

// src/postgres-transaction.ts
init_errors();
init_guarded_client();
import {
  TransactionUnavailableError as TransactionUnavailableError2
} from "@holdfast/core/adapter";
var PostgresTransaction = class {
  kind = TRANSACTION_KIND;
  #begin;
  #ended;
  #laterNative;
  #beginning = null;
  #begun = null;
  /** What stands for its client until it has begun. */
  #later = null;
  #isOver = false;
  /** What it could not begin with. */
  #lostWith = null;
  #rollingBack = null;
  /** The first statement that failed, for the message of a commit that cannot be. */
  #failedWith = null;
  /**
   * @param ended called once when it is over
   * @param laterNative makes what stands for its client before it has begun
   */
  constructor(begin, ended, laterNative) {
    this.#begin = begin;
    this.#ended = ended;
    this.#laterNative = laterNative;
  }
  /**
   * The driver's own client. Before it has begun: what begins it with its first statement.
   *
   * @throws {TransactionUnavailableError} it is over
   */
  get native() {
    this.#assertOpen();
    if (this.#begun !== null) return this.#begun.native;
    this.#later ??= this.#laterNative(
      () => this.begin(),
      () => this.#isOver ? transactionOver() : null
    );
    return this.#later;
  }
  /**
   * Begins it, if that did not happen. All who ask are told in the order in which they asked: a statement goes out before what
   * ends the transaction (T2). @throws {PersistenceError} no connection; nothing was begun
   */
  begin() {
    return this.#isOver ? Promise.reject(transactionOver()) : this.#beginOnce();
  }
  /** Runs a statement. Rejects with the driver's own error where the statement is at fault. @throws {PersistenceError} */
  async query(text, params) {
    const transaction = await this.begin();
    try {
      return await transaction.query(text, params);
    } catch (error) {
      this.#failedWith ??= failureOf(error, true).message;
      throw error;
    }
  }
  get lostWith() {
    return this.#lostWith ?? this.#begun?.lostWith ?? null;
  }
  get couldNotBegin() {
    return this.#lostWith !== null;
  }
  /** Whether there is anything to commit. */
  get hasBegun() {
    return this.#beginning !== null;
  }
  /** Runs the runtime's statement and commits. @throws {SqlFailure} @throws {TransactionUnavailableError} it cannot commit (T3, T4) */
  async commitAfter(statement) {
    if (this.#isOver || this.#rollingBack !== null) {
      throw new SqlFailure({
        outcome: "not-written",
        sqlState: null,
        message: "the transaction is over already"
      });
    }
    this.#over();
    const transaction = await this.#beginOnce();
    try {
      await transaction.commitAfter(statement);
    } catch (error) {
      const failure = failureOf(error, true);
      if (isRefusedCommit(failure)) throw refusedCommit(failure);
      if (!isAborted(failure)) throw failure;
      const why = `a statement in the handler's transaction failed (${this.#failedWith ?? "one sent through the driver's own client"}) and the handler went on, but a transaction with a failed statement cannot commit. Let the error end the handler, or put the statement between SAVEPOINT and ROLLBACK TO SAVEPOINT`;
      throw new TransactionUnavailableError2({ wanted: TRANSACTION_KIND, why }, { cause: failure });
    }
  }
  async rollback() {
    this.#rollingBack ??= this.#rollback();
    await this.#rollingBack;
  }
  async #rollback() {
    this.#over();
    const transaction = await this.#beginning?.catch(() => null);
    await transaction?.rollback();
  }
  #beginOnce() {
    this.#beginning ??= this.#connect();
    return this.#beginning;
  }
  async #connect() {
    try {
      this.#begun = await this.#begin();
      return this.#begun;
    } catch (error) {
      this.#lostWith = persistenceError("a transaction", error);
      throw this.#lostWith;
    }
  }
  #over() {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#ended();
  }
  #assertOpen() {
    if (this.#isOver) throw transactionOver();
  }
};
function refusedCommit(failure) {
  const { cause } = failure;
  if (cause instanceof Error && isTransient(cause)) Object.assign(cause, { retryable: true });
  const why = `the server refused its COMMIT (${failure.message}), which is when deferred constraints and triggers, and conflicts with other transactions show. Nothing of it was written`;
  return new TransactionUnavailableError2({ wanted: TRANSACTION_KIND, why }, { cause });
}

// src/request-row.ts
function envelopeOf(row) {
  return {
    requestId: row.request_id,
    address: { entityType: row.entity_type, entityId: row.entity_id, shardId: row.shard_id },
    tag: row.tag,
    payload: row.payload,
    headers: JSON.parse(row.headers),
    persisted: true,
    expects: row.expects,
    deduplicationKey: row.deduplication_key,
    deliverAt: numberOf(row.deliver_at),
    uninterruptible: row.uninterruptible,
    fromInside: row.from_inside,
    sender: row.sender,
    readPendingFirst: row.read_pending_first
  };
}
function deadLetterOf(row) {
  const { dead_attempts: attempts, error, dead_since: deadSince } = row;
  return {
    envelope: envelopeOf(row),
    attempts,
    error: JSON.parse(error),
    deadSince: Number(deadSince)
  };
}
function stateOf(row) {
  const requestId = row.request_id;
  if (row.ok !== null)
    return { state: "answered", requestId, reply: replyOf(requestId, row.ok, row.data ?? "") };
  if (row.error !== null) return { state: "dead", requestId, deadLetter: deadLetterOf(row) };
  return { state: "pending", requestId, deliverAt: numberOf(row.due_at), attempts: row.attempts ?? 0 };
}
function replyOf(requestId, ok, data) {
  return { requestId, exit: ok ? { ok, value: data } : { ok, error: JSON.parse(data) } };
}
function numberOf(value) {
  return value === null ? null : Number(value);
}

// src/sql-array.ts
function plainArray(values) {
  return `{${values.map((value) => value ?? "NULL").join(",")}}`;
}
var ESCAPED_OTHERWISE = /\\[bfnrtu]/;
function textArray(values) {
  const json = JSON.stringify(values);
  if (!ESCAPED_OTHERWISE.test(json)) return `{${json.slice(1, -1)}}`;
  return `{${values.map((value) => value === null ? "NULL" : quoted(value)).join(",")}}`;
}
function quoted(value) {
  return `"${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}

// src/postgres-message-storage.ts
var AHEAD = 4;
var PostgresMessageStorage = class {
  supports;
  watchPending;
  #session;
  #wakeUps;
  /** Of the last page: whether there was more to come, and of how many shards it was. */
  #last = { more: false, shards: 0 };
  /** @param wakeUps null where no other process could save anything */
  constructor(session, wakeUps) {
    this.#session = session;
    this.#wakeUps = wakeUps;
    this.supports = { transactions: true, wakeUps: wakeUps !== null };
    if (wakeUps !== null) this.watchPending = (wake) => wakeUps.watch(wake);
  }
  async claimShards(shardIds) {
    this.#session.assertOpen("claimShards");
    if (shardIds.length === 0) return [];
    const { gate } = this.#session;
    const rows = await this.#session.takeOver("claimShards", "claim_shards_v9", [
      textArray(shardIds),
      gate.id
    ]);
    const epochs = JSON.parse(rows[0].claim_shards_v9);
    return shardIds.map((shardId) => {
      const epoch = epochs[shardId];
      gate.opened(shardId, epoch);
      return epoch;
    });
  }
  async saveRequest(envelope, attempts, fence, ready) {
    assertStorable(envelope.requestId, "A request id");
    assertStorable(envelope.address.entityId, "An entity id");
    assertStorable(envelope.deduplicationKey ?? "", "A deduplication key");
    for (; ; ) {
      const op = {
        type: "request",
        envelope,
        attempts,
        fence,
        ready: fence === null ? void 0 : ready
      };
      const result = await this.#session.write("saveRequest", op);
      if (result.type === "accepted") {
        if (fence === null) this.#wakeUps?.announce(envelope.address.shardId);
        const { sequence, isAnswered } = result;
        return { outcome: "accepted", sequence, ...isAnswered ? { isAnswered } : {} };
      }
      const existing = await this.#existing(envelope);
      if (existing !== null) return { outcome: "duplicate", ...existing };
    }
  }
  async readPending(query) {
    this.#session.assertOpen("readPending");
    if (query.shardIds.length === 0) return { requests: [], more: false, nextDueAt: null };
    const ahead = this.#mayBeBacklog(query) ? AHEAD * (query.limit + 1) + query.excludingSequences.length : 0;
    const [answer] = await this.#session.read(
      "readPending",
      "read_pending_v11",
      [
        textArray([...new Set(query.shardIds)]),
        Math.floor(query.now),
        query.limit,
        plainArray(query.excludingSequences),
        textArray(query.excludingEntities.map(({ entityType }) => entityType)),
        textArray(query.excludingEntities.map(({ entityId }) => entityId)),
        ahead
      ]
    );
    const { rows, more, due } = JSON.parse(
      answer.read_pending_v11
    );
    this.#last = { more, shards: query.shardIds.length };
    return { requests: pendingOf(rows ?? []), more, nextDueAt: due };
  }
  /** Shards that were added may have one. What only sleeps is not looked through for nothing at each read. */
  #mayBeBacklog({ shardIds }) {
    return this.#last.more || shardIds.length > this.#last.shards;
  }
  async recordAttempt(requestId, attempts, fence) {
    await this.#session.write("recordAttempt", {
      type: "update",
      requestId,
      attempts,
      deliverAt: void 0,
      fence
    });
  }
  async reschedule(requestId, schedule, fence) {
    await this.#session.write("reschedule", { type: "update", requestId, ...schedule, fence });
  }
  async saveReply(reply, fence, transaction) {
    const opened = transaction === null ? null : await openedHere(transaction);
    const op = { type: "reply", reply, fence };
    if (opened?.hasBegun === true) {
      const isRecorded = async () => await this.#recordedReply(reply.requestId) !== null;
      if (await this.#session.commit("saveReply", op, opened, isRecorded) === "committed") return reply;
      const recorded = await this.#recordedReply(reply.requestId);
      if (recorded === null) throw unknownRequest("saveReply", reply.requestId);
      return recorded;
    }
    await opened?.rollback();
    while ((await this.#session.write("saveReply", op)).type === "refused") {
      const [found] = await this.#states("saveReply", "look_up_v1", [textArray([reply.requestId])]);
      if (found === void 0) throw unknownRequest("saveReply", reply.requestId);
      if (found.existing.state === "answered") return found.existing.reply;
      if (!reply.exit.ok)
        throw new PersistenceError2({
          operation: "saveReply",
          outcome: "not-written",
          detail: `the request ${reply.requestId} was reopened meanwhile`
        });
    }
    return reply;
  }
  async lookUp(requestIds) {
    this.#session.assertOpen("lookUp");
    if (requestIds.length === 0) return [];
    const states = await this.#states("lookUp", "look_up_v1", [textArray([...new Set(requestIds)])]);
    return states.map(({ existing }) => existing);
  }
  async lookUpByKey(entity, tag, deduplicationKey) {
    const key = [entity.entityType, entity.entityId, tag, deduplicationKey];
    if (!key.every(isStorable)) return null;
    const [found] = await this.#states("lookUpByKey", "look_up_by_key_v1", key);
    return found?.existing ?? null;
  }
  async saveChunk(chunk, fence) {
    const result = await this.#session.write("saveChunk", { type: "chunk", chunk, fence });
    if (result.type === "refused") throw unknownRequest("saveChunk", chunk.requestId);
  }
  async readChunks(requestId, from) {
    const rows = await this.#session.read(
      "readChunks",
      "read_chunks_v1",
      [requestId, from]
    );
    const saved = rows.pop()?.saved ?? 0;
    return { chunks: rows.map(({ index, value }) => ({ requestId, index, value })), saved };
  }
  async acknowledgeChunks(requestId, upTo) {
    await this.#session.call("acknowledgeChunks", "acknowledge_chunks_v1", [requestId, upTo]);
  }
  async saveDeadLetter(requestId, letter, fence) {
    await this.#session.write("saveDeadLetter", { type: "dead", requestId, letter, fence });
  }
  async listDeadLetters(query) {
    const rows = await this.#session.read("listDeadLetters", "list_dead_letters_v1", [
      query.limit,
      query.after
    ]);
    return rows.map(deadLetterOf);
  }
  async requeueDeadLetter(requestId, executionTag) {
    const [row] = await this.#session.call(
      "requeueDeadLetter",
      "requeue_dead_letter_v7",
      [requestId, executionTag]
    );
    if (row === void 0) return null;
    this.#wakeUps?.announce(row.shard_id);
    return { entityType: row.entity_type, entityId: row.entity_id, shardId: row.shard_id };
  }
  async dropDeadLetter(requestId, executionTag) {
    const values = [requestId, executionTag];
    return (await this.#session.call("dropDeadLetter", "drop_dead_letter_v5", values)).length > 0;
  }
  async forgetAnswered({ entityType, answeredBefore, limit, executionTag }) {
    const rows = await this.#session.call(
      "forgetAnswered",
      "forget_answered_v4",
      [entityType, Math.floor(answeredBefore), limit, executionTag ?? null]
    );
    return rows[0]?.forget_answered_v4 ?? 0;
  }
  beginTransaction(after) {
    return this.#session.beginTransaction(after);
  }
  /** The request that this one is a duplicate of: by id, else by key. */
  async #existing(envelope) {
    const { address, tag, deduplicationKey } = envelope;
    let [found] = await this.#states("saveRequest", "look_up_v1", [textArray([envelope.requestId])]);
    if (found === void 0 && deduplicationKey !== null) {
      const key = [address.entityType, address.entityId, tag, deduplicationKey];
      [found] = await this.#states("saveRequest", "look_up_by_key_v1", key);
    }
    return found ?? null;
  }
  async #recordedReply(requestId) {
    const [state] = await this.#states("saveReply", "look_up_v1", [textArray([requestId])]);
    return state?.existing.state === "answered" ? state.existing.reply : null;
  }
  async #states(operation, functionName, values) {
    const rows = await this.#session.read(operation, functionName, values);
    return rows.map((row) => ({ sequence: Number(row.sequence), existing: stateOf(row) }));
  }
};
async function openedHere(transaction) {
  if (transaction instanceof PostgresTransaction) return transaction;
  await transaction.rollback();
  throw new TransactionUnavailableError3({
    wanted: "postgres",
    why: `the transaction given is one of "${transaction.kind}"`
  });
}
function unknownRequest(operation, requestId) {
  const detail = `request ${requestId} was never accepted, or is forgotten`;
  return new PersistenceError2({ operation, outcome: "not-written", detail });
}

// src/postgres-runner-storage.ts
var LONGEST_LOOK_MS = 6e4;
var SHORTEST_LOOK_MS = 20;
var AFTER_FAILURE_MS = 1e3;
var BEYOND_TERM = `expires_at > clock_timestamp() + ttl_ms * interval '1 millisecond'`;
var PostgresRunnerStorage = class {
  supports;
  #session;
  #channel;
  constructor(session) {
    this.#session = session;
    this.supports = { watch: session.driver.listens };
    this.#channel = `${session.schema}_runners`;
  }
  async register(record, ttlMs) {
    await this.#session.call("register", "register_runner_v1", [
      record.runnerId,
      JSON.stringify(record),
      ttlMs
    ]);
    await this.#tell();
  }
  async refresh(runnerId) {
    const rows = await this.#session.run("refresh", {
      name: "holdfast_refresh",
      text: `UPDATE "${this.#session.schema}".runners SET expires_at = clock_timestamp() + ttl_ms * interval '1 millisecond'
        WHERE runner_id = $1 AND expires_at > clock_timestamp() RETURNING 1 AS held`,
      values: [runnerId],
      isUrgent: true
    });
    return rows.length > 0 ? "held" : "lost";
  }
  async unregister(runnerId) {
    const rows = await this.#statement(
      "unregister",
      `DELETE FROM $schema.runners WHERE runner_id = $1 RETURNING 1 AS gone`,
      [runnerId]
    );
    if (rows.length > 0) await this.#tell();
  }
  async listRunners() {
    const text = `SELECT record FROM $schema.runners WHERE expires_at > clock_timestamp()`;
    const rows = await this.#statement("listRunners", text, []);
    return rows.map(({ record }) => JSON.parse(record));
  }
  async acquireShards(runnerId, shardIds) {
    const rows = await this.#session.call(
      "acquireShards",
      "acquire_shards_v1",
      [runnerId, textArray(shardIds)]
    );
    const held = new Set(JSON.parse(rows[0]?.acquire_shards_v1 ?? "null"));
    return shardIds.filter((shardId) => held.has(shardId));
  }
  async releaseShards(runnerId, shardIds) {
    const rows = await this.#statement(
      "releaseShards",
      `DELETE FROM $schema.shard_leases WHERE runner_id = $1 AND shard_id = ANY ($2) RETURNING 1 AS freed`,
      [runnerId, textArray(shardIds)]
    );
    if (rows.length > 0) await this.#tell();
  }
  async listShards() {
    const rows = await this.#statement(
      "listShards",
      `SELECT l.shard_id, l.runner_id FROM $schema.shard_leases l JOIN $schema.runners r USING (runner_id)
        WHERE r.expires_at > clock_timestamp()`,
      []
    );
    return new Map(rows.map(({ shard_id, runner_id }) => [shard_id, runner_id]));
  }
  async watch(changed) {
    let isOver = false;
    let timer;
    let known = /* @__PURE__ */ new Set();
    const tell = () => {
      if (!isOver) changed();
    };
    const look = async () => {
      let next = AFTER_FAILURE_MS;
      try {
        const leases2 = await this.#leases();
        if ([...known].some((runnerId) => !leases2.has(runnerId))) tell();
        known = new Set(leases2.keys());
        next = Math.min(LONGEST_LOOK_MS, ...leases2.values());
      } catch {
      }
      if (isOver) return;
      clearTimeout(timer);
      timer = setTimeout(() => void look(), Math.max(SHORTEST_LOOK_MS, next));
      timer.unref();
    };
    const end = await this.#session.listen("watch", this.#channel, {
      heard: () => {
        tell();
        void look();
      },
      resumed: () => {
        tell();
        void look();
      }
    });
    await look();
    const stop = async () => {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      await end();
    };
    this.#session.onClose(stop);
    return stop;
  }
  /** How long each live lease lasts if nobody refreshes it, in ms; 0: for its term from now on (R3), so it is looked at again. */
  async #leases() {
    const rows = await this.#statement(
      "watch",
      `SELECT runner_id, CASE WHEN ${BEYOND_TERM} THEN NULL
          ELSE (extract(epoch FROM expires_at - clock_timestamp()) * 1000)::int END AS left_ms
        FROM $schema.runners WHERE expires_at > clock_timestamp()`,
      []
    );
    if (rows.some(({ left_ms }) => left_ms === null)) await this.#shorten();
    return new Map(rows.map(({ runner_id, left_ms }) => [runner_id, left_ms === null ? 0 : left_ms + 1]));
  }
  async #shorten() {
    const text = `UPDATE $schema.runners SET expires_at = clock_timestamp() + ttl_ms * interval '1 millisecond'
      WHERE ${BEYOND_TERM}`;
    await this.#statement("shorten", text, []);
  }
  /** Never rejects: who misses it lists at the next refresh. */
  async #tell() {
    const statement = { name: "holdfast_tell", text: `SELECT pg_notify($1, '')`, values: [this.#channel] };
    await this.#session.driver.run(statement).catch(() => void 0);
  }
  /**
   * Runs a statement, on `$schema` for the schema. One that begins with SELECT only reads, and does not wait for a session that
   * is silent. A write does: one that lands late would take or free shards behind its runner's back.
   */
  #statement(operation, text, values) {
    const ownText = text.replaceAll("$schema", `"${this.#session.schema}"`);
    const statement = { name: `holdfast_${operation}`, text: ownText, values };
    return text.startsWith("SELECT") ? this.#session.query(operation, { ...statement, isUrgent: true }) : this.#session.run(operation, statement);
  }
};

// src/postgres-session.ts
init_errors();
import { TransactionUnavailableError as TransactionUnavailableError4 } from "@holdfast/core/adapter";

// src/gate.ts
import { randomBytes } from "node:crypto";
var Gate = class {
  /** A bigint that no other session has. */
  id = randomBytes(8).readBigInt64BE().toString();
  #claimed = /* @__PURE__ */ new Map();
  /** The session claimed a shard. */
  opened(shardId, epoch) {
    this.#claimed.set(shardId, epoch);
  }
  /** The gate's id, if there are fences and it stands for all of them. Null: the rows of their shards have to be locked. */
  for(fences) {
    let isAsked = false;
    for (const { shardId, epoch } of fences) {
      if (this.#claimed.get(shardId) !== epoch) return null;
      isAsked = true;
    }
    return isAsked ? this.id : null;
  }
};

// src/group-committer.ts
init_errors();

// src/write-op.ts
function lineOf(op) {
  return op.type === "request" ? op.envelope.address.entityId : op.fence.shardId;
}
function uniqueKeyOf(op) {
  switch (op.type) {
    case "request":
      return `request ${op.envelope.requestId}`;
    case "reply":
      return `reply ${op.reply.requestId}`;
    case "update":
    case "dead":
      return `${op.type} ${op.requestId}`;
    case "journal":
    case "chunk":
      return null;
  }
}
function streamOf(op) {
  return op.type === "journal" ? op.key : null;
}
function taken(op) {
  if (op.type !== "request" || op.ready === void 0 || op.reply !== void 0) return op;
  const reply = op.ready();
  return reply === null ? op : { ...op, reply };
}
function rowsOf(op) {
  return op.type === "journal" ? op.entries.length : 1;
}
function sizeOf(op) {
  switch (op.type) {
    case "request":
      return lengthOf(op.envelope.payload) + (op.reply === void 0 ? 0 : sizeOfReply(op.reply));
    case "journal":
      return op.entries.reduce(
        (size, { event }) => size + (event.type === "completed" ? lengthOf(event.value) : 200),
        0
      );
    case "chunk":
      return lengthOf(op.chunk.value);
    case "reply":
      return sizeOfReply(op.reply);
    case "update":
    case "dead":
      return 200;
  }
}
function sizeOfReply({ exit }) {
  return exit.ok ? lengthOf(exit.value) : 200;
}
function lengthOf(text) {
  return text?.length ?? 0;
}

// src/group-committer.ts
var SHARED_FROM_ROWS = 100;
var MAX_GROUP_SIZE = 4 * 1024 * 1024;
var GroupCommitter = class {
  #options;
  #queue = [];
  #queuedRows = 0;
  #freeLanes;
  /** The lines of each group under way. */
  #busyLines = [];
  #rowsUnderWay = 0;
  #isPumpDue = false;
  #idle = [];
  constructor(options) {
    this.#options = options;
    this.#freeLanes = options.lanes;
  }
  /** Writes with the next group. */
  write(write) {
    this.#queue.push(write);
    this.#queuedRows += rowsOf(write.op);
    this.#pumpSoon();
  }
  /** Resolves when nothing waits and nothing is under way. */
  drained() {
    if (this.#isIdle()) return Promise.resolve();
    return new Promise((resolve2) => this.#idle.push(resolve2));
  }
  #isIdle() {
    return this.#queue.length === 0 && this.#freeLanes === this.#options.lanes;
  }
  /**
   * At the end of this turn, behind what was put there before its last promise was dealt with; much goes as soon as all
   * promises are (G2).
   */
  #pumpSoon() {
    if (this.#isPumpDue || this.#freeLanes === 0) return;
    this.#isPumpDue = true;
    process.nextTick(() => {
      if (this.#queuedRows >= SHARED_FROM_ROWS) this.#pump();
      else setImmediate(() => this.#pump());
    });
  }
  #pump() {
    this.#isPumpDue = false;
    while (this.#freeLanes > 0 && this.#queue.length > 0) {
      const group = this.#take();
      if (group.length === 0) return;
      void this.#flush(group);
    }
  }
  #take() {
    const { lanes, maxRows } = this.#options;
    const share = Math.ceil((this.#queuedRows + this.#rowsUnderWay) / lanes);
    const limit = Math.min(maxRows, Math.max(SHARED_FROM_ROWS, share));
    const group = [];
    const left = [];
    const linesTaken = this.#shareOf(limit);
    const blocked = /* @__PURE__ */ new Set();
    const keys = /* @__PURE__ */ new Set();
    let rows = 0;
    let size = 0;
    let at = 0;
    for (; at < this.#queue.length && rows < maxRows && size < MAX_GROUP_SIZE; at += 1) {
      const waiting = this.#queue[at];
      const { op } = waiting;
      const line = lineOf(op);
      const key = uniqueKeyOf(op);
      if (blocked.has(line) || !linesTaken.has(line) || key !== null && keys.has(key)) {
        blocked.add(line);
        left.push(waiting);
        continue;
      }
      if (group.length > 0 && (rows + rowsOf(op) > maxRows || size + sizeOf(op) > MAX_GROUP_SIZE)) break;
      waiting.op = taken(op);
      if (key !== null) keys.add(key);
      group.push(waiting);
      rows += rowsOf(op);
      size += sizeOf(waiting.op);
    }
    this.#queue = left.length === 0 ? this.#queue.slice(at) : left.concat(this.#queue.slice(at));
    this.#queuedRows -= rows;
    this.#rowsUnderWay += rows;
    return group;
  }
  /** The free lines that have waited longest, with so many rows together or a few more. */
  #shareOf(limit) {
    const rowsOfLines = /* @__PURE__ */ new Map();
    for (const { op } of this.#queue) {
      const line = lineOf(op);
      if (!this.#isBusy(line)) rowsOfLines.set(line, (rowsOfLines.get(line) ?? 0) + rowsOf(op));
    }
    const lines = /* @__PURE__ */ new Set();
    let rows = 0;
    for (const [line, count] of rowsOfLines) {
      if (rows >= limit) break;
      lines.add(line);
      rows += count;
    }
    return lines;
  }
  #isBusy(line) {
    return this.#busyLines.some((lines) => lines.has(line));
  }
  async #flush(group) {
    this.#freeLanes -= 1;
    const lines = new Set(group.map(({ op }) => lineOf(op)));
    this.#busyLines = [...this.#busyLines, lines];
    const broken = /* @__PURE__ */ new Map();
    await this.#write(group, broken);
    if (broken.size > 0) this.#failFollowers(broken);
    this.#busyLines = this.#busyLines.filter((busy) => busy !== lines);
    for (const { op } of group) this.#rowsUnderWay -= rowsOf(op);
    this.#freeLanes += 1;
    if (this.#queue.length > 0) this.#pumpSoon();
    else if (this.#isIdle()) for (const resolve2 of this.#idle.splice(0)) resolve2();
  }
  /** Writes a group, or its halves one after the other if it failed as a whole. Never rejects. */
  async #write(group, broken) {
    const passing = broken.size === 0 ? group : group.filter((waiting) => !failFollower(waiting, broken));
    if (passing.length === 0) return;
    try {
      const results = await this.#options.write(passing.map(({ op }) => op));
      for (let index = 0; index < passing.length; index += 1)
        passing[index].resolve(results[index]);
    } catch (error) {
      if (passing.length > 1 && mayBeOneRow(error)) {
        const middle = passing.length >> 1;
        await this.#write(passing.slice(0, middle), broken);
        await this.#write(passing.slice(middle), broken);
        return;
      }
      const failure = error instanceof SqlFailure ? error : new SqlFailure({ outcome: "unknown", sqlState: null, message: String(error) }, { cause: error });
      for (const waiting of passing) {
        const stream = streamOf(waiting.op);
        if (stream !== null) broken.set(stream, failure);
        waiting.reject(failure);
      }
    }
  }
  /** Fails what waits for a journal with a gap (G4). */
  #failFollowers(broken) {
    this.#queue = this.#queue.filter((waiting) => {
      if (!failFollower(waiting, broken)) return true;
      this.#queuedRows -= rowsOf(waiting.op);
      return false;
    });
  }
};
function failFollower(waiting, broken) {
  const stream = streamOf(waiting.op);
  const cause = stream === null ? void 0 : broken.get(stream);
  if (cause === void 0) return false;
  const message = `an append to the same journal, called before this one, failed: ${cause.message}`;
  waiting.reject(new SqlFailure({ outcome: "not-written", sqlState: null, message }, { cause }));
  return true;
}

// src/journal-key.ts
import { hash } from "node:crypto";
var REQUEST_ID = /^[0-9a-f]{32}$/;
function journalKeyOf(execution) {
  const { requestId } = execution;
  if (requestId !== void 0 && REQUEST_ID.test(requestId)) return requestId;
  return hash("sha256", nameOf(execution)).slice(0, 32);
}
function nameOf({ entityType, executionId }) {
  return `${entityType}/${executionId}`;
}

// src/write-group.ts
var COLUMNS = {
  fence: [
    { type: "text", isNullable: false, isWhole: true },
    { type: "bigint", isNullable: false, isWhole: true }
  ],
  request: GROUP_COLUMNS.q,
  update: GROUP_COLUMNS.u,
  journal: GROUP_COLUMNS.j,
  chunk: GROUP_COLUMNS.c,
  reply: GROUP_COLUMNS.r,
  dead: GROUP_COLUMNS.d
};
var PLAIN_TYPES = /* @__PURE__ */ new Set(["int", "bigint", "boolean"]);
var KINDS = Object.keys(COLUMNS);
var COMMON_KINDS = ["fence", "request", "update", "journal", "reply"];
function writeGroupStatement(schema, group, terms) {
  const isCommon = group.every(({ type }) => COMMON_KINDS.includes(type));
  if (!isCommon) return anyGroupStatement(schema, group, false, terms);
  return call(schema, "write_group_v10", valuesOf(group, COMMON_KINDS, terms));
}
function anyGroupStatement(schema, group, isStrict, terms) {
  return call(schema, "write_group_any_v9", [isStrict, ...valuesOf(group, KINDS, terms)]);
}
function call(schema, functionName, values) {
  const places = values.map((_, index) => `$${index + 1}`).join(", ");
  return {
    name: `holdfast_${functionName}`,
    text: `SELECT "${schema}".${functionName}(${places}) AS answer`,
    values
  };
}
function valuesOf(group, kinds, { now, gate, places = placesOf(group) }) {
  const columns2 = columnsOf(group, places);
  const arrays = kinds.flatMap(
    (kind) => COLUMNS[kind].map((column, index) => {
      const values = shortened(columns2.get(kind)?.[index] ?? [], column);
      return PLAIN_TYPES.has(column.type) ? plainArray(values) : textArray(values);
    })
  );
  return [gate, Math.floor(now), ...arrays];
}
function shortened(values, { isNullable, isWhole }) {
  const [first] = values;
  if (isWhole || first === void 0 || isNullable && first !== null) return values;
  if (values.some((value) => value !== first)) return values;
  return first === null ? [] : [first];
}
function columnsOf(group, places) {
  const columns2 = /* @__PURE__ */ new Map();
  const of = (kind) => {
    const known = columns2.get(kind) ?? COLUMNS[kind].map(() => []);
    columns2.set(kind, known);
    return known;
  };
  const [shardIds, epochs] = of("fence");
  for (const [{ shardId, epoch }, place] of places) {
    shardIds[place - 1] = shardId;
    epochs[place - 1] = epoch;
  }
  for (const op of group) {
    const place = op.fence === null ? 0 : places.get(op.fence) ?? 0;
    addRows(of(op.type), place, op);
    if (op.type === "request" && op.reply !== void 0 && op.fence !== null)
      addRow(of("reply"), place, replyRow(op.reply));
  }
  return columns2;
}
function placesOf(group) {
  const fences = /* @__PURE__ */ new Set();
  for (const { fence } of group) if (fence !== null) fences.add(fence);
  const places = /* @__PURE__ */ new Map();
  let last = null;
  let place = 0;
  for (const fence of [...fences].toSorted(compareFences)) {
    if (last === null || compareFences(last, fence) !== 0) place += 1;
    places.set(fence, place);
    last = fence;
  }
  return places;
}
function compareFences(a, b) {
  if (a.shardId === b.shardId) return a.epoch - b.epoch;
  return a.shardId < b.shardId ? -1 : 1;
}
function writeGroupResults(group, answerText, places = placesOf(group)) {
  const answer = JSON.parse(answerText);
  if (answer.s !== void 0) return resultsOfPassed(group, answer.s);
  const accepted = new Map(Object.entries(answer.q ?? {}));
  const streams2 = new Set(answer.c);
  const recorded = new Set(answer.r);
  return group.map((op) => {
    if (op.fence !== null) {
      const current2 = answer.f?.[(places.get(op.fence) ?? 0) - 1] ?? null;
      if (current2 !== op.fence.epoch) return { type: "fenced", current: current2 };
    }
    if (op.type === "request") {
      const sequence = accepted.get(op.envelope.requestId);
      return sequence === void 0 ? { type: "refused" } : acceptedAs(op, sequence);
    }
    if (op.type === "chunk" && !streams2.has(op.chunk.requestId)) return { type: "refused" };
    if (op.type === "reply" && !recorded.has(op.reply.requestId)) return { type: "refused" };
    return DONE;
  });
}
var DONE = { type: "done" };
function resultsOfPassed(group, sequences) {
  let at = 0;
  return group.map((op) => {
    if (op.type !== "request") return DONE;
    const sequence = sequences[at];
    at += 1;
    return sequence === void 0 ? { type: "refused" } : acceptedAs(op, sequence);
  });
}
function acceptedAs({ reply }, sequence) {
  return { type: "accepted", sequence, isAnswered: reply !== void 0 };
}
function eventColumns(event) {
  if (event.type === "completed") return [event.type, event.value];
  const { type, ...rest } = event;
  return [type, JSON.stringify(rest)];
}
function eventOf(event, data) {
  if (event === "completed") return { type: "completed", value: data };
  return { type: event, ...JSON.parse(data) };
}
function errorText(error) {
  const { code, ...rest } = error;
  return JSON.stringify({ code, ...rest });
}
function errorBeginning(code) {
  return `{"code":${JSON.stringify(code)},`;
}
function onlyRowOf(op) {
  if (op.type !== "journal") return rowOf(op);
  const [entry] = op.entries;
  return entry === void 0 || op.entries.length > 1 ? null : entryRow(op, entry);
}
function entryRow({ key, execution }, entry) {
  const { ordinal, position, kind, name } = entry;
  const [type, data] = eventColumns(entry.event);
  return [key, ordinal, position, kind, name, type, data, isFiled(kind, type) ? nameOf(execution) : null];
}
function rowOf(op) {
  switch (op.type) {
    case "request": {
      const { envelope } = op;
      const { address } = envelope;
      return [
        envelope.requestId,
        address.shardId,
        address.entityType,
        address.entityId,
        envelope.tag,
        envelope.deduplicationKey,
        envelope.payload,
        JSON.stringify(envelope.headers),
        envelope.expects,
        envelope.uninterruptible,
        envelope.fromInside,
        envelope.readPendingFirst,
        envelope.sender,
        wholeMs(envelope.deliverAt),
        op.reply === void 0 ? op.attempts : ANSWERED
      ];
    }
    case "update":
      return [op.requestId, op.attempts, op.deliverAt !== void 0, wholeMs(op.deliverAt ?? null)];
    case "chunk":
      return [op.chunk.requestId, op.chunk.index, op.chunk.value];
    case "reply":
      return replyRow(op.reply);
    case "dead":
      return [op.requestId, op.letter.attempts, errorText(op.letter.error), Math.floor(op.letter.deadSince)];
  }
}
function replyRow({ requestId, exit }) {
  return [requestId, exit.ok, exit.ok ? exit.value : errorText(exit.error)];
}
function isFiled(kind, event) {
  return kind === "attributes" && event === "completed";
}
function wholeMs(time) {
  return time === null ? null : Math.ceil(time);
}
function addRows(columns2, place, op) {
  if (op.type === "journal") for (const entry of op.entries) addRow(columns2, place, entryRow(op, entry));
  else addRow(columns2, place, rowOf(op));
}
function addRow(columns2, place, row) {
  columns2[0].push(place);
  for (let index = 1; index < columns2.length; index += 1)
    columns2[index].push(row[index - 1] ?? null);
}

// src/write-statement.ts
var WRITES = {
  request: "write_request_v6",
  reply: "write_reply_v6",
  journal: "write_step_v9",
  update: "write_attempts_v6"
};
var COMMITS = { reply: "commit_reply_v3", journal: "commit_step_v9" };
var JOURNAL_CONSTRAINT = "journal_by_key";
function writeStatement(schema, group, terms) {
  const [op, ...others] = group;
  const single = op === void 0 || others.length > 0 ? null : singleStatement(schema, WRITES, op, terms.now);
  return single ?? writeGroupStatement(schema, group, terms);
}
function commitStatement(schema, op, { now, isPrepared }) {
  const statement = singleStatement(schema, COMMITS, op, now);
  if (statement === null) return anyGroupStatement(schema, [op], true, { now, gate: null });
  return isPrepared && op.type === "journal" ? commitStep2(schema, statement.values) : statement;
}
function lockedFence(schema) {
  return `fence AS MATERIALIZED (SELECT e.epoch FROM "${schema}".shards e WHERE e.shard_id = $1 FOR SHARE)`;
}
function commitStep2(schema, values) {
  return {
    name: "holdfast_commit_step",
    text: `WITH ${lockedFence(schema)}
      INSERT INTO "${schema}".journal (key, ordinal, position, kind, name, event, data, execution)
      SELECT $3, $4, $5, $6, $7, $8, $9, $10 FROM (SELECT) one LEFT JOIN fence ON true
        WHERE CASE WHEN fence.epoch = $2 THEN true ELSE "${schema}".refuse_fence_v9(fence.epoch) END`,
    values
  };
}
function answeredRequest(schema, op, reply, now) {
  const [, ok = null, data = null] = replyRow(reply);
  const row = rowOf(op).slice(0, -1);
  return {
    name: "holdfast_answered_request",
    text: `WITH ${lockedFence(schema)},
      accepted AS (
        INSERT INTO "${schema}".requests (request_id, shard_id, entity_type, entity_id, tag, deduplication_key, payload, headers,
            expects, uninterruptible, from_inside, read_pending_first, sender, deliver_at)
          SELECT $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19 FROM fence WHERE fence.epoch = $2
          ON CONFLICT DO NOTHING RETURNING requests.request_id, requests.entity_type, requests.sequence
      ), answered AS (
        INSERT INTO "${schema}".replies (sequence, entity_type, ok, data, answered_at)
          SELECT a.sequence, a.entity_type, $4, $5, $3 FROM accepted a
      )
      SELECT json_build_object('f', json_build_array((SELECT fence.epoch FROM fence)),
        'q', (SELECT json_object_agg(a.request_id, a.sequence) FROM accepted a))::text AS answer`,
    values: [op.fence?.shardId ?? null, op.fence?.epoch ?? null, Math.floor(now), ok, data, ...row]
  };
}
function singleStatement(schema, functions, op, now) {
  const functionName = functions[op.type];
  if (op.type === "request" && op.reply !== void 0) return answeredRequest(schema, op, op.reply, now);
  const row = functionName === void 0 ? null : onlyRowOf(op);
  if (functionName === void 0 || row === null) return null;
  const fence = [op.fence?.shardId ?? null, op.fence?.epoch ?? null];
  const values = op.type === "reply" ? [...fence, Math.floor(now), ...row] : [...fence, ...row];
  return call(schema, functionName, values);
}

// src/postgres-session.ts
var PATIENCE_MS = 1e3;
var NEXT_LOOK_MS = 50;
var PostgresSession = class {
  driver;
  clock;
  schema;
  gate = new Gate();
  #committer;
  #transactions = /* @__PURE__ */ new Set();
  #endings = [];
  #closing = null;
  constructor(driver, clock, settings) {
    this.driver = driver;
    this.clock = clock;
    this.schema = settings.schema;
    this.#committer = new GroupCommitter({
      lanes: driver.lanes,
      maxRows: settings.maxGroupRows,
      write: async (group) => {
        const places = placesOf(group);
        const { rows } = await driver.run(
          writeStatement(this.schema, group, {
            now: clock.now(),
            gate: this.gate.for(places.keys()),
            places
          })
        );
        return writeGroupResults(group, rows[0].answer, places);
      }
    });
  }
  /** @throws {PersistenceError} the session was closed; nothing was written */
  assertOpen(operation) {
    if (this.#closing !== null) throw closedError(operation);
  }
  /** Calls a function of the schema that writes, and returns its rows. @throws {PersistenceError} */
  async call(operation, functionName, values) {
    return this.run(operation, this.#functionCall(functionName, values));
  }
  /**
   * Calls a function that takes over what others may have locked. A process that stands still between the last statement of
   * a transaction and its COMMIT would hold it up until `idleTransactionTimeout` is over, and may not commit any more.
   */
  async takeOver(operation, functionName, values) {
    const statement = this.#functionCall(functionName, values);
    let isOver = false;
    const look = () => {
      const unblocking = this.driver.unblock?.(statement.text) ?? Promise.resolve(0);
      void unblocking.catch(() => 0).then((ended) => {
        if (!isOver) timer = this.clock.setTimer(ended > 0 ? NEXT_LOOK_MS : PATIENCE_MS, look);
      });
    };
    let timer = this.clock.setTimer(PATIENCE_MS, look);
    try {
      return await this.run(operation, statement);
    } finally {
      isOver = true;
      timer.cancel();
    }
  }
  /** Calls a function of the schema that writes under a fence, and returns its rows. @throws {FencedError} @throws {PersistenceError} */
  async callFenced(operation, functionName, values, fence) {
    this.assertOpen(operation);
    try {
      return (await this.driver.run(this.#functionCall(functionName, values))).rows;
    } catch (error) {
      if (error instanceof SqlFailure && error.sqlState === FENCED_STATE)
        throw fencedError(fence, epochOf(error));
      throw persistenceError(operation, error);
    }
  }
  /** Calls a function of the schema that only reads. @throws {PersistenceError} `not-written` */
  async read(operation, functionName, values) {
    return this.query(operation, this.#functionCall(functionName, values));
  }
  /** Runs one statement that writes. @throws {PersistenceError} */
  async run(operation, statement) {
    this.assertOpen(operation);
    try {
      return (await this.driver.run(statement)).rows;
    } catch (error) {
      throw persistenceError(operation, error);
    }
  }
  /** Runs one statement that only reads. @throws {PersistenceError} `not-written` */
  async query(operation, statement) {
    this.assertOpen(operation);
    try {
      return (await this.driver.run({ ...statement, isRead: true })).rows;
    } catch (error) {
      const { sqlState, message } = failureOf(error, false);
      throw persistenceError(
        operation,
        new SqlFailure({ outcome: "not-written", sqlState, message }, { cause: error })
      );
    }
  }
  /** Writes with the next group. @throws {FencedError} @throws {PersistenceError} */
  write(operation, op) {
    return new Promise((resolve2, reject) => {
      this.assertOpen(operation);
      this.#committer.write(new SessionWrite(operation, op, resolve2, reject));
    });
  }
  /** The same for a write that cannot be refused. */
  append(operation, op) {
    return new Promise((resolve2, reject) => {
      this.assertOpen(operation);
      this.#committer.write(new SessionWrite(operation, op, () => resolve2(), reject));
    });
  }
  /**
   * Writes in a handler's transaction, and commits it. If the connection is lost at COMMIT, what came of it is read back.
   *
   * @param isRecorded reads whether `op` is in the database
   * @returns `refused` if `op` was refused and everything rolled back, `recorded` if it was found after a loss
   * @throws {FencedError} rolled back, or another runner owns the shard since
   * @throws {TransactionUnavailableError} one of its statements failed before, or what they wrote was refused at COMMIT, so it
   *   was rolled back
   * @throws {PersistenceError} `not-written` is rolled back
   */
  async commit(operation, op, transaction, isRecorded) {
    try {
      this.assertOpen(operation);
      await transaction.commitAfter(
        commitStatement(this.schema, op, { now: this.clock.now(), isPrepared: this.driver.prepares })
      );
      return "committed";
    } catch (error) {
      await transaction.rollback().catch(() => void 0);
      if (error instanceof TransactionUnavailableError4) throw error;
      if (!(error instanceof SqlFailure)) throw persistenceError(operation, error);
      if (error.outcome === "unknown" && error.isSettled) {
        await this.#readBack(operation, op.fence, error, isRecorded);
        return "recorded";
      }
      if (error.outcome === "not-written") {
        if (error.sqlState === FENCED_STATE) throw fencedError(op.fence, epochOf(error));
        if (error.sqlState?.startsWith("HF") === true) return "refused";
        if (error.constraint === `${this.schema}.${JOURNAL_CONSTRAINT}`) return "refused";
      }
      throw persistenceError(operation, error);
    }
  }
  /**
   * Resolves if a commit of which nobody heard happened. Its server process is gone, so what is not there never will be.
   * What is there is this caller's own if nobody claimed the shard since, which the lock on its row makes sure of.
   *
   * @throws {FencedError} @throws {PersistenceError} `not-written` where it did not happen
   */
  async #readBack(operation, fence, lost, isRecorded) {
    let epoch;
    let isThere;
    try {
      const { rows } = await this.driver.run({
        name: "holdfast_lock_shard",
        text: `SELECT epoch FROM "${this.schema}".shards WHERE shard_id = $1 FOR UPDATE`,
        values: [fence.shardId]
      });
      epoch = rows[0] === void 0 ? null : Number(rows[0].epoch);
      isThere = await isRecorded();
    } catch {
      throw persistenceError(operation, lost);
    }
    if (epoch !== fence.epoch) throw fencedError(fence, epoch);
    if (isThere) return;
    throw persistenceError(
      operation,
      new SqlFailure(
        { outcome: "not-written", sqlState: lost.sqlState, message: lost.message },
        { cause: lost }
      )
    );
  }
  /** Calls `listener` for the notifications of a channel. Resolves to what ends that. @throws {PersistenceError} */
  async listen(operation, channel, listener) {
    this.assertOpen(operation);
    const failed = (error) => {
      throw persistenceError(operation, failureOf(error, false));
    };
    const end = await this.driver.listen(channel, listener).catch(failed);
    return () => end().catch(failed);
  }
  beginTransaction(after) {
    const begin = () => {
      this.assertOpen("a transaction");
      return this.driver.begin();
    };
    const transaction = new PostgresTransaction(
      after === void 0 ? begin : () => after.then(begin),
      () => this.#transactions.delete(transaction),
      this.driver.laterNative
    );
    this.#transactions.add(transaction);
    return transaction;
  }
  /** Has `end` called when the session closes, after the last write. */
  onClose(end) {
    this.#endings.push(end);
  }
  close() {
    this.#closing ??= this.#close();
    return this.#closing;
  }
  #functionCall(functionName, values) {
    const places = values.map((_, index) => `$${index + 1}`).join(", ");
    return {
      name: `holdfast_${functionName}`,
      text: `SELECT * FROM "${this.schema}".${functionName}(${places})`,
      values
    };
  }
  async #close() {
    await Promise.allSettled(Array.from(this.#transactions, (transaction) => transaction.rollback()));
    await this.#committer.drained();
    for (const end of this.#endings) await end().catch(() => void 0);
    await this.driver.close();
  }
};
function epochOf(failure) {
  const detail = failure.serverDetail ?? "";
  return detail === "" ? null : Number(detail);
}
var SessionWrite = class {
  op;
  #operation;
  #resolve;
  #reject;
  constructor(operation, op, resolve2, reject) {
    this.op = op;
    this.#operation = operation;
    this.#resolve = resolve2;
    this.#reject = reject;
  }
  resolve(result) {
    if (result.type !== "fenced") this.#resolve(result);
    else this.#reject(fencedError(this.op.fence, result.current));
  }
  reject(error) {
    this.#reject(persistenceError(this.#operation, error));
  }
};

// src/postgres-workflow-storage.ts
init_errors();
import {
  CANCELLED_CODE,
  firstRequestIdOf,
  PersistenceError as PersistenceError3
} from "@holdfast/core/adapter";

// src/execution-row.ts
function storedOf(rows) {
  const entries = [];
  const inbox = [];
  for (const row of rows) {
    if (row.ordinal === null) {
      const { request_id: requestId, tag, payload } = row;
      inbox.push({ requestId, tag, payload });
    } else {
      const { ordinal, position, kind, name, event, data } = row;
      entries.push({ ordinal, position, kind, name, event: eventOf(event, data) });
    }
  }
  return { entries, inbox };
}
function executionOf(row) {
  return {
    envelope: envelopeOf(row),
    status: row.status,
    endedAt: numberOf(row.ended_at),
    dueAt: numberOf(row.due_at),
    attributes: JSON.parse(row.attributes ?? "{}")
  };
}

// src/postgres-workflow-storage.ts
var PostgresWorkflowStorage = class {
  #session;
  #wakeUps;
  /** @param wakeUps null where no other process could save anything */
  constructor(session, wakeUps) {
    this.#session = session;
    this.#wakeUps = wakeUps;
  }
  // Not async, since every step waits for it: that would take half a kilobyte more for as long.
  appendJournal(execution, entries, fence, transaction) {
    if (transaction !== null) return this.#appendIn(transaction, execution, entries, fence);
    try {
      assertStorableEntries(execution, entries);
    } catch (error) {
      return Promise.reject(error);
    }
    const op = { type: "journal", execution, key: journalKeyOf(execution), entries, fence };
    return this.#session.append("appendJournal", op);
  }
  async #appendIn(transaction, execution, entries, fence) {
    const opened = await openedHere(transaction);
    try {
      assertStorableEntries(execution, entries);
    } catch (error) {
      await opened.rollback();
      throw error;
    }
    const op = { type: "journal", execution, key: journalKeyOf(execution), entries, fence };
    if (!opened.hasBegun) {
      await opened.rollback();
      await this.#session.append("appendJournal", op);
      return;
    }
    const isRecorded = async () => {
      const recorded = await this.readExecution(execution, { execution: "", inbox: [] });
      const there = new Set(recorded.entries.map(({ ordinal }) => ordinal));
      return entries.every(({ ordinal }) => there.has(ordinal));
    };
    if (await this.#session.commit("appendJournal", op, opened, isRecorded) !== "refused") return;
    throw new PersistenceError3({
      operation: "appendJournal",
      // An earlier attempt's commit, of which nobody heard, may be what is there: only reading the journal tells.
      outcome: "unknown",
      detail: `an entry with one of these ordinals is there already, so the transaction was rolled back; read the journal again`
    });
  }
  async readExecution(execution, tags) {
    const { entityType, executionId } = execution;
    const rows = await this.#session.read("readExecution", "read_execution_v4", [
      entityType,
      executionId,
      tags.execution,
      textArray(tags.inbox)
    ]);
    return storedOf(rows);
  }
  async trimExecution({ entityType, executionId }, trim, fence) {
    await this.#session.callFenced(
      "trimExecution",
      "trim_execution_v4",
      [
        fence.shardId,
        fence.epoch,
        entityType,
        executionId,
        trim.belowOrdinal,
        textArray(trim.requestIds),
        Math.floor(trim.answeredBefore)
      ],
      fence
    );
  }
  async listExecutions(query) {
    if (query.executionId !== null && !isStorable(query.executionId)) return [];
    const { startedFrom, startedBefore, after } = query;
    const attributes2 = Object.entries(query.attributes);
    const below = [after, startedBefore === null ? null : firstRequestIdOf(startedBefore)].filter(
      (bound) => bound !== null
    );
    const rows = await this.#session.read("listExecutions", "list_executions_v4", [
      query.entityType,
      query.tag,
      query.executionId,
      query.status,
      startedFrom === null ? null : firstRequestIdOf(startedFrom),
      below.toSorted()[0] ?? null,
      textArray(attributes2.map(([name]) => name)),
      textArray(attributes2.map(([, value]) => JSON.stringify(value))),
      Math.floor(query.now),
      query.limit,
      errorBeginning(CANCELLED_CODE)
    ]);
    return rows.map(executionOf);
  }
  async reopenExecution({ entityType, executionId }, requestId, { forget, entry }) {
    assertStorableEntry(entry);
    const [row] = await this.#session.call("reopenExecution", "reopen_execution_v4", [
      entityType,
      executionId,
      requestId,
      plainArray(forget),
      entry.ordinal,
      entry.position,
      entry.kind,
      entry.name,
      ...eventColumns(entry.event)
    ]);
    if (row === void 0) return null;
    const shardId = row.shard_id;
    this.#wakeUps?.announce(shardId);
    return { entityType, entityId: executionId, shardId };
  }
};
function assertStorableEntries({ executionId }, entries) {
  assertStorable(executionId, "The id of an execution");
  for (const entry of entries) assertStorableEntry(entry);
}
function assertStorableEntry({ kind, name, event }) {
  assertStorable(name, "The name of a step");
  if (kind !== "attributes" || event.type !== "completed") return;
  for (const [attribute, value] of Object.entries(JSON.parse(event.value))) {
    assertStorable(attribute, "The name of an attribute");
    if (typeof value === "string") assertStorable(value, `The attribute ${attribute}`);
  }
}

// src/server-driver.ts
init_errors();

// src/listener.ts
init_errors();
var FIRST_PAUSE_MS = 50;
var LONGEST_PAUSE_MS = 5e3;
var Listener = class {
  #open;
  #channels = /* @__PURE__ */ new Map();
  #session = null;
  #opening = null;
  #retry;
  #failures = 0;
  #isClosed = false;
  constructor(open2) {
    this.#open = open2;
  }
  async listen(channel, listener) {
    const listeners = this.#channels.get(channel) ?? /* @__PURE__ */ new Set();
    this.#channels.set(channel, listeners.add(listener));
    try {
      const session = await this.#connected();
      await session.listen(channel);
    } catch (error) {
      listeners.delete(listener);
      throw failureOf(error, false);
    }
    return async () => {
      listeners.delete(listener);
    };
  }
  async close() {
    this.#isClosed = true;
    this.#channels.clear();
    clearTimeout(this.#retry);
    await this.#opening?.catch(() => void 0);
    this.#session?.end();
    this.#session = null;
  }
  #connected() {
    if (this.#session !== null) return Promise.resolve(this.#session);
    this.#opening ??= this.#connect().finally(() => {
      this.#opening = null;
    });
    return this.#opening;
  }
  async #connect() {
    let isLost = false;
    const session = await this.#open({
      heard: (channel, payload) => {
        for (const listener of this.#channels.get(channel) ?? []) listener.heard(payload);
      },
      lost: () => {
        isLost = true;
        if (this.#session === null || this.#session !== session) return;
        this.#session = null;
        this.#failures = 0;
        this.#reconnectSoon();
      }
    });
    if (this.#isClosed || isLost) {
      session.end();
      throw new Error(isLost ? "the connection was lost" : "the session was closed");
    }
    this.#session = session;
    return session;
  }
  #reconnectSoon() {
    if (this.#isClosed) return;
    const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** this.#failures, LONGEST_PAUSE_MS);
    this.#failures += 1;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => void this.#reconnect(), pauseMs);
    this.#retry.unref();
  }
  async #reconnect() {
    try {
      const session = await this.#connected();
      for (const channel of this.#channels.keys()) await session.listen(channel);
      this.#failures = 0;
      for (const listeners of this.#channels.values()) {
        for (const listener of listeners) listener.resumed();
      }
    } catch {
      this.#session?.end();
      this.#session = null;
      this.#reconnectSoon();
    }
  }
};

// src/server-transaction.ts
init_errors();
var ServerTransaction = class {
  #connection;
  #options;
  #begun;
  /** Why it did not begin: a statement that is sent now would not be in a transaction. */
  #unbegun = null;
  #lostWith = null;
  /** Whether its session, though it lives, is of no use to the next one. */
  #isSpoilt = false;
  #over = null;
  constructor(connection, options) {
    this.#connection = connection;
    this.#options = options;
    this.#begun = this.#begin();
    this.#begun.catch(() => void 0);
  }
  get native() {
    return this.#connection.native;
  }
  get lostWith() {
    return this.#lostWith;
  }
  /** Resolves once it has begun. @throws {SqlFailure} nothing was begun; the session is ended */
  async begun() {
    try {
      await this.#begun;
    } catch (error) {
      await this.rollback();
      throw error;
    }
  }
  async query(text, params) {
    if (this.#unbegun !== null) throw this.#lostWith ?? this.#unbegun;
    try {
      const [, { rows, rowCount }] = await Promise.all([
        this.#begun,
        this.#connection.query(text, params)
      ]);
      return { rows, rowCount };
    } catch (error) {
      await this.#begun.catch(() => void 0);
      if (this.#unbegun !== null || !isPlainError(error)) throw this.#lostWith ??= lostTransaction(error);
      this.#isSpoilt ||= isSpoilt(error);
      const isRepeated = isTransient(error) || params.length > 0 && isForgotten(error);
      if (isRepeated) throw Object.assign(error, { retryable: true });
      throw error;
    }
  }
  async script(text, deadlineMs) {
    try {
      await this.#begun;
      await this.#connection.script(text, deadlineMs);
    } catch (error) {
      throw failureOf(error, true);
    }
  }
  async commitAfter(statement) {
    this.#connection.seal();
    if (this.#unbegun !== null) {
      this.#release(false);
      throw this.#unbegun;
    }
    const last = this.#connection.run(statement);
    if (!this.#connection.isPipelined) {
      try {
        await last;
      } catch (error) {
        this.#isSpoilt ||= isSpoilt(error);
        await this.rollback();
        throw undone(error);
      }
    }
    const committing = this.#connection.script("COMMIT");
    const [begun, recorded, committed] = await Promise.allSettled([this.#begun, last, committing]);
    if (begun.status === "fulfilled" && recorded.status === "fulfilled" && committed.status === "fulfilled" && committed.value.command === "COMMIT") {
      this.#release(true);
      const { rows, rowCount } = recorded.value;
      return { rows, rowCount };
    }
    if (begun.status === "rejected" && recorded.status === "fulfilled") {
      this.#release(false);
      throw unsure(begun.reason, true);
    }
    const refusal = recorded.status === "rejected" ? recorded.reason : committed.status === "rejected" ? committed.reason : null;
    const isUsable = begun.status === "fulfilled" && (committed.status === "fulfilled" || isPlainError(committed.reason));
    const processId = await this.#processId();
    this.#isSpoilt ||= isSpoilt(refusal);
    this.#release(isUsable);
    if (recorded.status === "fulfilled" && isPlainError(refusal)) throw failureOfCommit(refusal);
    if (isUsable || isPlainError(refusal)) {
      const why = begun.status === "rejected" && isAborted(refusal) ? begun.reason : refusal;
      throw undone(why ?? new Error("the server rolled it back"));
    }
    const isGone = await this.#options.retire(processId);
    const reason = committed.status === "rejected" ? committed.reason : refusal;
    throw unsure(reason, isGone);
  }
  async rollback() {
    this.#over ??= this.#rollback();
    await this.#over;
  }
  async #rollback() {
    this.#connection.seal();
    if (this.#unbegun !== null) {
      this.#finish(false);
      return;
    }
    try {
      await this.#connection.script("ROLLBACK");
      await this.#begun;
      this.#finish(true);
    } catch {
      this.#finish(false);
    }
  }
  async #begin() {
    try {
      return await this.#connection.script(this.#options.begin);
    } catch (error) {
      this.#unbegun = failureOf(error, false);
      const lostWith = this.#lostWith ??= lostTransaction(error);
      this.#connection.seal(() => lostWith);
      throw this.#unbegun;
    }
  }
  async #processId() {
    if (!this.#options.saysProcess) return this.#connection.processId;
    const begun = await this.#begun.catch(() => null);
    return begun?.rows.at(-1)?.pid ?? null;
  }
  #release(isUsable) {
    if (this.#over !== null) return;
    this.#over = Promise.resolve();
    this.#finish(isUsable);
  }
  #finish(isUsable) {
    this.#connection.release(isUsable && !this.#isSpoilt);
    this.#options.released();
  }
};
function unsure(error, isSettled) {
  const { sqlState, message } = failureOf(error, true);
  return new SqlFailure({ outcome: "unknown", sqlState, message, isSettled }, { cause: error });
}

// src/server-driver.ts
init_session_settings();
init_turnstile();
init_within();
var LANES = 2;
var TERMINATION_MS = 2e3;
var RETIREMENT_MS = 5e3;
var RETIREMENT_PAUSE_MS = 100;
var SILENCE_MS = 3e3;
var IDLE_S = 1;
var ServerDriver = class {
  lanes = LANES;
  prepares;
  listens;
  hearsOthers;
  laterNative;
  #settings;
  #pool;
  #listening;
  #listener;
  #transactions;
  #underWay = /* @__PURE__ */ new Set();
  /** How often the pool was renewed. */
  #renewals = 0;
  /** Whether what stands between makes up the server processes that sessions have, as PgBouncer does in each of its modes. */
  #isProxied;
  /** @param listening where sessions that listen come from; null: notifications do not come through here */
  constructor(pool, listening, settings) {
    this.prepares = settings.prepare;
    this.#settings = settings;
    this.#isProxied = settings.pooler !== null;
    this.#pool = pool;
    this.#listening = listening;
    this.listens = listening !== null;
    this.hearsOthers = listening !== null;
    this.laterNative = pool.laterNative;
    this.#listener = new Listener((events) => (listening ?? pool).openListener(events));
    const forTransactions = pool.size - Math.min(4, Math.floor(pool.size / 2));
    this.#transactions = new Turnstile(Math.max(1, forTransactions));
  }
  /** Finds out whether the server is behind a proxy. To be called before anything else. @throws {SqlFailure} */
  async meet() {
    if (this.#isProxied) return;
    const connection = await this.#connect();
    const { rows } = await this.#run(
      { name: "holdfast_meet", text: "SELECT pg_backend_pid() AS pid", values: [], isRead: true },
      connection
    );
    this.#isProxied = rows[0]?.pid !== connection.processId;
  }
  async run(statement) {
    return statement.isUrgent === true ? this.#runUrgent(statement) : this.#runOnce(statement);
  }
  async begin() {
    const { transactionWaitMs } = this.#settings;
    const leave = await this.#transactions.enter(transactionWaitMs);
    if (leave === null) {
      throw new SqlFailure({
        outcome: "not-written",
        sqlState: null,
        message: `no connection became free for a transaction within ${transactionWaitMs} ms: raise poolSize, or wait for no other entity inside of a transaction`
      });
    }
    try {
      const connection = await this.#connect();
      const transaction = this.#transaction(connection, leave, true);
      if (!connection.isPipelined) await transaction.begun();
      return transaction;
    } catch (error) {
      leave();
      throw error;
    }
  }
  async listen(channel, listener) {
    if (!this.listens) return async () => void 0;
    return this.#listener.listen(channel, listener);
  }
  async close() {
    await this.#listener.close();
    while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay);
    await this.#pool.end();
    if (this.#listening !== this.#pool) await this.#listening?.end();
  }
  async #runUrgent(statement) {
    const renewals = this.#renewals;
    const first = this.#runOnce(statement);
    const silence = Promise.withResolvers();
    const silenceMs = Math.min(SILENCE_MS, this.#settings.statementDeadlineMs / 2);
    const timer = setTimeout(() => silence.resolve("silence"), silenceMs);
    try {
      const answer = await Promise.race([first, silence.promise]);
      if (answer !== "silence") return answer;
    } finally {
      clearTimeout(timer);
    }
    this.#renewSince(renewals);
    const answers = [first, this.#runOnce(statement)];
    return Promise.any(answers).catch(() => first);
  }
  #runOnce(statement) {
    return this.#follow(
      this.#settings.pooler === null ? this.#run(statement) : this.#runPooled(statement)
    );
  }
  async #run(statement, lent) {
    const renewals = this.#renewals;
    const connection = lent ?? await this.#connect();
    try {
      const { rows, rowCount } = await connection.run(statement);
      connection.release(true);
      return { rows, rowCount };
    } catch (error) {
      const isUsable = isPlainError(error);
      const processId = this.#isProxied ? null : connection.processId;
      if (isReadOnly(error)) this.#renewSince(renewals);
      connection.release(isUsable && !isSpoilt(error));
      const isGone = !isUsable && statement.isRead !== true && await this.#retire(processId, false);
      throw failureOf(error, true, isGone);
    }
  }
  /** Of many that meet the same, one renews: sessions that were made since then are none of those that they met. */
  #renewSince(renewals) {
    if (renewals !== this.#renewals) return;
    this.#renewals += 1;
    this.#pool.renew();
  }
  /** BEGIN, the statement and COMMIT leave together: still one trip where the connection is pipelined. */
  async #runPooled(statement) {
    const transaction = this.#transaction(await this.#connect(), () => void 0, false);
    return transaction.commitAfter(statement);
  }
  #transaction(connection, released, isPatient) {
    const begin = beginText(this.#settings, !this.#isProxied && this.#settings.pool === void 0);
    return new ServerTransaction(connection, {
      begin: this.#isProxied ? `${begin}; SELECT pg_backend_pid() AS pid` : begin,
      saysProcess: this.#isProxied,
      released,
      retire: (processId) => this.#retire(processId, isPatient)
    });
  }
  async #connect() {
    try {
      return await this.#pool.connect();
    } catch (error) {
      throw failureOf(error, false);
    }
  }
  /**
   * Sees to it that a server process whose connection was lost writes nothing any more. Resolves to whether it is surely
   * gone. Never rejects: where it cannot be known, the outcome stays unknown.
   *
   * @param isPatient waits for a server that starts again
   */
  async #retire(processId, isPatient) {
    if (processId === null) return false;
    const patienceMs = Math.min(RETIREMENT_MS, this.#settings.statementDeadlineMs);
    const givesUpAt = performance.now() + patienceMs;
    for (; ; ) {
      const leftMs = givesUpAt - performance.now();
      if (leftMs <= 0) return false;
      try {
        return await within(this.#terminate(processId), leftMs, "the server process could not be ended");
      } catch {
        if (!isPatient) return false;
        await new Promise((resolve2) => setTimeout(resolve2, RETIREMENT_PAUSE_MS));
      }
    }
  }
  async #terminate(processId) {
    const connection = await this.#connect();
    try {
      const { rows } = await connection.query(
        `SELECT coalesce(bool_and(pg_terminate_backend(pid, ${TERMINATION_MS})), true) AS gone
           FROM pg_stat_activity WHERE pid = $1 AND usename = session_user AND pid <> pg_backend_pid()`,
        [processId]
      );
      connection.release(true);
      return rows[0]?.gone === true;
    } catch (error) {
      connection.release(isPlainError(error));
      throw error;
    }
  }
  async unblock(text) {
    const { rows } = await this.run({
      name: "holdfast_unblock",
      text: `SELECT pg_terminate_backend(b.pid) FROM pg_stat_activity w
        CROSS JOIN LATERAL unnest(pg_blocking_pids(w.pid)) AS u (pid) JOIN pg_stat_activity b ON b.pid = u.pid
        WHERE w.query = $1 AND w.wait_event_type = 'Lock' AND w.datid = b.datid AND b.usename = session_user
          AND b.state = 'idle in transaction' AND b.state_change < clock_timestamp() - make_interval(secs => $2)`,
      values: [text, IDLE_S],
      isRead: true
    });
    return rows.length;
  }
  async #follow(work) {
    this.#underWay.add(work);
    try {
      return await work;
    } finally {
      this.#underWay.delete(work);
    }
  }
};

// src/wake-ups.ts
var PAUSE_MS = 5;
var MAX_PAYLOAD_BYTES = 7e3;
var WakeUps = class {
  #session;
  #channel;
  #announced = /* @__PURE__ */ new Set();
  #sending = null;
  constructor(session) {
    this.#session = session;
    this.#channel = `${session.schema}_pending`;
    session.onClose(async () => {
      if (this.#sending === null) return;
      clearTimeout(this.#sending);
      await this.#send();
    });
  }
  /** There is a request for this shard that its owner may not know of. */
  announce(shardId) {
    this.#announced.add(shardId);
    this.#sending ??= setTimeout(() => void this.#send(), PAUSE_MS);
  }
  async watch(wake) {
    let isOver = false;
    const tell = (shardIds) => {
      if (!isOver && shardIds.length > 0) wake(shardIds);
    };
    const end = await this.#session.listen("watchPending", this.#channel, {
      heard: (payload) => tell(shardsIn(payload)),
      // Whatever came while nobody listened: any shard that has an owner has a row.
      resumed: () => {
        this.#everyShard().then(tell, () => void 0);
      }
    });
    return async () => {
      isOver = true;
      await end();
    };
  }
  /** Never rejects: a wake-up is a hint. */
  async #send() {
    this.#sending = null;
    const payloads = payloadsOf(this.#announced);
    this.#announced.clear();
    await this.#session.driver.run({
      name: "holdfast_notify",
      text: `SELECT pg_notify($1, t.payload) FROM unnest($2::text[]) AS t (payload)`,
      values: [this.#channel, textArray(payloads)]
    }).catch(() => void 0);
  }
  async #everyShard() {
    const statement = {
      name: "holdfast_every_shard",
      text: `SELECT shard_id FROM "${this.#session.schema}".shards`,
      values: []
    };
    const rows = await this.#session.query("watchPending", statement);
    return rows.map(({ shard_id }) => shard_id);
  }
};
function payloadsOf(shardIds) {
  const payloads = [];
  let group = [];
  let bytes = 0;
  for (const shardId of shardIds) {
    const size = Buffer.byteLength(JSON.stringify(shardId)) + 1;
    if (bytes + size > MAX_PAYLOAD_BYTES && group.length > 0) {
      payloads.push(JSON.stringify(group));
      group = [];
      bytes = 0;
    }
    group.push(shardId);
    bytes += size;
  }
  if (group.length > 0) payloads.push(JSON.stringify(group));
  return payloads;
}
function shardsIn(payload) {
  try {
    const parsed = JSON.parse(payload);
    return Array.isArray(parsed) ? parsed.filter((shardId) => typeof shardId === "string") : [];
  } catch {
    return [];
  }
}

// src/open-postgres.ts
async function openPostgres(settings, services) {
  return storageOn(await connect2(settings), settings, services);
}
async function openPostgresRunners(settings, services) {
  const session = new PostgresSession(await connect2(settings), services.clock, settings);
  return { runners: new PostgresRunnerStorage(session), close: () => session.close() };
}
function storageOn(driver, settings, services) {
  const session = new PostgresSession(driver, services.clock, settings);
  const wakeUps = driver.hearsOthers ? new WakeUps(session) : null;
  return {
    messages: new PostgresMessageStorage(session, wakeUps),
    workflows: new PostgresWorkflowStorage(session, wakeUps),
    runners: new PostgresRunnerStorage(session),
    close: () => session.close()
  };
}
async function connect2(settings) {
  const makePool = await poolMaker(settings.driver);
  const pool = makePool(settings);
  const { pooler, listenConnectionString } = settings;
  const past = listenConnectionString === void 0 ? null : makePool({
    ...settings,
    connectionString: listenConnectionString,
    pool: void 0,
    sql: void 0,
    pooler: null
  });
  const driver = new ServerDriver(pool, pooler === null ? pool : past, settings);
  try {
    await driver.meet().catch((error) => {
      throw persistenceError("open", error);
    });
    await migrate(driver, settings.schema);
    return driver;
  } catch (error) {
    await driver.close();
    throw error;
  }
}
async function poolMaker(driver) {
  if (driver !== "postgres.js") {
    try {
      const { default: pg } = await importPeer(() => import("pg"), "pg", "postgres");
      const { PgPool: PgPool2 } = await Promise.resolve().then(() => (init_pg_pool(), pg_pool_exports));
      return (settings) => new PgPool2(pg, settings);
    } catch (error) {
      if (driver === "pg" || !(error instanceof AdapterNotInstalledError)) throw error;
      const found = await poolMaker("postgres.js").catch(() => null);
      if (found === null) throw error;
      return found;
    }
  }
  const { default: postgresJs } = await importPeer(() => import("postgres"), "postgres", "postgres");
  const { PostgresJsPool: PostgresJsPool2 } = await Promise.resolve().then(() => (init_postgres_js_pool(), postgres_js_pool_exports));
  return (settings) => new PostgresJsPool2(postgresJs, settings);
}
async function importPeer(load, packageName, scheme) {
  try {
    return await load();
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? cause.code : void 0;
    if (code !== "ERR_MODULE_NOT_FOUND" || !String(cause).includes(`'${packageName}'`)) throw cause;
    throw new AdapterNotInstalledError({ option: "storage", scheme, packageName }, { cause });
  }
}

// src/pglite-driver.ts
init_errors();
init_later_client();

// src/pglite-transaction.ts
init_errors();
init_guarded_client();
init_value_text();
var VALUES = pgliteOptions();
var PGLITE_METHODS = ["query", "sql", "exec"];
var PGliteTransaction = class {
  #options;
  #begun;
  #ended;
  #native;
  #client;
  #settle = null;
  #idle;
  #deadline;
  #isNativeOut = false;
  /** What the user holds as `native` sends nothing any more: what ends the transaction goes out next. */
  #isSealed = false;
  #expired = null;
  #lostWith = null;
  constructor(instance, options) {
    this.#options = options;
    const { promise: begun, resolve: begin, reject: fail } = Promise.withResolvers();
    const { promise: decided, resolve: commit, reject: rollback } = Promise.withResolvers();
    decided.catch(() => void 0);
    begun.catch(() => void 0);
    this.#begun = begun;
    this.#settle = { commit, rollback };
    this.#ended = instance.transaction(async (native) => {
      this.#native = native;
      begin(native);
      this.#watchIdle();
      this.#watchDeadline();
      try {
        await decided;
      } catch (reason) {
        await native.exec("ROLLBACK").catch(() => void 0);
        throw reason;
      }
    }).catch((error) => {
      fail(error);
      throw error;
    }).finally(() => {
      this.#settle = null;
      clearTimeout(this.#idle);
      clearTimeout(this.#deadline);
      options.released();
    });
    this.#ended.catch(() => void 0);
  }
  get native() {
    this.#isNativeOut = true;
    clearTimeout(this.#idle);
    this.#client ??= this.#native && guardedClient(this.#native, PGLITE_METHODS, () => this.#refusal());
    return this.#client;
  }
  get lostWith() {
    return this.#lostWith;
  }
  /** Resolves once it has begun, and `native` is there. @throws {SqlFailure} nothing was begun */
  async begun() {
    try {
      await this.#begun;
    } catch (error) {
      throw failureOf(error, false);
    }
  }
  async query(text, params) {
    if (this.#lostWith !== null) throw this.#lostWith;
    const native = await this.#open();
    try {
      const { rows, affectedRows } = await native.query(text, [...params], VALUES);
      return {
        rows,
        rowCount: affectedRows === void 0 || affectedRows === 0 ? rows.length : affectedRows
      };
    } finally {
      this.#watchIdle();
    }
  }
  async script(text) {
    const native = await this.#open();
    try {
      await native.exec(text);
    } catch (error) {
      throw failureOf(error, true);
    } finally {
      this.#watchIdle();
    }
  }
  async commitAfter(statement) {
    let result;
    try {
      const native = await this.#open();
      clearTimeout(this.#deadline);
      this.#isSealed = true;
      const { rows, affectedRows } = await native.query(statement.text, [...statement.values]);
      result = { rows, rowCount: affectedRows ?? rows.length };
    } catch (error) {
      await this.rollback();
      throw undone(error);
    }
    this.#settle?.commit();
    try {
      await this.#ended;
    } catch (error) {
      throw failureOfCommit(error);
    }
    return result;
  }
  async rollback() {
    clearTimeout(this.#idle);
    this.#isSealed = true;
    this.#settle?.rollback(new Error("rolled back"));
    await this.#ended.catch(() => void 0);
  }
  async #open() {
    clearTimeout(this.#idle);
    if (this.#expired !== null) throw this.#expired;
    await this.begun();
    return this.#begun;
  }
  #refusal() {
    return this.#lostWith ?? (this.#isSealed ? transactionOver() : null);
  }
  #watchIdle() {
    clearTimeout(this.#idle);
    if (this.#settle === null || this.#isNativeOut) return;
    const { idleLimitMs } = this.#options;
    this.#idle = setTimeout(() => {
      this.#expire(
        "25P03",
        `did nothing for ${idleLimitMs} ms`,
        "must not wait for another entity, nor query the instance itself, nor yield from a persisted stream, on PGlite"
      );
    }, idleLimitMs);
    this.#idle.unref();
  }
  #watchDeadline() {
    const { deadlineMs } = this.#options;
    this.#deadline = setTimeout(() => {
      this.#expire(
        "25P04",
        `took longer than ${deadlineMs} ms`,
        "must end soon, or needs a PostgreSQL server"
      );
    }, deadlineMs);
    this.#deadline.unref();
  }
  #expire(sqlState, what, advice) {
    const message = `the transaction ${what} and was rolled back, since it held PGlite's one session. A handler that holds a transaction ${advice}`;
    this.#expired ??= new SqlFailure({ outcome: "not-written", sqlState, message });
    this.#lostWith ??= lostTransaction(this.#expired);
    void this.rollback();
  }
};

// src/pglite-driver.ts
var PGliteDriver = class {
  lanes = 1;
  listens = true;
  hearsOthers = false;
  prepares = false;
  laterNative = (begin) => laterClient(PGLITE_METHODS, begin);
  #instance;
  #session;
  #settings;
  #closed;
  #underWay = /* @__PURE__ */ new Set();
  #endings = /* @__PURE__ */ new Set();
  /**
   * @param session the queue for the instance's one session, shared by all who use the instance
   * @param closed called when this driver needs the instance no longer
   */
  constructor(instance, session, settings, closed) {
    this.#instance = instance;
    this.#session = session;
    this.#settings = settings;
    this.#closed = closed;
  }
  async run(statement) {
    const work = this.#run(statement);
    this.#underWay.add(work);
    try {
      return await work;
    } finally {
      this.#underWay.delete(work);
    }
  }
  async begin() {
    const leave = await this.#enter(this.#settings.transactionWaitMs);
    const transaction = new PGliteTransaction(this.#instance, {
      idleLimitMs: this.#settings.idleTransactionTimeoutMs,
      deadlineMs: this.#settings.transactionDeadlineMs,
      released: leave
    });
    await transaction.begun();
    return transaction;
  }
  async listen(channel, listener) {
    const leave = await this.#enter(this.#settings.statementDeadlineMs);
    let unlisten;
    try {
      unlisten = await this.#instance.listen(`"${channel}"`, (payload) => listener.heard(payload));
    } catch (error) {
      throw failureOf(error, false);
    } finally {
      leave();
    }
    const end = async () => {
      if (!this.#endings.delete(end)) return;
      const leaveAgain = await this.#enter(this.#settings.statementDeadlineMs);
      await unlisten().finally(leaveAgain);
    };
    this.#endings.add(end);
    return end;
  }
  async close() {
    for (const end of this.#endings) await end().catch(() => void 0);
    while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay);
    const leave = await this.#session.enter(this.#settings.statementDeadlineMs);
    leave?.();
    await this.#closed();
  }
  async #run({ text, values }) {
    const leave = await this.#enter(this.#settings.statementDeadlineMs);
    try {
      const { rows, affectedRows } = await this.#instance.query(text, [...values]);
      return { rows, rowCount: affectedRows ?? rows.length };
    } catch (error) {
      throw failureOf(error, true);
    } finally {
      leave();
    }
  }
  async #enter(patienceMs) {
    const leave = await this.#session.enter(patienceMs);
    if (leave !== null) return leave;
    throw new SqlFailure({
      outcome: "not-written",
      sqlState: null,
      message: `PGlite has one session, and it was not free within ${patienceMs} ms. A handler that holds a transaction must not wait for another entity here: end the transaction first, or use a PostgreSQL server`
    });
  }
};

// src/pglite-folder.ts
import { link, mkdir, open, readFile as readFile2, rename, rm } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { ConfigError as ConfigError2 } from "@holdfast/core/adapter";
async function takeFolder(dataDir) {
  const folder = resolve(dataDir);
  const file = `${folder}.lock`;
  await mkdir(dirname(folder), { recursive: true });
  const own = await describeProcess(process.pid);
  for (; ; ) {
    try {
      const handle = await open(file, "wx");
      await handle.writeFile(own);
      await handle.close();
      return () => rm(file, { force: true });
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
    }
    const holder = await readFile2(file, "utf8").catch(() => null);
    if (holder === null) continue;
    if (await isAlive(holder)) {
      throw new ConfigError2({
        option: "dataDir",
        got: dataDir,
        takes: "a folder that no other process has open",
        hint: `Process ${holder.split(" ")[0] ?? ""} holds ${file}. PGlite serves one process; several need a PostgreSQL server.`
      });
    }
    const stale = `${file}.${process.pid}`;
    try {
      await rename(file, stale);
    } catch {
      continue;
    }
    if (await readFile2(stale, "utf8") !== holder) await link(stale, file).catch(() => void 0);
    await rm(stale, { force: true });
  }
}
async function isAlive(holder) {
  const pid = Number(holder.split(" ")[0]);
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM" && await describeProcess(pid) === holder;
  }
  return await describeProcess(pid) === holder;
}
async function describeProcess(pid) {
  const stat = await readFile2(`/proc/${pid}/stat`, "utf8").catch(() => null);
  const startedAt = stat?.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  return startedAt === void 0 ? String(pid) : `${pid} ${startedAt}`;
}

// src/open-pglite.ts
init_turnstile();
var PGliteSessions = class {
  #settings;
  #turnstile = new Turnstile(1);
  #shared = null;
  #users = 0;
  constructor(settings) {
    this.#settings = settings;
  }
  /** @throws {PersistenceError} @throws {ConfigError} @throws {AdapterNotInstalledError} */
  async open(services) {
    this.#users += 1;
    this.#shared ??= this.#start();
    const shared = this.#shared;
    try {
      const { instance } = await shared;
      const driver = new PGliteDriver(instance, this.#turnstile, this.#settings, () => this.#leave(shared));
      return storageOn(driver, this.#settings, services);
    } catch (error) {
      await this.#leave(shared);
      throw error;
    }
  }
  async #leave(shared) {
    this.#users -= 1;
    if (this.#users > 0 || this.#shared !== shared) return;
    this.#shared = null;
    const started = await shared.catch(() => null);
    await started?.end();
  }
  async #start() {
    const { instance: given2, dataDir, schema } = this.#settings;
    if (given2 !== void 0) {
      await given2.waitReady;
      await this.#migrate(given2);
      return { instance: given2, end: async () => void 0 };
    }
    const { PGlite } = await importPeer(
      () => import("@electric-sql/pglite"),
      "@electric-sql/pglite",
      "pglite"
    );
    const giveBack = dataDir === void 0 ? async () => void 0 : await takeFolder(dataDir);
    try {
      const instance = await PGlite.create({
        ...dataDir === void 0 ? {} : { dataDir },
        relaxedDurability: false
      });
      await this.#migrate(instance);
      await instance.exec(`DELETE FROM "${schema}".runners`);
      await instance.exec(`VACUUM (ANALYZE) "${schema}".pending`);
      return {
        instance,
        end: async () => {
          await instance.close();
          await giveBack();
        }
      };
    } catch (error) {
      await giveBack();
      throw error instanceof HoldfastError ? error : persistenceError("open", failureOf(error, false));
    }
  }
  async #migrate(instance) {
    const driver = new PGliteDriver(instance, this.#turnstile, this.#settings, async () => void 0);
    await migrate(driver, this.#settings.schema);
  }
};

// src/options.ts
import { ConfigError as ConfigError3, milliseconds } from "@holdfast/core/adapter";
var COMMON2 = ["schema", "maxGroupRows", "statementDeadline", "idleTransactionTimeout", "transactionWait"];
var SERVER = [
  "driver",
  "connectionString",
  "pool",
  "sql",
  "client",
  "poolSize",
  "lockTimeout",
  "pooler",
  "prepare",
  "listenConnectionString"
];
var ONE_HOUR_MS = 36e5;
function postgresSettings(options) {
  refuseUnknown(options, [...COMMON2, ...SERVER]);
  const { pool, sql, pooler, listenConnectionString } = options;
  checkUrl(options.connectionString, "connectionString");
  checkUrl(listenConnectionString, "listenConnectionString");
  checkGivenClients(options);
  if (pooler !== void 0 && pooler !== "transaction")
    throw new ConfigError3({ option: "pooler", got: pooler, takes: '"transaction", or is left out' });
  if (listenConnectionString !== void 0 && pooler === void 0) {
    throw new ConfigError3({
      option: "listenConnectionString",
      got: "given without pooler",
      takes: "the server's own URL where connectionString leads to a pooler"
    });
  }
  const { prepare = pooler === void 0 } = options;
  if (typeof prepare !== "boolean")
    throw new ConfigError3({ option: "prepare", got: prepare, takes: "true or false" });
  const poolSize = options.poolSize ?? (sql === void 0 ? 16 : Math.max(2, sql.options.max));
  return {
    ...commonSettings(options, { idle: 2e4, wait: 1e4 }),
    driver: driverOf(options),
    connectionString: options.connectionString,
    pool,
    sql,
    client: options.client ?? {},
    poolSize: integer(poolSize, "poolSize", 2, 1e3),
    lockTimeoutMs: duration(options.lockTimeout ?? 1e4, "lockTimeout"),
    pooler: pooler ?? null,
    prepare,
    listenConnectionString
  };
}
function driverOf({ driver, pool, sql }) {
  if (driver !== void 0 && driver !== "pg" && driver !== "postgres.js")
    throw new ConfigError3({ option: "driver", got: driver, takes: '"pg" or "postgres.js"' });
  const given2 = pool !== void 0 ? "pg" : sql !== void 0 ? "postgres.js" : null;
  if (driver !== void 0 && given2 !== null && driver !== given2) {
    throw new ConfigError3({
      option: "driver",
      got: driver,
      takes: `"${given2}" with the client that was given, or is left out`
    });
  }
  return driver ?? given2;
}
function checkGivenClients({ connectionString, pool, sql, client, poolSize }) {
  if (pool !== void 0 && (connectionString !== void 0 || client !== void 0 || poolSize !== void 0 || sql !== void 0)) {
    throw new ConfigError3({
      option: "pool",
      got: "given together with connectionString, client, sql or poolSize",
      takes: "a pg Pool that has them already"
    });
  }
  if (pool !== void 0 && typeof pool.connect !== "function")
    throw new ConfigError3({ option: "pool", got: pool, takes: "a Pool of the package pg" });
  if (sql !== void 0 && (connectionString !== void 0 || client !== void 0)) {
    throw new ConfigError3({
      option: "sql",
      got: "given together with connectionString or client",
      takes: "a postgres.js client that has them already"
    });
  }
  if (sql !== void 0 && (typeof sql.reserve !== "function" || typeof sql.options?.max !== "number")) {
    throw new ConfigError3({
      option: "sql",
      got: sql,
      takes: "a client made by postgres() of the package postgres"
    });
  }
}
function checkUrl(url, option) {
  if (url === void 0 || /^postgres(?:ql)?:\/\//.test(url) && URL.canParse(url)) return;
  throw new ConfigError3({
    option,
    got: "another text",
    takes: 'a URL such as "postgres://user@host:5432/database"'
  });
}
function pgliteSettings(options) {
  refuseUnknown(options, [...COMMON2, "dataDir", "instance", "transactionDeadline"]);
  const { dataDir, instance } = options;
  if (dataDir !== void 0 && (typeof dataDir !== "string" || dataDir === "")) {
    throw new ConfigError3({
      option: "dataDir",
      got: dataDir,
      takes: "the path of a folder, or nothing for a database in memory"
    });
  }
  if (instance !== void 0 && (dataDir !== void 0 || typeof instance.transaction !== "function")) {
    throw new ConfigError3({
      option: "instance",
      got: dataDir === void 0 ? instance : "given together with dataDir",
      takes: "a PGlite"
    });
  }
  return {
    ...commonSettings(options, { idle: 1e4, wait: 15e3 }),
    dataDir,
    instance,
    transactionDeadlineMs: duration(options.transactionDeadline ?? 3e4, "transactionDeadline")
  };
}
function commonSettings(options, defaults) {
  return {
    schema: schemaName(options.schema ?? "holdfast"),
    maxGroupRows: integer(options.maxGroupRows ?? 500, "maxGroupRows", 1, 5e3),
    statementDeadlineMs: duration(options.statementDeadline ?? 2e4, "statementDeadline"),
    idleTransactionTimeoutMs: duration(
      options.idleTransactionTimeout ?? defaults.idle,
      "idleTransactionTimeout"
    ),
    transactionWaitMs: duration(options.transactionWait ?? defaults.wait, "transactionWait")
  };
}
function schemaName(schema) {
  if (typeof schema === "string" && /^[a-z_][a-z0-9_]{0,39}$/.test(schema) && !schema.startsWith("pg_"))
    return schema;
  throw new ConfigError3({
    option: "schema",
    got: schema,
    takes: 'lower-case letters, digits and "_", at most 40, beginning with no digit and not with "pg_"'
  });
}
function integer(value, option, least, most) {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new ConfigError3({ option, got: value, takes: `a whole number from ${least} to ${most}` });
}
function duration(value, option) {
  const ms = milliseconds(value, option);
  if (ms >= 10 && ms <= ONE_HOUR_MS) return Math.ceil(ms);
  throw new ConfigError3({ option, got: value, takes: "a duration from 10ms to 1h" });
}
function refuseUnknown(options, known) {
  for (const option of Object.keys(options)) {
    if (!known.includes(option))
      throw new ConfigError3({ option, got: "unknown", takes: `one of ${known.join(", ")}` });
  }
}

// src/postgres-tx.ts
init_guarded_client();
import { ConfigError as ConfigError4, transactionScopeOf, TransactionUnavailableError as TransactionUnavailableError5 } from "@holdfast/core/adapter";

// src/transaction-control.ts
var OPAQUE = /'[^']*'|"[^"]*"|--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|\$([a-z_]\w*)?\$[\s\S]*?(?:\$\1\$|$)/gi;
var CONTROL = /(?:^|;)\s*(begin|start\s+transaction|commit|end|abort|rollback(?!\s+(?:(?:work|transaction)\s+)?to\b)|prepare\s+transaction)\b/i;
var BODY = /\bbegin\s+atomic\b/i;
function transactionCommandOf(text) {
  const plain = text.replace(OPAQUE, " ");
  return BODY.test(plain) ? null : CONTROL.exec(plain)?.[1] ?? null;
}

// src/postgres-tx.ts
function postgresTx(context) {
  const transaction = transactionScopeOf(context, TRANSACTION_KIND).open(TRANSACTION_KIND);
  if (!(transaction instanceof PostgresTransaction)) {
    throw new TransactionUnavailableError5({
      wanted: TRANSACTION_KIND,
      why: "another copy of @holdfast/storage-postgres opened it"
    });
  }
  return new OpenTx(transaction);
}
var OpenTx = class {
  query;
  begin;
  #transaction;
  constructor(transaction) {
    this.#transaction = transaction;
    this.query = async (text, params = []) => {
      const command = transactionCommandOf(text);
      if (command !== null) throw notYours(command);
      return transaction.query(text, params);
    };
    this.begin = async () => {
      await transaction.begin();
    };
  }
  get native() {
    return this.#transaction.native;
  }
};
function notYours(command) {
  return new ConfigError4({
    option: "text",
    got: command,
    takes: "no statement that begins or ends a transaction",
    hint: "The transaction has begun, and is committed with the record of what ran once the handler has returned. To have it rolled back, throw; to take back a part of it, use SAVEPOINT and ROLLBACK TO."
  });
}

// src/index.ts
var BACKEND = "postgres";
function postgres(options = {}) {
  const settings = postgresSettings(options);
  return { kind: "storage", backend: BACKEND, open: (services) => openPostgres(settings, services) };
}
function pglite(options = {}) {
  const sessions = new PGliteSessions(pgliteSettings(options));
  return { kind: "storage", open: (services) => sessions.open(services) };
}
function postgresRunners(options = {}) {
  const settings = postgresSettings(options);
  return { kind: "runners", open: (services) => openPostgresRunners(settings, services) };
}
function storageFromUrl(url) {
  if (!url.startsWith("pglite:")) return postgres(optionsFromUrl(url, "storage"));
  const path = url.slice("pglite:".length).replace(/^\/\//, "");
  return pglite(path === "" || path === "memory" ? {} : { dataDir: path });
}
function runnersFromUrl(url) {
  const options = optionsFromUrl(url, "runners");
  const adapter = postgresRunners(options);
  return Object.keys(options).length === 0 ? { ...adapter, sharedBackend: BACKEND } : adapter;
}
function optionsFromUrl(url, option) {
  let parsed;
  try {
    parsed = new URL(url);
  } catch {
    throw new ConfigError5({
      option,
      got: "no valid URL",
      takes: 'a URL such as "postgres://user@host:5432/database" or "pglite:./data"'
    });
  }
  const options = {};
  for (const name of ["schema", "driver", "pooler"]) {
    const value = parsed.searchParams.get(name);
    if (value !== null) options[name] = value;
    parsed.searchParams.delete(name);
  }
  if (/^postgres(?:ql)?:(?!\/\/)/.test(url)) return options;
  return { connectionString: parsed.href, ...options };
}
export {
  pglite,
  postgres,
  postgresRunners,
  postgresTx,
  runnersFromUrl,
  storageFromUrl
};
