// PostgresJsPool: sessions through postgres.js, each an instance of its own (postgres-js-connection.ts says why).

import type { LaterNative, SqlStatement } from "./driver.ts";
import { isOutdated } from "./errors.ts";
import { transactionOver } from "./guarded-client.ts";
import type { PostgresSettings } from "./options.ts";
import { PostgresJsConnection } from "./postgres-js-connection.ts";
import type { PostgresJsInstance, PostgresJsModule } from "./postgres-js-module.ts";
import { laterSql, transactionSql } from "./postgres-js-native.ts";
import type {
  ListenerEvents,
  ServerConnection,
  ServerListener,
  ServerPool,
  ServerResult,
} from "./server-connection.ts";
import { connectDeadline, sessionSettings } from "./session-settings.ts";
import { Turnstile } from "./turnstile.ts";

/** An idle session that is older than this is not lent out again, and one that was idle for longer neither. */
const LONGEST_LIFE_MS = 3_600_000;
const LONGEST_IDLE_MS = 60_000;

interface Idle {
  readonly connection: PostgresJsConnection;
  readonly diesAt: number;
  readonly generation: number;
  readonly timer: NodeJS.Timeout;
}

export class PostgresJsPool implements ServerPool {
  readonly size: number;
  readonly laterNative: LaterNative = (begin, refusal) =>
    laterSql(this.#make({ max: 1, fetch_types: false }), refusal, begin);
  readonly #postgresJs: PostgresJsModule;
  readonly #settings: PostgresSettings;
  readonly #entrance: Turnstile;
  /** The last one given back is lent out first. */
  readonly #idle: Idle[] = [];
  readonly #lent = new Set<PostgresJsConnection>();
  #ended: PromiseWithResolvers<void> | null = null;
  /** Raised when a table changed under a prepared statement, too: sessions from before are not lent out again. */
  #generation = 0;

  constructor(postgresJs: PostgresJsModule, settings: PostgresSettings) {
    this.#postgresJs = postgresJs;
    this.#settings = settings;
    this.size = settings.poolSize;
    this.#entrance = new Turnstile(this.size);
  }

  async connect(): Promise<ServerConnection> {
    const { statementDeadlineMs } = this.#settings;
    const leave = await this.#entrance.enter(statementDeadlineMs);
    if (leave === null) throw new Error(`no connection became free within ${statementDeadlineMs} ms`);
    for (let idle = this.#idle.pop(); idle !== undefined; idle = this.#idle.pop()) {
      clearTimeout(idle.timer);
      if (idle.generation === this.#generation && !idle.connection.isOver)
        return this.#lend(idle.connection, idle.diesAt, leave);
      idle.connection.end(new Error("the connection was outdated"));
    }
    try {
      const diesAt = Date.now() + LONGEST_LIFE_MS * (0.5 + Math.random() / 2);
      return this.#lend(await this.#open({ over: () => undefined }), diesAt, leave);
    } catch (error) {
      leave();
      throw error;
    }
  }

  renew(): void {
    this.#generation += 1;
  }

  async openListener({ heard, lost }: ListenerEvents): Promise<ServerListener> {
    let isEnded = false;
    const connection = await this.#open({
      heard,
      over: () => {
        if (!isEnded) lost();
      },
    });
    return {
      listen: async (channel) => {
        // Channel names are made of checked identifiers.
        await connection.script(`LISTEN "${channel}"`);
      },
      end: () => {
        isEnded = true;
        connection.end(new Error("the session was closed"));
      },
    };
  }

  async end(): Promise<void> {
    this.#ended ??= Promise.withResolvers<void>();
    for (const { connection, timer } of this.#idle.splice(0)) {
      clearTimeout(timer);
      connection.end(new Error("the session was closed"));
    }
    if (this.#lent.size === 0) this.#ended.resolve();
    await this.#ended.promise;
  }

  #lend(connection: PostgresJsConnection, diesAt: number, leave: () => void): ServerConnection {
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
      },
    );
  }

  #keep(connection: PostgresJsConnection, diesAt: number): void {
    const timer = setTimeout(() => {
      this.#idle.splice(this.#idle.indexOf(idle), 1);
      connection.end(new Error("the connection was idle"));
    }, LONGEST_IDLE_MS);
    timer.unref();
    const idle = { connection, diesAt, generation: this.#generation, timer };
    this.#idle.push(idle);
  }

  async #open(events: { heard?: ListenerEvents["heard"]; over: () => void }): Promise<PostgresJsConnection> {
    const { statementDeadlineMs, prepare } = this.#settings;
    return PostgresJsConnection.open({
      make: (own) => this.#make(own),
      connectDeadlineMs: connectDeadline(this.#settings),
      deadlineMs: statementDeadlineMs,
      prepare,
      ...events,
    });
  }

  #make(own: object): PostgresJsInstance {
    const { sql, client, connectionString, pooler, prepare } = this.#settings;
    const ours = pooler === null ? sessionSettings(this.#settings) : {};
    const bare = { onnotice: () => undefined, ...(prepare ? {} : { prepare }), ...own };
    if (sql === undefined) {
      const { connection, ...others } = client as { connection?: object };
      const options = {
        ...others,
        ...bare,
        connection: { application_name: "holdfast", ...connection, ...ours },
      };
      return connectionString === undefined
        ? this.#postgresJs(options)
        : this.#postgresJs(connectionString, options);
    }
    // Options that were parsed already. What an instance keeps in them must be its own, and no name of a column be changed.
    const given = sql.options as unknown as Record<"connection" | "parsers" | "serializers", object>;
    return this.#postgresJs({
      ...given,
      ...bare,
      connection: { ...given.connection, ...ours },
      parsers: { ...given.parsers },
      serializers: { ...given.serializers },
      parameters: {},
      shared: { retries: 0, typeArrayMap: {} },
      transform: { undefined: undefined, column: {}, value: {}, row: {} },
    });
  }
}

class LentConnection implements ServerConnection {
  readonly isPipelined: boolean = true;
  readonly #connection: PostgresJsConnection;
  readonly #outdated: () => void;
  readonly #release: (isUsable: boolean) => void;
  #native: { readonly sql: unknown; readonly restore: () => void } | null = null;
  #refusal: (() => Error) | null = null;

  constructor(connection: PostgresJsConnection, outdated: () => void, release: (isUsable: boolean) => void) {
    this.#connection = connection;
    this.#outdated = outdated;
    this.#release = release;
  }

  get native(): unknown {
    this.#native ??= transactionSql(this.#connection.instance, () => this.#refusal?.() ?? null);
    return this.#native.sql;
  }

  get processId(): number | null {
    return this.#connection.processId;
  }

  script<Row>(text: string, deadlineMs?: number): Promise<ServerResult<Row>> {
    return this.#connection.script(text, deadlineMs);
  }

  async query<Row>(text: string, params: readonly unknown[]): Promise<ServerResult<Row>> {
    try {
      return await this.#connection.query<Row>(text, params);
    } catch (error) {
      if (isOutdated(error)) this.#outdated();
      throw error;
    }
  }

  isPrepared(text: string): boolean {
    return this.#connection.isPrepared(text);
  }

  run<Row>(statement: SqlStatement): Promise<ServerResult<Row>> {
    return this.#connection.run(statement);
  }

  seal(why: () => Error = transactionOver): void {
    this.#refusal ??= why;
    this.#native?.restore();
  }

  release(isUsable: boolean): void {
    this.seal();
    this.#release(isUsable);
  }
}
