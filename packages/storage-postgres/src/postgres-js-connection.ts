// PostgresJsConnection: one session on the server, as an instance of postgres.js of its own.
//
// A connection of postgres.js opens itself again after a loss, and what waited for it runs then: a statement of a
// transaction that was lost would be written outside of it. It also may come back with half of an old message to send. So
// an instance here has one connection, and serves for one session.
//
//   J1  An instance gets one socket in its life, once it has found its host. After its loss nothing that is sent to it reaches
//       the server.
//   J2  A loss settles every statement at once, and a statement without an answer in time is a loss.
//   J3  Our statements and `query` neither see nor change how postgres.js reads and writes values: each parameter goes as
//       text and each value comes as text, and both are turned by value-text.ts.

import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { SqlStatement } from "./driver.ts";
import type {
  PostgresJsInstance,
  PostgresJsParsed,
  PostgresJsQuery,
  PostgresJsResult,
} from "./postgres-js-module.ts";
import { nameArrays } from "./postgres-js-native.ts";
import type { ServerResult } from "./server-connection.ts";
import { StatementNames } from "./statement-names.ts";
import { plainError, UnreadValue } from "./errors.ts";
import { parserOf, textOf } from "./value-text.ts";

export interface PostgresJsConnectionOptions {
  /** What the instance is made of. */
  readonly make: (own: object) => PostgresJsInstance;
  readonly connectDeadlineMs: number;
  readonly deadlineMs: number;
  readonly prepare: boolean;
  /** A notification came. */
  readonly heard?: (channel: string, payload: string) => void;
  /** The session is over, by a loss or by `end`. Called once. */
  readonly over: () => void;
}

/** The type `unknown`: the server finds out by itself, and postgres.js has no opinion on it. */
const UNKNOWN_TYPE = 705;
/** Of more postgres.js finds out between two messages to the server. */
const MOST_PARAMETERS = 65_533;

interface Column {
  readonly name: string;
  readonly parse: (text: string) => unknown;
}

export class PostgresJsConnection {
  readonly isPipelined: boolean = true;
  readonly #options: PostgresJsConnectionOptions;
  readonly #instance: PostgresJsInstance;
  /**
   * Rejects what waits for an answer. One for each, and no promise of the loss for all of them: that would keep all that was ever
   * raced with it, with its rows, for as long as the session is there.
   */
  readonly #underWay = new Set<(reason: Error) => void>();
  /** Not the names: postgres.js has its own. Which texts are prepared, that is. */
  readonly #names = new StatementNames();
  readonly #prepared = new Set<string>();
  #socket: Socket | null = null;
  #processId: number | null = null;
  /** Why the session is over; null: it is not. */
  #overFor: Error | null = null;
  #isOpen = false;
  /** How many hosts were tried: postgres.js asks for the next one where the server is not as target_session_attrs has it. */
  #tried = 0;

