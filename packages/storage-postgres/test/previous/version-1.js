// The storage of schema version 1, bundled from src/ as it was then: for upgrade.itest.ts, in which members of that release
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
function failureOf(error, wasSent) {
  if (error instanceof SqlFailure) return error;
  const sqlState = sqlStateOf(error);
  const message = sqlState === null ? describe(error) : `${sqlState}: ${describe(error)}`;
  const outcome = !wasSent || isPlainError(error) ? "not-written" : "unknown";
  return new SqlFailure(
    { outcome, sqlState, message, serverDetail: fieldOf(error, "detail") },
    { cause: error }
  );
}
function isPlainError(error) {
  return sqlStateOf(error) !== null && fieldOf(error, "severity") === "ERROR";
}
function mayBeOneRow(error) {
  if (!(error instanceof SqlFailure) || error.outcome !== "not-written" || error.sqlState === null)
    return false;
  return error.sqlState === "57014" || !/^(?:08|25|53|57|58|F0|XX)/.test(error.sqlState);
}
function isTransient(error) {
  const sqlState = sqlStateOf(error);
  return sqlState === "40001" || sqlState === "40P01" || sqlState === "55P03";
}
function persistenceError(operation, error) {
  if (error instanceof PersistenceError) return error;
  const failure = failureOf(error, true);
  return new PersistenceError(
    { operation, outcome: failure.outcome, detail: failure.message },
    { cause: failure }
  );
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
function assertStorable(value, what) {
  if (!value.includes("\0") && value.isWellFormed()) return;
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
function fieldOf(error, field) {
  if (typeof error !== "object" || error === null || !(field in error)) return null;
  const value = error[field];
  return typeof value === "string" ? value : null;
}
var FENCED_STATE, SqlFailure;
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
      constructor(failure, options) {
        super(failure.message, options);
        this.outcome = failure.outcome;
        this.sqlState = failure.sqlState;
        this.serverDetail = failure.serverDetail ?? null;
      }
    };
  }
});

// src/pg-connection.ts
function end(client, isUsable) {
  if (isUsable) {
    client.release();
    return;
  }
  const { connection } = client;
  connection?.stream?.destroy?.();
  client.release(true);
}
function processIdOf(client) {
  const { processID } = client;
  return typeof processID === "number" && processID > 0 ? processID : null;
}
var init_pg_connection = __esm({
  "src/pg-connection.ts"() {
    "use strict";
  }
});

// src/pg-listener.ts
var FIRST_PAUSE_MS, LONGEST_PAUSE_MS, PgListener;
var init_pg_listener = __esm({
  "src/pg-listener.ts"() {
    "use strict";
    init_errors();
    FIRST_PAUSE_MS = 50;
    LONGEST_PAUSE_MS = 5e3;
    PgListener = class {
      #makeClient;
      #deadlineMs;
      #channels = /* @__PURE__ */ new Map();
      #client = null;
      #connecting = null;
      #retry;
      #failures = 0;
      #isClosed = false;
      constructor(makeClient, deadlineMs) {
        this.#makeClient = makeClient;
        this.#deadlineMs = deadlineMs;
      }
      async listen(channel, listener) {
        const listeners = this.#channels.get(channel) ?? /* @__PURE__ */ new Set();
        this.#channels.set(channel, listeners.add(listener));
        try {
          const client = await this.#connected();
          await this.#listenOn(client, channel);
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
        const client = this.#client;
        this.#client = null;
        this.#connecting = null;
        await client?.end().catch(() => void 0);
      }
      #connected() {
        if (this.#client !== null) return Promise.resolve(this.#client);
        this.#connecting ??= this.#connect().finally(() => {
          this.#connecting = null;
        });
        return this.#connecting;
      }
      async #connect() {
        const client = this.#makeClient();
        client.on("error", () => void 0);
        client.on("notification", ({ channel, payload }) => {
          for (const listener of this.#channels.get(channel) ?? []) listener.heard(payload ?? "");
        });
        await client.connect();
        if (this.#isClosed) {
          await client.end();
          throw new Error("the session was closed");
        }
        client.once("end", () => this.#lost(client));
        this.#client = client;
        return client;
      }
      #lost(client) {
        if (this.#client !== client) return;
        this.#client = null;
        this.#failures = 0;
        this.#reconnectSoon();
      }
      #reconnectSoon() {
        if (this.#isClosed) return;
        const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** this.#failures, LONGEST_PAUSE_MS);
        this.#failures += 1;
        this.#retry = setTimeout(() => void this.#reconnect(), pauseMs);
        this.#retry.unref();
      }
      async #reconnect() {
        try {
          const client = await this.#connected();
          for (const channel of this.#channels.keys()) await this.#listenOn(client, channel);
          this.#failures = 0;
          for (const listeners of this.#channels.values()) {
            for (const listener of listeners) listener.resumed();
          }
        } catch {
          const client = this.#client;
          this.#client = null;
          void client?.end().catch(() => void 0);
          this.#reconnectSoon();
        }
      }
      /** Channel names are made of checked identifiers. */
      async #listenOn(client, channel) {
        const query = { text: `LISTEN "${channel}"`, query_timeout: this.#deadlineMs };
        await client.query(query);
      }
    };
  }
});

