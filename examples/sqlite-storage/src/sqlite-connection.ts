import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";

export type SqlValue = SQLInputValue;

/** One connection to the file. Every call blocks until it is done: that is how node:sqlite works. */
export class SqliteConnection {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  constructor(path: string) {
    this.#database = new DatabaseSync(path);
  }

  /** Whether a transaction is open: statements beside one are committed by SQLite, each by itself. */
  get isInTransaction(): boolean {
    return this.#database.isTransaction;
  }

  /** Runs statements without values. */
  exec(text: string): void {
    this.#database.exec(text);
  }

  /** Runs one of the adapter's own statements, which are few: each is prepared once. */
  all<Row>(text: string, values: Readonly<Record<string, SqlValue>> = {}): readonly Row[] {
    return this.#prepared(text).all({ ...values }) as Row[];
  }

  get<Row>(text: string, values: Readonly<Record<string, SqlValue>> = {}): Row | undefined {
    return this.#prepared(text).get({ ...values }) as Row | undefined;
  }

  /** Returns how many rows changed. */
  run(text: string, values: Readonly<Record<string, SqlValue>> = {}): number {
    return Number(this.#prepared(text).run({ ...values }).changes);
  }

  /** Runs a statement of the user's, with `?` for each value. */
  query<Row>(text: string, values: readonly SqlValue[]): readonly Row[] {
    return this.#database
      .prepare(text)
      .all(...values)
      .map((row) => ({ ...row })) as Row[];
  }

  /** Undoes the transaction that is open, if one is. */
  rollback(): void {
    try {
      this.#database.exec("ROLLBACK");
    } catch {
      // After some failures SQLite has rolled back by itself, and says that there is nothing to roll back.
    }
  }

  close(): void {
    this.#statements.clear();
    this.#database.close();
  }

  #prepared(text: string): StatementSync {
    let statement = this.#statements.get(text);
    if (statement === undefined) this.#statements.set(text, (statement = this.#database.prepare(text)));
    return statement;
  }
}
