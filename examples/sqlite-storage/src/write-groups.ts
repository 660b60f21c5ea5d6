// WriteGroups: writes that are asked for while others are under way are committed together, with one wait for the disk.
//
//   G1  Writes are done in the order in which they were asked for, and each is done whole or not at all.
//   G2  What one throws undoes that one, and no other of its group.
//   G3  Nobody hears of his write before the group's commit, also not that it was refused: a refusal may rest on what another
//       of the group wrote, a recorded reply for instance, and that is not there if the commit fails.

import { outwardError } from "./errors.ts";
import type { SqliteConnection } from "./sqlite-connection.ts";
import type { Begun } from "./sqlite-session.ts";

/** So long does a group hold up what else the process has to do. */
const LARGEST_GROUP = 200;
const MARK = "holdfast_write";

type Work<Result> = (connection: SqliteConnection) => Result;

interface Waiting {
  readonly operation: string;
  /** Does it, and returns what is to be told once it is on disk. */
  readonly attempt: Work<() => void>;
  readonly refuse: (error: unknown) => void;
}

export class WriteGroups {
  readonly #begin: (operation: string) => Promise<Begun>;
  readonly #waiting: Waiting[] = [];

  /** @param begin begins a transaction that may write */
  constructor(begin: (operation: string) => Promise<Begun>) {
    this.#begin = begin;
  }

  /** @throws what `work` throws, or {PersistenceError} */
  async write<Result>(operation: string, work: Work<Result>): Promise<Result> {
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    const attempt: Waiting["attempt"] = (connection) => {
      const result = work(connection);
      return () => resolve(result);
    };
    this.#waiting.push({ operation, attempt, refuse: reject });
    if (this.#waiting.length === 1) void this.#writeGroup();
    return promise;
  }

  async #writeGroup(): Promise<void> {
    const [first] = this.#waiting;
    let begun: Begun;
    try {
      begun = await this.#begin(first?.operation ?? "");
    } catch (error) {
      // All of them: who came last has waited for less, and a second group would wait for as long again.
      for (const { refuse } of this.#waiting.splice(0)) refuse(error);
      return;
    }
    try {
      commitGroup(begun.connection, this.#next());
    } finally {
      begun.end();
    }
  }

  /** The writes of the next group. What comes from now on makes another one. */
  #next(): readonly Waiting[] {
    const group = this.#waiting.splice(0, LARGEST_GROUP);
    if (this.#waiting.length > 0) void this.#writeGroup();
    return group;
  }
}

function commitGroup(connection: SqliteConnection, group: readonly Waiting[]): void {
  const toTell: (() => void)[] = [];
  // Until the commit is tried nothing can be on disk.
  let outcome: "not-written" | "unknown" = "not-written";
  try {
    for (const write of group) {
      connection.exec(`SAVEPOINT ${MARK}`);
      try {
        toTell.push(write.attempt(connection));
      } catch (error) {
        // SQLite has rolled everything back by itself, for a full disk for instance.
        if (!connection.isInTransaction) throw error;
        toTell.push(() => write.refuse(outwardError(write.operation, "not-written", error)));
        connection.exec(`ROLLBACK TO ${MARK}`);
      }
      connection.exec(`RELEASE ${MARK}`);
    }
    outcome = "unknown";
    connection.exec("COMMIT");
  } catch (error) {
    connection.rollback();
    for (const { operation, refuse } of group) refuse(outwardError(operation, outcome, error));
    return;
  }
  for (const tell of toTell) tell();
}