// src/pg-transaction.ts
function undone(error) {
  const { sqlState, message, serverDetail } = failureOf(
    error ?? new Error("the server rolled it back"),
    false
  );
  return new SqlFailure({ outcome: "not-written", sqlState, message, serverDetail }, { cause: error });
}
var PgTransaction;
var init_pg_transaction = __esm({
  "src/pg-transaction.ts"() {
    "use strict";
    init_errors();
    init_pg_connection();
    PgTransaction = class {
      native;
      #options;
      #isPipelined;
      #begun;
      #over = null;
      constructor(client, options) {
        this.native = client;
        this.#options = options;
        this.#isPipelined = client.pipeline === true;
        this.#begun = this.#send(options.begin);
        this.#begun.catch(() => void 0);
      }
      async query(text, params) {
        if (!this.#isPipelined) await this.#begun;
        try {
          const [, { rows, rowCount }] = await Promise.all([this.#begun, this.#send(text, params)]);
          return { rows, rowCount: rowCount ?? 0 };
        } catch (error) {
          if (!isPlainError(error)) throw failureOf(error, true);
          if (isTransient(error)) throw Object.assign(error, { retryable: true });
          throw error;
        }
      }
      async script(text) {
        try {
          await this.#begun;
          await this.#send(text);
        } catch (error) {
          throw failureOf(error, true);
        }
      }
      async commitAfter(statement) {
        const last = this.#sendNamed(statement);
        if (!this.#isPipelined) {
          try {
            await last;
          } catch (error) {
            await this.rollback();
            throw undone(error);
          }
        }
        const committing = this.#send("COMMIT");
        const [recorded, committed] = await Promise.allSettled([last, committing]);
        if (recorded.status === "fulfilled" && committed.status === "fulfilled" && committed.value.command === "COMMIT") {
          this.#release(true);
          const { rows, rowCount } = recorded.value;
          return { rows, rowCount: rowCount ?? 0 };
        }
        const refusal = recorded.status === "rejected" ? recorded.reason : committed.status === "rejected" ? committed.reason : null;
        const isUsable = committed.status === "fulfilled" || isPlainError(committed.reason);
        const processId = processIdOf(this.native);
        this.#release(isUsable);
        if (isUsable || isPlainError(refusal)) throw undone(refusal);
        await this.#options.retire(processId);
        const lost = failureOf(committed.reason, true);
        throw new SqlFailure(
          { outcome: "unknown", sqlState: lost.sqlState, message: lost.message },
          { cause: committed.reason }
        );
      }
      async rollback() {
        this.#over ??= this.#rollback();
        await this.#over;
      }
      async #rollback() {
        try {
          await this.#send("ROLLBACK");
          this.#finish(true);
        } catch {
          this.#finish(false);
        }
      }
      #release(isUsable) {
        if (this.#over !== null) return;
        this.#over = Promise.resolve();
        this.#finish(isUsable);
      }
      #finish(isUsable) {
        end(this.native, isUsable);
        this.#options.released();
      }
      #send(text, params) {
        const query = {
          text,
          query_timeout: this.#options.deadlineMs,
          ...params === void 0 ? {} : { values: [...params] }
        };
        return this.native.query(query);
      }
      #sendNamed({ name, text, values }) {
        const query = { name, text, values: [...values], query_timeout: this.#options.deadlineMs };
        return this.native.query(query);
      }
    };
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

// src/pg-driver.ts
var pg_driver_exports = {};
__export(pg_driver_exports, {
  PgDriver: () => PgDriver
});
function poolConfig(settings) {
  return {
    application_name: "holdfast",
    keepAlive: true,
    connectionTimeoutMillis: Math.min(settings.statementDeadlineMs, 1e4),
    idleTimeoutMillis: 6e4,
    ...settings.client,
    ...settings.connectionString === void 0 ? {} : { connectionString: settings.connectionString },
    max: settings.poolSize,
    pipeline: true,
    lock_timeout: settings.lockTimeoutMs,
    // The server gives up first: then its answer says that nothing was written.
    statement_timeout: Math.max(10, Math.floor(settings.statementDeadlineMs * 0.8)),
    idle_in_transaction_session_timeout: settings.idleTransactionTimeoutMs
  };
}
function withPassword(options) {
  return options.password === void 0 ? {} : { password: options.password };
}
async function withDeadline(work, deadlineMs, late) {
  let timer;
  let isLate = false;
  const deadline = new Promise((_resolve, reject) => {
    timer = setTimeout(() => {
      isLate = true;
      reject(new Error(`no connection within ${deadlineMs} ms`));
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
function ignore() {
}
var LANES, PgDriver;
var init_pg_driver = __esm({
  "src/pg-driver.ts"() {
    "use strict";
    init_errors();
    init_pg_connection();
    init_pg_listener();
    init_pg_transaction();
    init_turnstile();
    LANES = 2;
    PgDriver = class {
      lanes = LANES;
      hearsOthers = true;
      #settings;
      #pool;
      #listener;
      #transactions;
      /** Connections whose error event is listened to: one without a listener would end the process. */
      #guarded = /* @__PURE__ */ new WeakSet();
      #underWay = /* @__PURE__ */ new Set();
      constructor(pg, settings) {
        this.#settings = settings;
        const config = poolConfig(settings);
        this.#pool = settings.pool === void 0 ? new pg.Pool(config) : settings.pool;
        if (settings.pool === void 0) this.#pool.on("error", ignore);
        const options = this.#pool.options;
        this.#listener = new PgListener(
          () => new pg.Client({ ...options, ...withPassword(options), pipeline: false }),
          settings.statementDeadlineMs
        );
        const size = options.max ?? settings.poolSize;
        const forTransactions = size - Math.min(4, Math.floor(size / 2));
        this.#transactions = new Turnstile(Math.max(1, forTransactions));
      }
      async run(statement) {
        return this.#follow(this.#run(statement));
      }
      async begin() {
        const { transactionWaitMs, pool, lockTimeoutMs, idleTransactionTimeoutMs, statementDeadlineMs } = this.#settings;
        const leave = await this.#transactions.enter(transactionWaitMs);
        if (leave === null) {
          throw new SqlFailure({
            outcome: "not-written",
            sqlState: null,
            message: `no connection became free for a transaction within ${transactionWaitMs} ms: raise poolSize, or wait for no other entity inside of a transaction`
          });
        }
        try {
          const client = await this.#connect();
          const settings = pool === void 0 ? "" : `; SET LOCAL lock_timeout = ${lockTimeoutMs}; SET LOCAL idle_in_transaction_session_timeout = ${idleTransactionTimeoutMs}`;
          return new PgTransaction(client, {
            begin: `BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE${settings}`,
            deadlineMs: statementDeadlineMs,
            released: leave,
            retire: (processId) => this.#retire(processId)
          });
        } catch (error) {
          leave();
          throw error;
        }
      }
      async listen(channel, listener) {
        return this.#listener.listen(channel, listener);
      }
      async close() {
        await this.#listener.close();
        while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay);
        if (this.#settings.pool === void 0 && !this.#pool.ending) await this.#pool.end();
      }
      async #run(statement) {
        const client = await this.#connect();
        try {
          const { name, text, values } = statement;
          const query = { name, text, values: [...values], query_timeout: this.#settings.statementDeadlineMs };
          const { rows, rowCount } = await client.query(query);
          client.release();
          return { rows, rowCount: rowCount ?? 0 };
        } catch (error) {
          const usable = isPlainError(error);
          const processId = processIdOf(client);
          end(client, usable);
          if (!usable) await this.#retire(processId);
          throw failureOf(error, true);
        }
      }
      async #connect() {
        try {
          const client = await withDeadline(
            this.#pool.connect(),
            this.#settings.statementDeadlineMs,
            (late) => late.release()
          );
          if (!this.#guarded.has(client)) {
            this.#guarded.add(client);
            client.on("error", ignore);
          }
          return client;
        } catch (error) {
          throw failureOf(error, false);
        }
      }
      /**
       * Sees to it that a server process whose connection was lost writes nothing any more, so that who reads back what it may
       * have written reads the last word. Best effort: behind a pooler the process is not ours to end.
       */
      async #retire(processId) {
        if (processId === null) return;
        try {
          const client = await this.#connect();
          try {
            const text = `SELECT pg_terminate_backend($1, 2000) FROM pg_stat_activity WHERE pid = $1 AND usename = current_user`;
            await client.query({ text, values: [processId], query_timeout: 4e3 });
            client.release();
          } catch (error) {
            end(client, isPlainError(error));
          }
        } catch {
        }
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
  }
});

// src/index.ts
import { ConfigError as ConfigError4 } from "@holdfast/core/adapter";

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
function writeGroup(s) {
  const lookedUp = `CROSS JOIN LATERAL (
        SELECT o.sequence, o.entity_type FROM ${s}.requests o WHERE o.request_id = t.id OFFSET 0) q`;
  return `
CREATE FUNCTION ${s}.write_group_v1(
  p_strict boolean, p_now bigint, p_f_shard text[], p_f_epoch bigint[],
  p_q_fence int[], p_q_id text[], p_q_shard text[], p_q_type text[], p_q_entity text[], p_q_tag text[], p_q_key text[],
  p_q_payload text[], p_q_headers text[], p_q_expects text[], p_q_uninterruptible boolean[], p_q_inside boolean[],
  p_q_pending_first boolean[], p_q_sender text[], p_q_deliver_at bigint[], p_q_attempts int[],
  p_u_fence int[], p_u_id text[], p_u_attempts int[], p_u_moves boolean[], p_u_deliver_at bigint[],
  p_j_fence int[], p_j_type text[], p_j_execution text[], p_j_ordinal int[], p_j_position int[], p_j_kind text[],
  p_j_name text[], p_j_event text[], p_j_data text[],
  p_c_fence int[], p_c_id text[], p_c_index int[], p_c_value text[],
  p_r_fence int[], p_r_id text[], p_r_ok boolean[], p_r_data text[],
  p_d_fence int[], p_d_id text[], p_d_attempts int[], p_d_error text[], p_d_since bigint[]
) RETURNS text LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE
  v_epochs bigint[]; v_held boolean[]; v_replied text[] := '{}';
  v_accepted json; v_streams json; v_recorded json;
  v_sequences bigint[]; v_types text[]; v_ids text[]; v_oks boolean[]; v_texts text[];
  v_attempts int[]; v_moves boolean[]; v_times bigint[]; v_count int; v_left int;
BEGIN
  IF cardinality(p_f_shard) > 0 THEN
    WITH locked AS MATERIALIZED (
      SELECT e.shard_id, e.epoch FROM ${s}.shards e WHERE e.shard_id = ANY (p_f_shard) ORDER BY e.shard_id FOR SHARE
    ) SELECT array_agg(l.epoch ORDER BY f.place), array_agg(l.epoch IS NOT DISTINCT FROM f.epoch ORDER BY f.place)
      INTO v_epochs, v_held
      FROM unnest(p_f_shard, p_f_epoch) WITH ORDINALITY AS f (shard_id, epoch, place)
      LEFT JOIN locked l ON l.shard_id = f.shard_id;
    IF p_strict AND NOT (true = ALL (v_held)) THEN
      RAISE EXCEPTION 'the shard was claimed again' USING ERRCODE = 'HF001', DETAIL = coalesce(v_epochs[1]::text, '');
    END IF;
  END IF;

  IF cardinality(p_q_id) > 0 THEN
    IF cardinality(p_r_id) > 0 THEN
      SELECT coalesce(array_agg(t.id), '{}') INTO v_replied
        FROM unnest(p_r_fence, p_r_id) AS t (fence, id) WHERE v_held[t.fence];
    END IF;
    WITH given AS MATERIALIZED (
      SELECT * FROM unnest(p_q_fence, p_q_id, p_q_shard, p_q_type, p_q_entity, p_q_tag, p_q_key, p_q_payload, p_q_headers,
        p_q_expects, p_q_uninterruptible, p_q_inside, p_q_pending_first, p_q_sender, p_q_deliver_at, p_q_attempts)
        WITH ORDINALITY AS t (fence, id, shard, type, entity, tag, key, payload, headers, expects, uninterruptible, inside,
          pending_first, sender, deliver_at, attempts, place)
        WHERE t.fence = 0 OR v_held[t.fence]
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
  END IF;

  IF cardinality(p_u_id) > 0 THEN
    SELECT array_agg(q.sequence), array_agg(t.attempts), array_agg(t.moves), array_agg(t.deliver_at)
      INTO v_sequences, v_attempts, v_moves, v_times
      FROM unnest(p_u_fence, p_u_id, p_u_attempts, p_u_moves, p_u_deliver_at) AS t (fence, id, attempts, moves, deliver_at)
      ${lookedUp} WHERE v_held[t.fence];
    UPDATE ${s}.pending p
      SET attempts = v_attempts[array_position(v_sequences, p.sequence)],
        deliver_at = CASE WHEN v_moves[array_position(v_sequences, p.sequence)]
          THEN v_times[array_position(v_sequences, p.sequence)] ELSE p.deliver_at END
      WHERE p.sequence = ANY (v_sequences);
  END IF;

  IF cardinality(p_j_type) > 0 THEN
    INSERT INTO ${s}.journal (entity_type, execution_id, ordinal, position, kind, name, event, data)
      SELECT t.type, t.execution, t.ordinal, t.position, t.kind, t.name, t.event, t.data
        FROM unnest(p_j_fence, p_j_type, p_j_execution, p_j_ordinal, p_j_position, p_j_kind, p_j_name, p_j_event, p_j_data)
          WITH ORDINALITY AS t (fence, type, execution, ordinal, position, kind, name, event, data, place)
        WHERE v_held[t.fence] ORDER BY t.place
      ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    IF p_strict AND v_count < cardinality(p_j_type) THEN
      RAISE EXCEPTION 'an entry of this ordinal is there already' USING ERRCODE = 'HF003';
    END IF;
  END IF;

  IF cardinality(p_c_id) > 0 THEN
    WITH given AS MATERIALIZED (
      SELECT q.sequence, t.id, t.index, t.value, t.place
        FROM unnest(p_c_fence, p_c_id, p_c_index, p_c_value) WITH ORDINALITY AS t (fence, id, index, value, place)
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
      FROM unnest(p_r_fence, p_r_id, p_r_ok, p_r_data) WITH ORDINALITY AS t (fence, id, ok, data, place)
      ${lookedUp} WHERE v_held[t.fence];
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
        FROM unnest(p_d_fence, p_d_id, p_d_attempts, p_d_error, p_d_since) AS t (fence, id, attempts, error, since)
        ${lookedUp} WHERE v_held[t.fence]
    ), gone AS (
      DELETE FROM ${s}.pending p WHERE p.sequence = ANY (ARRAY(SELECT g.sequence FROM given g)) RETURNING p.sequence
    ) INSERT INTO ${s}.dead_letters (sequence, request_id, attempts, error, dead_since)
        SELECT g.sequence, g.id, g.attempts, g.error, g.since FROM gone JOIN given g ON g.sequence = gone.sequence;
  END IF;

  RETURN json_build_object('f', v_epochs, 'q', v_accepted, 'c', v_streams, 'r', v_recorded)::text;
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
    deadLetters(s),
    streams(s),
    forgetting(s),
    leases(s)
  ].join("\n");
}
function claimShards(s) {
  return `
CREATE FUNCTION ${s}.claim_shards_v1(p_shards text[]) RETURNS text LANGUAGE plpgsql AS $fn$
DECLARE v_epochs json;
BEGIN
  WITH raised AS (
    INSERT INTO ${s}.shards AS e (shard_id, epoch)
    SELECT DISTINCT t.shard_id COLLATE "C", 1 FROM unnest(p_shards) AS t (shard_id) ORDER BY 1
    ON CONFLICT (shard_id) DO UPDATE SET epoch = e.epoch + 1
    RETURNING e.shard_id, e.epoch
  ) SELECT json_object_agg(r.shard_id, r.epoch) INTO v_epochs FROM raised r;
  RETURN v_epochs::text;
END $fn$;`;
}
function readPending(s) {
  const free = `p.sequence NOT IN (SELECT unnest(p_held))
      AND (p.entity_type, p.entity_id) NOT IN (SELECT t.type, t.id FROM unnest(p_full_types, p_full_ids) AS t (type, id))`;
  return `
CREATE FUNCTION ${s}.read_pending_v1(
  p_shards text[], p_now bigint, p_limit int, p_held bigint[], p_full_types text[], p_full_ids text[]
) RETURNS TABLE (sequence bigint, attempts int, request_id text, shard_id text, entity_type text, entity_id text, tag text,
  deduplication_key text, payload text, headers text, expects text, uninterruptible boolean, from_inside boolean,
  read_pending_first boolean, sender text, deliver_at bigint)
LANGUAGE plpgsql STABLE ${PLANNING} AS $fn$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH found AS MATERIALIZED (
    SELECT f.sequence, f.attempts FROM unnest(p_shards) AS s (shard_id) CROSS JOIN LATERAL (
      (SELECT p.sequence, p.attempts FROM ${s}.pending p
        WHERE p.shard_id = s.shard_id AND p.deliver_at IS NULL AND ${free} ORDER BY p.sequence LIMIT p_limit + 1)
      UNION ALL
      (SELECT p.sequence, p.attempts FROM ${s}.pending p
        WHERE p.shard_id = s.shard_id AND p.deliver_at <= p_now AND ${free} ORDER BY p.sequence LIMIT p_limit + 1)
    ) f ORDER BY f.sequence LIMIT p_limit + 1
  )
  SELECT f.sequence, f.attempts, q.request_id, q.shard_id, q.entity_type, q.entity_id, q.tag, q.deduplication_key, q.payload,
    q.headers, q.expects, q.uninterruptible, q.from_inside, q.read_pending_first, q.sender, q.deliver_at
    FROM found f CROSS JOIN LATERAL (SELECT o.* FROM ${s}.requests o WHERE o.sequence = f.sequence OFFSET 0) q
    ORDER BY f.sequence;
  RETURN QUERY
  SELECT NULL::bigint, NULL::int, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL::boolean, NULL::boolean,
    NULL::boolean, NULL, min(n.deliver_at)
    FROM unnest(p_shards) AS s (shard_id) CROSS JOIN LATERAL (
      SELECT p.deliver_at FROM ${s}.pending p WHERE p.shard_id = s.shard_id AND p.deliver_at > p_now
        ORDER BY p.deliver_at LIMIT 1) n;
END $fn$;`;
}
function lookUp(s) {
  const columns = `q.sequence, p.attempts, p.deliver_at, r.ok, r.data, d.attempts, d.error, d.dead_since, q.request_id,
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
  RETURN QUERY SELECT ${columns} FROM ${s}.requests q ${joins} WHERE q.request_id = ANY (p_ids);
END $fn$;
CREATE FUNCTION ${s}.look_up_by_key_v1(p_type text, p_entity text, p_tag text, p_key text) RETURNS ${row}
LANGUAGE plpgsql STABLE ${PLANNING} AS $fn$
#variable_conflict use_column
BEGIN
  RETURN QUERY SELECT ${columns} FROM ${s}.requests q ${joins}
    WHERE q.entity_type = p_type AND q.entity_id = p_entity AND q.tag = p_tag AND q.deduplication_key = p_key;
END $fn$;
CREATE FUNCTION ${s}.read_journal_v1(p_type text, p_execution text)
RETURNS TABLE (ordinal int, "position" int, kind text, name text, event text, data text)
LANGUAGE plpgsql STABLE ${PLANNING} AS $fn$
#variable_conflict use_column
BEGIN
  RETURN QUERY SELECT j.ordinal, j.position, j.kind, j.name, j.event, j.data FROM ${s}.journal j
    WHERE j.entity_type = p_type AND j.execution_id = p_execution ORDER BY j.ordinal;
END $fn$;`;
}
function deadLetters(s) {
  const lock2 = `SELECT q.sequence, q.shard_id INTO v_sequence, v_shard FROM ${s}.requests q WHERE q.request_id = p_id;
  IF NOT FOUND THEN RETURN; END IF;
  PERFORM 1 FROM ${s}.shards e WHERE e.shard_id = v_shard FOR UPDATE;
  DELETE FROM ${s}.dead_letters d WHERE d.sequence = v_sequence;
  IF NOT FOUND THEN RETURN; END IF;`;
  return `
CREATE FUNCTION ${s}.list_dead_letters_v1(p_limit int, p_after text)
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
CREATE FUNCTION ${s}.requeue_dead_letter_v1(p_id text)
RETURNS TABLE (entity_type text, entity_id text, shard_id text) LANGUAGE plpgsql ${PLANNING} AS $fn$
#variable_conflict use_column
DECLARE v_sequence bigint; v_shard text;
BEGIN
  ${lock2}
  INSERT INTO ${s}.pending (sequence, shard_id, entity_type, entity_id, attempts, deliver_at)
    SELECT q.sequence, q.shard_id, q.entity_type, q.entity_id, 0, NULL FROM ${s}.requests q WHERE q.sequence = v_sequence;
  RETURN QUERY SELECT q.entity_type, q.entity_id, q.shard_id FROM ${s}.requests q WHERE q.sequence = v_sequence;
END $fn$;
CREATE FUNCTION ${s}.drop_dead_letter_v1(p_id text) RETURNS TABLE (dropped text) LANGUAGE plpgsql ${PLANNING} AS $fn$
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
CREATE FUNCTION ${s}.forget_answered_v1(p_type text, p_before bigint, p_limit int) RETURNS int
LANGUAGE plpgsql ${PLANNING} AS $fn$
DECLARE v_old bigint[];
BEGIN
  SELECT array_agg(o.sequence) INTO v_old FROM (
    SELECT r.sequence FROM ${s}.replies r WHERE r.entity_type = p_type AND r.answered_at < p_before
      ORDER BY r.answered_at LIMIT p_limit FOR UPDATE SKIP LOCKED) o;
  IF v_old IS NULL THEN RETURN 0; END IF;
  DELETE FROM ${s}.chunks c WHERE c.sequence = ANY (v_old);
  DELETE FROM ${s}.streams o WHERE o.sequence = ANY (v_old);
  DELETE FROM ${s}.requests q WHERE q.sequence = ANY (v_old);
  DELETE FROM ${s}.replies r WHERE r.sequence = ANY (v_old);
  RETURN cardinality(v_old);
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

// src/migrations.ts
var MIGRATIONS = [
  { version: 1, worksFrom: 1, script: (schema) => tablesOfVersion1(schema) + functionsOfVersion1(schema) }
];
var LATEST = MIGRATIONS.length;
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
    text: `SELECT to_regclass($1) IS NOT NULL AS there`,
    values: [`"${schema}".migrations`]
  });
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
    for (const { version, worksFrom, script } of MIGRATIONS.filter((migration) => migration.version > from)) {
      await transaction.script(script(schema));
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
import {
  AdapterNotInstalledError
} from "@holdfast/core/adapter";

// src/postgres-message-storage.ts
init_errors();
import {
  PersistenceError as PersistenceError3,
  TransactionUnavailableError as TransactionUnavailableError2
} from "@holdfast/core/adapter";

// src/postgres-transaction.ts
init_errors();
import {
  PersistenceError as PersistenceError2,
  TransactionUnavailableError
} from "@holdfast/core/adapter";
var TRANSACTION_KIND = "postgres";
var ABORTED_STATE = "25P02";
var PostgresTransaction = class {
  kind = TRANSACTION_KIND;
  #begin;
  #ended;
  #beginning = null;
  #begun = null;
  #isOver = false;
  #rollingBack = null;
  /** The first statement that failed, for the message of a commit that cannot be. */
  #failedWith = null;
  /** @param ended called once when it is over */
  constructor(begin, ended) {
    this.#begin = begin;
    this.#ended = ended;
  }
  /** The driver's own client. @throws {TransactionUnavailableError} nothing was begun yet, or it is over */
  get native() {
    this.#assertOpen();
    if (this.#begun === null) {
      throw new TransactionUnavailableError({
        wanted: TRANSACTION_KIND,
        why: "it has not begun: await begin() or a first query() before you use `native`"
      });
    }
    return this.#begun.native;
  }
  /** Begins it, if that did not happen. @throws {PersistenceError} no connection; nothing was begun */
  async begin() {
    this.#assertOpen();
    try {
      this.#beginning ??= this.#begin();
      this.#begun = await this.#beginning;
    } catch (error) {
      throw persistenceError("a transaction", error);
    }
    this.#assertOpen();
    return this.#begun;
  }
  /** Runs a statement. Rejects with the driver's own error where the statement is at fault. @throws {PersistenceError} */
  async query(text, params) {
    const transaction = await this.begin();
    try {
      return await transaction.query(text, params);
    } catch (error) {
      this.#failedWith ??= failureOf(error, true).message;
      if (error instanceof SqlFailure) {
        throw new PersistenceError2(
          { operation: "a transaction", outcome: "not-written", detail: error.message },
          { cause: error }
        );
      }
      throw error;
    }
  }
  /** Whether there is anything to commit. */
  get hasBegun() {
    return this.#beginning !== null;
  }
  /** Runs the runtime's statement and commits. @throws {SqlFailure} @throws {TransactionUnavailableError} it cannot commit (T3) */
  async commitAfter(statement) {
    if (this.#isOver || this.#rollingBack !== null) {
      throw new SqlFailure({
        outcome: "not-written",
        sqlState: null,
        message: "the transaction is over already"
      });
    }
    const transaction = await this.begin();
    this.#over();
    try {
      await transaction.commitAfter(statement);
    } catch (error) {
      const failure = failureOf(error, true);
      if (failure.sqlState !== ABORTED_STATE) throw failure;
      const why = `a statement in the handler's transaction failed (${this.#failedWith ?? "one sent through the driver's own client"}) and the handler went on, but a transaction with a failed statement cannot commit. Let the error end the handler, or put the statement between SAVEPOINT and ROLLBACK TO SAVEPOINT`;
      throw new TransactionUnavailableError({ wanted: TRANSACTION_KIND, why }, { cause: failure });
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
  #over() {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#ended();
  }
  #assertOpen() {
    if (!this.#isOver) return;
    throw new TransactionUnavailableError({
      wanted: TRANSACTION_KIND,
      why: "it is over: the handler that it belonged to has ended"
    });
  }
};

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
function pendingOf(row) {
  return { envelope: envelopeOf(row), sequence: Number(row.sequence), attempts: row.attempts };
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
function textArray(values) {
  return `{${values.map((value) => value === null ? "NULL" : `"${value.replaceAll(/["\\]/g, "\\$&")}"`).join(",")}}`;
}

// src/postgres-message-storage.ts
var PostgresMessageStorage = class {
  supports;
  watchPending;
  #session;
  #wakeUps;
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
    const rows = await this.#session.call("claimShards", "claim_shards_v1", [
      textArray(shardIds)
    ]);
    const epochs = JSON.parse(rows[0].claim_shards_v1);
    return shardIds.map((shardId) => epochs[shardId]);
  }
  async saveRequest(envelope, attempts, fence) {
    assertStorable(envelope.requestId, "A request id");
    assertStorable(envelope.address.entityId, "An entity id");
    assertStorable(envelope.deduplicationKey ?? "", "A deduplication key");
    for (; ; ) {
      const result = await this.#session.write("saveRequest", { type: "request", envelope, attempts, fence });
      if (result.type === "accepted") {
        if (fence === null) this.#wakeUps?.announce(envelope.address.shardId);
        return { outcome: "accepted", sequence: result.sequence };
      }
      const existing = await this.#existing(envelope);
      if (existing !== null) return { outcome: "duplicate", ...existing };
    }
  }
  async readPending(query) {
    this.#session.assertOpen("readPending");
    if (query.shardIds.length === 0) return { requests: [], more: false, nextDueAt: null };
    const rows = await this.#session.read("readPending", "read_pending_v1", [
      textArray([...new Set(query.shardIds)]),
      Math.floor(query.now),
      query.limit,
      plainArray(query.excludingSequences),
      textArray(query.excludingEntities.map(({ entityType }) => entityType)),
      textArray(query.excludingEntities.map(({ entityId }) => entityId))
    ]);
    const nextDueAt = numberOf(rows.pop()?.deliver_at ?? null);
    const more = rows.length > query.limit;
    return { requests: rows.slice(0, query.limit).map(pendingOf), more, nextDueAt };
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
      if (await this.#session.commit("saveReply", op, opened)) return reply;
    } else {
      await opened?.rollback();
      if ((await this.#session.write("saveReply", op)).type !== "refused") return reply;
    }
    const [state] = await this.#states("saveReply", "look_up_v1", [textArray([reply.requestId])]);
    if (state?.existing.state === "answered") return state.existing.reply;
    throw unknownRequest("saveReply", reply.requestId);
  }
  async lookUp(requestIds) {
    this.#session.assertOpen("lookUp");
    if (requestIds.length === 0) return [];
    const states = await this.#states("lookUp", "look_up_v1", [textArray([...new Set(requestIds)])]);
    return states.map(({ existing }) => existing);
  }
  async lookUpByKey(entity, tag, deduplicationKey) {
    const key = [entity.entityType, entity.entityId, tag, deduplicationKey];
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
  async requeueDeadLetter(requestId) {
    const [row] = await this.#session.call(
      "requeueDeadLetter",
      "requeue_dead_letter_v1",
      [requestId]
    );
    if (row === void 0) return null;
    this.#wakeUps?.announce(row.shard_id);
    return { entityType: row.entity_type, entityId: row.entity_id, shardId: row.shard_id };
  }
  async dropDeadLetter(requestId) {
    return (await this.#session.call("dropDeadLetter", "drop_dead_letter_v1", [requestId])).length > 0;
  }
  async forgetAnswered(query) {
    const { entityType, answeredBefore, limit } = query;
    const rows = await this.#session.call(
      "forgetAnswered",
      "forget_answered_v1",
      [entityType, Math.floor(answeredBefore), limit]
    );
    return rows[0]?.forget_answered_v1 ?? 0;
  }
  beginTransaction() {
    return this.#session.beginTransaction();
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
  async #states(operation, functionName, values) {
    const rows = await this.#session.read(operation, functionName, values);
    return rows.map((row) => ({ sequence: Number(row.sequence), existing: stateOf(row) }));
  }
};
async function openedHere(transaction) {
  if (transaction instanceof PostgresTransaction) return transaction;
  await transaction.rollback();
  throw new TransactionUnavailableError2({
    wanted: "postgres",
    why: `the transaction given is one of "${transaction.kind}"`
  });
}
function unknownRequest(operation, requestId) {
  const detail = `request ${requestId} was never accepted, or is forgotten`;
  return new PersistenceError3({ operation, outcome: "not-written", detail });
}

// src/postgres-runner-storage.ts
var LONGEST_LOOK_MS = 6e4;
var SHORTEST_LOOK_MS = 20;
var AFTER_FAILURE_MS = 1e3;
var PostgresRunnerStorage = class {
  supports = { watch: true };
  #session;
  #channel;
  constructor(session) {
    this.#session = session;
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
    const rows = await this.#statement(
      "refresh",
      `UPDATE $schema.runners SET expires_at = clock_timestamp() + ttl_ms * interval '1 millisecond'
        WHERE runner_id = $1 AND expires_at > clock_timestamp() RETURNING 1 AS held`,
      [runnerId]
    );
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
    const end2 = await this.#session.listen("watch", this.#channel, {
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
      await end2();
    };
    this.#session.onClose(stop);
    return stop;
  }
  /** How long each live lease lasts if nobody refreshes it, in ms. */
  async #leases() {
    const rows = await this.#statement(
      "watch",
      `SELECT runner_id, (extract(epoch FROM expires_at - clock_timestamp()) * 1000)::int AS left_ms
        FROM $schema.runners WHERE expires_at > clock_timestamp()`,
      []
    );
    return new Map(rows.map(({ runner_id, left_ms }) => [runner_id, left_ms + 1]));
  }
  /** Never rejects: who misses it lists at the next refresh. */
  async #tell() {
    const statement = { name: "holdfast_tell", text: `SELECT pg_notify($1, '')`, values: [this.#channel] };
    await this.#session.driver.run(statement).catch(() => void 0);
  }
  /** Runs a statement, on `$schema` for the schema. One that begins with SELECT only reads. */
  #statement(operation, text, values) {
    const ownText = text.replaceAll("$schema", `"${this.#session.schema}"`);
    const statement = { name: `holdfast_${operation}`, text: ownText, values };
    return text.startsWith("SELECT") ? this.#session.query(operation, statement) : this.#session.run(operation, statement);
  }
};