  private constructor(options: PostgresJsConnectionOptions) {
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
      socket: (parsed: PostgresJsParsed) => this.#openSocket(parsed),
    });
    nameArrays(this.#instance.options);
  }

  /** Rejects, with what failed, once the session surely is over. */
  static async open(options: PostgresJsConnectionOptions): Promise<PostgresJsConnection> {
    const connection = new PostgresJsConnection(options);
    try {
      await connection.#send(() => connection.#instance.unsafe("SELECT 1"), options.connectDeadlineMs);
      connection.#isOpen = true;
      return connection;
    } catch (error) {
      connection.end(new Error("no connection was made"));
      throw error;
    }
  }

  get isOver(): boolean {
    return this.#overFor !== null;
  }

  get processId(): number | null {
    return this.#processId;
  }

  get instance(): PostgresJsInstance {
    return this.#instance;
  }

  async script<Row>(text: string, deadlineMs?: number): Promise<ServerResult<Row>> {
    return this.#send(() => this.#instance.unsafe(text), deadlineMs);
  }

  async query<Row>(text: string, params: readonly unknown[]): Promise<ServerResult<Row>> {
    if (params.length === 0) return this.script(text);
    if (params.length > MOST_PARAMETERS) throw tooMany(params.length);
    const isPrepared = this.#names.of(text) !== undefined;
    const result = await this.#sendWith<Row>(text, params, isPrepared);
    if (isPrepared && this.#options.prepare) this.#prepared.add(text);
    return result;
  }

  isPrepared(text: string): boolean {
    return this.#prepared.has(text);
  }

  async run<Row>({ text, values }: SqlStatement): Promise<ServerResult<Row>> {
    return this.#sendWith(text, values, true);
  }

  /** Ends the session at once, and settles what is under way. Further calls do nothing. */
  end(reason: Error): void {
    if (this.#overFor !== null) return;
    this.#overFor = reason;
    for (const reject of this.#underWay) reject(reason);
    // Rejects what waits inside of postgres.js, such as what a user sent through `native`.
    const ended = this.#instance.end({ timeout: 0 }).catch(ignore);
    void ended.then(() => this.#socket?.destroy());
    this.#options.over();
  }

  #sendWith<Row>(text: string, params: readonly unknown[], isPrepared: boolean): Promise<ServerResult<Row>> {
    return this.#send(() => {
      const values = params.map((value) => this.#instance.typed(textOf(value), UNKNOWN_TYPE));
      const options = { prepare: this.#options.prepare && isPrepared, simple: false };
      return this.#instance.unsafe(text, values, options);
    });
  }

  async #send<Row>(
    make: () => PostgresJsQuery,
    deadlineMs: number = this.#options.deadlineMs,
  ): Promise<ServerResult<Row>> {
    if (this.#overFor !== null) throw this.#overFor;
    // Sent now, so that statements leave in the order of calls.
    const query = make().raw().execute();
    const timer = setTimeout(() => this.end(new Error(`no answer within ${deadlineMs} ms`)), deadlineMs);
    const { promise: lost, reject } = Promise.withResolvers<never>();
    this.#underWay.add(reject);
    try {
      const results = await Promise.race([query, lost]);
      if (!Array.isArray(results)) throw this.#refuseCopy(results as unknown as Duplex);
      const result = isMany(results) ? results.at(-1) : results;
      this.#processId ??= result?.state?.pid ?? null;
      return { rows: rowsOf<Row>(result), rowCount: result?.count ?? 0, command: result?.command ?? "" };
    } finally {
      clearTimeout(timer);
      this.#underWay.delete(reject);
    }
  }

  /** What postgres.js gives for COPY is a stream, which nobody here reads or writes: without a listener its end would be the process's. */
  #refuseCopy(stream: Duplex): Error {
    stream.on("error", ignore);
    const message = "COPY goes through `native` of the transaction, and not through `query`";
    // And then that its transaction cannot go on.
    this.end(plainError(message, "25P02"));
    return plainError(message, "0A000");
  }

  async #openSocket({ host, port, path }: PostgresJsParsed): Promise<Socket> {
    if (this.#isOpen || this.isOver) throw new Error("the connection was lost");
    const places =
      typeof path === "string"
        ? [{ path }]
        : host.map((name, at) => ({ host: name, port: port[at] ?? 5432 }));
    let failure = new Error(
      this.#tried === 0 ? "no host is named" : "none of the hosts let the session begin",
    );
    while (this.#tried < places.length && !this.isOver) {
      const place = places[this.#tried] as (typeof places)[number];
      this.#tried += 1;
      try {
        return await this.#connectSocket(place);
      } catch (error) {
        failure = error as Error;
      }
    }
    // postgres.js would go on asking.
    if (this.#socket !== null) this.end(failure);
    throw failure;
  }

  #connectSocket(place: { path: string } | { host: string; port: number }): Promise<Socket> {
    const socket = connect(place);
    this.#socket = socket;
    // The name that a certificate must have is read from here.
    if ("host" in place) Object.assign(socket, place);
    return new Promise((resolve, reject) => {
      socket.once("error", reject);
      socket.once("close", () => reject(new Error("the connection was closed")));
      socket.once("connect", () => {
        socket.off("error", reject);
        resolve(socket);
      });
    });
  }
}

/** As a server says that a statement is at fault, and not the session. */
function tooMany(count: number): Error {
  const message = `postgres.js takes ${MOST_PARAMETERS} parameters at most, not ${count}: give lists, and read them with unnest()`;
  return plainError(message, "54023");
}

function isMany(results: PostgresJsResult | PostgresJsResult[]): results is PostgresJsResult[] {
  // A result is an array, too, of rows: it says its command.
  return !("command" in results);
}

/** @throws {UnreadValue} a parser of the user's threw */
function rowsOf<Row>(result: PostgresJsResult | undefined): Row[] {
  const columns = (result?.columns ?? []).map(({ name, type }) => ({ name, parse: parserOf(type) }));
  try {
    return (result ?? []).map((values) => rowOf<Row>(columns, values));
  } catch (error) {
    throw new UnreadValue(error);
  }
}

function rowOf<Row>(columns: readonly Column[], values: PostgresJsResult[number]): Row {
  const row: Record<string, unknown> = {};
  for (const [at, { name, parse }] of columns.entries()) {
    const value = values[at] ?? null;
    row[name] =
      value === null ? null : parse(Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString());
  }
  return row as Row;
}

function ignore(): void {
  // Told to whoever uses the session.
}