// src/postgres-session.ts
init_errors();
import { TransactionUnavailableError as TransactionUnavailableError3 } from "@holdfast/core/adapter";

// src/group-committer.ts
init_errors();

// src/write-op.ts
function shardOf(op) {
  return op.fence?.shardId ?? (op.type === "request" ? op.envelope.address.shardId : "");
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
  return op.type === "journal" ? `${op.execution.entityType}/${op.execution.executionId}` : null;
}
function rowsOf(op) {
  return op.type === "journal" ? op.entries.length : 1;
}
function sizeOf(op) {
  switch (op.type) {
    case "request":
      return op.envelope.payload.length;
    case "journal":
      return op.entries.reduce(
        (size, { event }) => size + (event.type === "completed" ? event.value.length : 200),
        0
      );
    case "chunk":
      return op.chunk.value.length;
    case "reply":
      return op.reply.exit.ok ? op.reply.exit.value.length : 200;
    case "update":
    case "dead":
      return 200;
  }
}

// src/group-committer.ts
var SHARED_FROM_ROWS = 100;
var MAX_GROUP_SIZE = 4 * 1024 * 1024;
var GroupCommitter = class {
  #options;
  #queue = [];
  #queuedRows = 0;
  #freeLanes;
  /** Shards with a write under way. */
  #busyShards = /* @__PURE__ */ new Set();
  #requestsUnderWay = false;
  #isPumpDue = false;
  #idle = [];
  constructor(options) {
    this.#options = options;
    this.#freeLanes = options.lanes;
  }
  /** Resolves when the write is durable, or was refused. @throws {SqlFailure} it failed; `outcome` says whether it may be there */
  write(op) {
    return new Promise((resolve2, reject) => {
      this.#queue.push({ op, shard: shardOf(op), resolve: resolve2, reject });
      this.#queuedRows += rowsOf(op);
      this.#pumpSoon();
    });
  }
  /** Resolves when nothing waits and nothing is under way. */
  drained() {
    if (this.#isIdle()) return Promise.resolve();
    return new Promise((resolve2) => this.#idle.push(resolve2));
  }
  #isIdle() {
    return this.#queue.length === 0 && this.#freeLanes === this.#options.lanes;
  }
  /** At the end of this turn, so that writes of one turn share a commit. */
  #pumpSoon() {
    if (this.#isPumpDue || this.#freeLanes === 0) return;
    this.#isPumpDue = true;
    setImmediate(() => {
      this.#isPumpDue = false;
      while (this.#freeLanes > 0 && this.#queue.length > 0) {
        const group = this.#take();
        if (group.length === 0) return;
        void this.#flush(group);
      }
    });
  }
  #take() {
    const { maxRows } = this.#options;
    const share = Math.ceil(this.#queuedRows / this.#freeLanes);
    const limit = Math.min(maxRows, Math.max(SHARED_FROM_ROWS, share));
    const group = [];
    const left = [];
    const blocked = /* @__PURE__ */ new Set();
    const keys = /* @__PURE__ */ new Set();
    let requestsBlocked = this.#requestsUnderWay;
    let rows = 0;
    let size = 0;
    let at = 0;
    for (; at < this.#queue.length && rows < limit && size < MAX_GROUP_SIZE; at += 1) {
      const waiting = this.#queue[at];
      const { op, shard } = waiting;
      const isRequest = op.type === "request";
      const key = uniqueKeyOf(op);
      if (this.#busyShards.has(shard) || blocked.has(shard) || isRequest && requestsBlocked || key !== null && keys.has(key)) {
        blocked.add(shard);
        requestsBlocked ||= isRequest;
        left.push(waiting);
        continue;
      }
      if (group.length > 0 && (rows + rowsOf(op) > maxRows || size + sizeOf(op) > MAX_GROUP_SIZE)) break;
      if (key !== null) keys.add(key);
      group.push(waiting);
      rows += rowsOf(op);
      size += sizeOf(op);
    }
    this.#queue = left.length === 0 ? this.#queue.slice(at) : left.concat(this.#queue.slice(at));
    this.#queuedRows -= rows;
    return group;
  }
  async #flush(group) {
    this.#freeLanes -= 1;
    const shards = new Set(group.map(({ shard }) => shard));
    const hasRequests = group.some(({ op }) => op.type === "request");
    for (const shard of shards) this.#busyShards.add(shard);
    if (hasRequests) this.#requestsUnderWay = true;
    const broken = /* @__PURE__ */ new Map();
    await this.#write(group, broken);
    if (broken.size > 0) this.#failFollowers(broken);
    for (const shard of shards) this.#busyShards.delete(shard);
    if (hasRequests) this.#requestsUnderWay = false;
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
      for (const [index, { resolve: resolve2 }] of passing.entries()) resolve2(results[index]);
    } catch (error) {
      if (passing.length > 1 && mayBeOneRow(error)) {
        const middle = passing.length >> 1;
        await this.#write(passing.slice(0, middle), broken);
        await this.#write(passing.slice(middle), broken);
        return;
      }
      const failure = error instanceof SqlFailure ? error : new SqlFailure({ outcome: "unknown", sqlState: null, message: String(error) }, { cause: error });
      for (const { op, reject } of passing) {
        const stream = streamOf(op);
        if (stream !== null) broken.set(stream, failure);
        reject(failure);
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
function failFollower({ op, reject }, broken) {
  const stream = streamOf(op);
  const cause = stream === null ? void 0 : broken.get(stream);
  if (cause === void 0) return false;
  const message = `an append to the same journal, called before this one, failed: ${cause.message}`;
  reject(new SqlFailure({ outcome: "not-written", sqlState: null, message }, { cause }));
  return true;
}

// src/write-group.ts
var SHAPES = {
  fence: "tp",
  request: "ptttttttttppptpp",
  update: "ptppp",
  journal: "pttpptttt",
  chunk: "ptpt",
  reply: "ptpt",
  dead: "ptptp"
};
var KINDS = Object.keys(SHAPES);
var PARAMETERS = 2 + KINDS.reduce((count, kind) => count + SHAPES[kind].length, 0);
var PLACES = Array.from({ length: PARAMETERS }, (_, index) => `$${index + 1}`).join(", ");
function writeGroupStatement(schema, group, isStrict, now) {
  const columns = Object.fromEntries(KINDS.map((kind) => [kind, columnsOf(kind)]));
  const fences = /* @__PURE__ */ new Map();
  const placeOf = (fence) => {
    if (fence === null) return 0;
    const key = fenceKey(fence);
    let place = fences.get(key);
    if (place === void 0) {
      fences.set(key, place = fences.size + 1);
      push(columns.fence, [fence.shardId, fence.epoch]);
    }
    return place;
  };
  for (const op of group) {
    const place = placeOf(op.fence);
    for (const row of rowsOf2(op)) push(columns[op.type], [place, ...row]);
  }
  const values = [isStrict, Math.floor(now)];
  for (const kind of KINDS) {
    for (const column of columns[kind]) {
      values.push(
        column.isText ? textArray(column.values) : plainArray(column.values)
      );
    }
  }
  return {
    name: "holdfast_write_group_1",
    text: `SELECT "${schema}".write_group_v1(${PLACES}) AS answer`,
    values
  };
}
function writeGroupResults(group, answerText) {
  const answer = JSON.parse(answerText);
  const epochs = /* @__PURE__ */ new Map();
  for (const { fence } of group) {
    if (fence === null || epochs.has(fenceKey(fence))) continue;
    epochs.set(fenceKey(fence), answer.f?.[epochs.size] ?? null);
  }
  const accepted = new Map(Object.entries(answer.q ?? {}));
  const streams2 = new Set(answer.c);
  const recorded = new Set(answer.r);
  return group.map((op) => {
    if (op.fence !== null) {
      const current2 = epochs.get(fenceKey(op.fence)) ?? null;
      if (current2 !== op.fence.epoch) return { type: "fenced", current: current2 };
    }
    if (op.type === "request") {
      const sequence = accepted.get(op.envelope.requestId);
      return sequence === void 0 ? { type: "refused" } : { type: "accepted", sequence };
    }
    if (op.type === "chunk" && !streams2.has(op.chunk.requestId)) return { type: "refused" };
    if (op.type === "reply" && !recorded.has(op.reply.requestId)) return { type: "refused" };
    return { type: "done" };
  });
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
  return JSON.stringify(error);
}
function rowsOf2(op) {
  switch (op.type) {
    case "request": {
      const { envelope } = op;
      const { address } = envelope;
      return [
        [
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
          op.attempts
        ]
      ];
    }
    case "update":
      return [[op.requestId, op.attempts, op.deliverAt !== void 0, wholeMs(op.deliverAt ?? null)]];
    case "journal":
      return op.entries.map((entry) => [
        op.execution.entityType,
        op.execution.executionId,
        entry.ordinal,
        entry.position,
        entry.kind,
        entry.name,
        ...eventColumns(entry.event)
      ]);
    case "chunk":
      return [[op.chunk.requestId, op.chunk.index, op.chunk.value]];
    case "reply": {
      const { requestId, exit } = op.reply;
      return [[requestId, exit.ok, exit.ok ? exit.value : errorText(exit.error)]];
    }
    case "dead":
      return [
        [op.requestId, op.letter.attempts, errorText(op.letter.error), Math.floor(op.letter.deadSince)]
      ];
  }
}
function wholeMs(time) {
  return time === null ? null : Math.ceil(time);
}
function fenceKey({ shardId, epoch }) {
  return `${epoch} ${shardId}`;
}
function columnsOf(kind) {
  return Array.from(SHAPES[kind], (letter) => ({ isText: letter === "t", values: [] }));
}
function push(columns, row) {
  for (const [index, column] of columns.entries()) column.values.push(row[index] ?? null);
}

// src/postgres-session.ts
var PostgresSession = class {
  driver;
  clock;
  schema;
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
        const { rows } = await driver.run(
          writeGroupStatement(this.schema, group, false, clock.now())
        );
        return writeGroupResults(group, rows[0].answer);
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
      return (await this.driver.run(statement)).rows;
    } catch (error) {
      const { sqlState, message } = failureOf(error, false);
      throw persistenceError(
        operation,
        new SqlFailure({ outcome: "not-written", sqlState, message }, { cause: error })
      );
    }
  }
  /** Writes with the next group. @throws {FencedError} @throws {PersistenceError} */
  async write(operation, op) {
    this.assertOpen(operation);
    let result;
    try {
      result = await this.#committer.write(op);
    } catch (error) {
      throw persistenceError(operation, error);
    }
    if (result.type === "fenced")
      throw fencedError(op.fence, result.current);
    return result;
  }
  /**
   * Writes in a handler's transaction, and commits it.
   *
   * @returns false if `op` was refused, in which case everything is rolled back
   * @throws {FencedError} rolled back
   * @throws {TransactionUnavailableError} one of its statements failed before, so it was rolled back
   * @throws {PersistenceError} `not-written` is rolled back
   */
  async commit(operation, op, transaction) {
    try {
      this.assertOpen(operation);
      await transaction.commitAfter(writeGroupStatement(this.schema, [op], true, this.clock.now()));
      return true;
    } catch (error) {
      await transaction.rollback().catch(() => void 0);
      if (error instanceof TransactionUnavailableError3) throw error;
      if (error instanceof SqlFailure && error.outcome === "not-written") {
        if (error.sqlState === FENCED_STATE)
          throw fencedError(op.fence, epochOf(error));
        if (error.sqlState?.startsWith("HF") === true) return false;
      }
      throw persistenceError(operation, error);
    }
  }
  /** Calls `listener` for the notifications of a channel. Resolves to what ends that. @throws {PersistenceError} */
  async listen(operation, channel, listener) {
    this.assertOpen(operation);
    const failed = (error) => {
      throw persistenceError(operation, failureOf(error, false));
    };
    const end2 = await this.driver.listen(channel, listener).catch(failed);
    return () => end2().catch(failed);
  }
  beginTransaction() {
    const transaction = new PostgresTransaction(
      () => {
        this.assertOpen("a transaction");
        return this.driver.begin();
      },
      () => this.#transactions.delete(transaction)
    );
    this.#transactions.add(transaction);
    return transaction;
  }
  /** Has `end` called when the session closes, after the last write. */
  onClose(end2) {
    this.#endings.push(end2);
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
    for (const end2 of this.#endings) await end2().catch(() => void 0);
    await this.driver.close();
  }
};
function epochOf(failure) {
  const detail = failure.serverDetail ?? "";
  return detail === "" ? null : Number(detail);
}

// src/postgres-workflow-storage.ts
init_errors();
import {
  PersistenceError as PersistenceError4
} from "@holdfast/core/adapter";
var PostgresWorkflowStorage = class {
  #session;
  constructor(session) {
    this.#session = session;
  }
  async appendJournal(execution, entries, fence, transaction) {
    const opened = transaction === null ? null : await openedHere(transaction);
    try {
      assertStorable(execution.executionId, "The id of an execution");
      for (const { name } of entries) assertStorable(name, "The name of a step");
    } catch (error) {
      await opened?.rollback();
      throw error;
    }
    const op = { type: "journal", execution, entries, fence };
    if (opened?.hasBegun !== true) {
      await opened?.rollback();
      await this.#session.write("appendJournal", op);
      return;
    }
    if (await this.#session.commit("appendJournal", op, opened)) return;
    throw new PersistenceError4({
      operation: "appendJournal",
      // An earlier attempt's commit, of which nobody heard, may be what is there: only reading the journal tells.
      outcome: "unknown",
      detail: `an entry with one of these ordinals is there already, so the transaction was rolled back; read the journal again`
    });
  }
  async readJournal(execution) {
    const { entityType, executionId } = execution;
    const rows = await this.#session.read("readJournal", "read_journal_v1", [
      entityType,
      executionId
    ]);
    return rows.map(({ ordinal, position, kind, name, event, data }) => ({
      ordinal,
      position,
      kind,
      name,
      event: eventOf(event, data)
    }));
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
    const end2 = await this.#session.listen("watchPending", this.#channel, {
      heard: (payload) => tell(shardsIn(payload)),
      // Whatever came while nobody listened: any shard that has an owner has a row.
      resumed: () => {
        this.#everyShard().then(tell, () => void 0);
      }
    });
    return async () => {
      isOver = true;
      await end2();
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
  return storageOn(await connect(settings), settings, services);
}
async function openPostgresRunners(settings, services) {
  const session = new PostgresSession(await connect(settings), services.clock, settings);
  return { runners: new PostgresRunnerStorage(session), close: () => session.close() };
}
function storageOn(driver, settings, services) {
  const session = new PostgresSession(driver, services.clock, settings);
  return {
    messages: new PostgresMessageStorage(session, driver.hearsOthers ? new WakeUps(session) : null),
    workflows: new PostgresWorkflowStorage(session),
    runners: new PostgresRunnerStorage(session),
    close: () => session.close()
  };
}
async function connect(settings) {
  const { default: pg } = await importPeer(() => import("pg"), "pg", "postgres");
  const { PgDriver: PgDriver2 } = await Promise.resolve().then(() => (init_pg_driver(), pg_driver_exports));
  const driver = new PgDriver2(pg, settings);
  try {
    await migrate(driver, settings.schema);
    return driver;
  } catch (error) {
    await driver.close();
    throw error;
  }
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

// src/pglite-transaction.ts
init_errors();
var PGliteTransaction = class {
  #options;
  #begun;
  #ended;
  #native;
  #settle = null;
  #idle;
  #deadline;
  #isNativeOut = false;
  #expired = null;
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
      await decided;
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
    return this.#native;
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
    const native = await this.#open();
    try {
      const { rows, affectedRows } = await native.query(text, [...params]);
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
      const { rows, affectedRows } = await native.query(statement.text, [...statement.values]);
      result = { rows, rowCount: affectedRows ?? rows.length };
    } catch (error) {
      await this.rollback();
      const { sqlState, message, serverDetail } = failureOf(error, false);
      throw new SqlFailure({ outcome: "not-written", sqlState, message, serverDetail }, { cause: error });
    }
    this.#settle?.commit();
    try {
      await this.#ended;
    } catch (error) {
      throw failureOf(error, true);
    }
    return result;
  }
  async rollback() {
    clearTimeout(this.#idle);
    this.#settle?.rollback(new Error("rolled back"));
    await this.#ended.catch(() => void 0);
  }
  async #open() {
    clearTimeout(this.#idle);
    if (this.#expired !== null) throw this.#expired;
    await this.begun();
    return this.#begun;
  }
  #watchIdle() {
    clearTimeout(this.#idle);
    if (this.#settle === null || this.#isNativeOut) return;
    const { idleLimitMs } = this.#options;
    this.#idle = setTimeout(() => {
      this.#expire(
        "25P03",
        `did nothing for ${idleLimitMs} ms`,
        "must not wait for another entity on PGlite"
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
    void this.rollback();
  }
};

// src/pglite-driver.ts
var PGliteDriver = class {
  lanes = 1;
  hearsOthers = false;
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
    const end2 = async () => {
      if (!this.#endings.delete(end2)) return;
      const leaveAgain = await this.#enter(this.#settings.statementDeadlineMs);
      await unlisten().finally(leaveAgain);
    };
    this.#endings.add(end2);
    return end2;
  }
  async close() {
    for (const end2 of this.#endings) await end2().catch(() => void 0);
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
import { link, mkdir, open, readFile, rename, rm } from "node:fs/promises";
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
    const holder = await readFile(file, "utf8").catch(() => null);
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
    if (await readFile(stale, "utf8") !== holder) await link(stale, file).catch(() => void 0);
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
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => null);
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
    const { instance: given, dataDir, schema } = this.#settings;
    if (given !== void 0) {
      await given.waitReady;
      await this.#migrate(given);
      return { instance: given, end: async () => void 0 };
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
var COMMON = ["schema", "maxGroupRows", "statementDeadline", "idleTransactionTimeout", "transactionWait"];
var ONE_HOUR_MS = 36e5;
function postgresSettings(options) {
  refuseUnknown(options, [...COMMON, "connectionString", "pool", "client", "poolSize", "lockTimeout"]);
  const { connectionString, pool, client } = options;
  if (connectionString !== void 0 && !(/^postgres(?:ql)?:\/\//.test(connectionString) && URL.canParse(connectionString))) {
    throw new ConfigError3({
      option: "connectionString",
      got: "another text",
      takes: 'a URL such as "postgres://user@host:5432/database"'
    });
  }
  if (pool !== void 0 && (connectionString !== void 0 || client !== void 0 || options.poolSize !== void 0)) {
    throw new ConfigError3({
      option: "pool",
      got: "given together with connectionString, client or poolSize",
      takes: "a pg Pool that has them already"
    });
  }
  if (pool !== void 0 && typeof pool.connect !== "function") {
    throw new ConfigError3({ option: "pool", got: pool, takes: "a Pool of the package pg" });
  }
  return {
    ...commonSettings(options, { idle: 2e4, wait: 1e4 }),
    connectionString,
    pool,
    client: client ?? {},
    poolSize: integer(options.poolSize ?? 16, "poolSize", 2, 1e3),
    lockTimeoutMs: duration(options.lockTimeout ?? 1e4, "lockTimeout")
  };
}
function pgliteSettings(options) {
  refuseUnknown(options, [...COMMON, "dataDir", "instance", "transactionDeadline"]);
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
import { transactionScopeOf, TransactionUnavailableError as TransactionUnavailableError4 } from "@holdfast/core/adapter";
function postgresTx(context) {
  const transaction = transactionScopeOf(context, TRANSACTION_KIND).open(TRANSACTION_KIND);
  if (!(transaction instanceof PostgresTransaction)) {
    throw new TransactionUnavailableError4({
      wanted: TRANSACTION_KIND,
      why: "another copy of @holdfast/storage-postgres opened it"
    });
  }
  return {
    query: async (text, params = []) => transaction.query(text, params),
    begin: async () => {
      await transaction.begin();
    },
    get native() {
      return transaction.native;
    }
  };
}

// src/index.ts
function postgres(options = {}) {
  const settings = postgresSettings(options);
  return { kind: "storage", open: (services) => openPostgres(settings, services) };
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
  return postgresRunners(optionsFromUrl(url, "runners"));
}
function optionsFromUrl(url, option) {
  if (url === "postgres:" || url === "postgresql:") return {};
  let parsed;
  try {
    parsed = new URL(url);
  } catch {
    throw new ConfigError4({
      option,
      got: "no valid URL",
      takes: 'a URL such as "postgres://user@host:5432/database" or "pglite:./data"'
    });
  }
  const schema = parsed.searchParams.get("schema");
  parsed.searchParams.delete("schema");
  return { connectionString: parsed.href, ...schema === null ? {} : { schema } };
}
export {
  pglite,
  postgres,
  postgresRunners,
  postgresTx,
  runnersFromUrl,
  storageFromUrl
};
