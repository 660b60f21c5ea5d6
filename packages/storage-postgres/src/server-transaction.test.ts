import { PersistenceError } from "@holdfast/core/adapter";
import { describe, expect, it } from "vitest";
import { transactionOver } from "./guarded-client.ts";
import type { ServerConnection, ServerResult } from "./server-connection.ts";
import { ServerTransaction } from "./server-transaction.ts";

const REPLY = { name: "reply", text: "reply", values: [] };

/** As the server words an ERROR. */
function refusal(code: string): Error {
  return Object.assign(new Error("refused"), { code, severity: "ERROR" });
}

/** A session whose BEGIN is answered when the test says so. The server runs each statement by itself, as it does without one. */
class FakeSession implements ServerConnection {
  readonly native: unknown = null;
  readonly isPipelined: boolean;
  readonly processId: number = 7;
  readonly begun = Promise.withResolvers<ServerResult<never>>();
  readonly sent: string[] = [];
  readonly released: boolean[] = [];
  /** What refuses each statement but BEGIN, if anything does. */
  refuses: Error | null = null;
  refusesCommit: Error | null = null;
  isLost = false;
  /** What `native` refuses with. */
  refusal: Error | null = null;

  constructor(isPipelined = true) {
    this.isPipelined = isPipelined;
  }

  async script<Row>(text: string): Promise<ServerResult<Row>> {
    this.sent.push(text);
    // Outside of a transaction COMMIT is answered with COMMIT, and a warning.
    if (text === "BEGIN") return this.begun.promise;
    if (this.isLost) throw new Error("Connection terminated unexpectedly");
    if (text === "COMMIT" && this.refusesCommit !== null) throw this.refusesCommit;
    return answer(text);
  }

  async query<Row>(text: string): Promise<ServerResult<Row>> {
    this.sent.push(text);
    if (this.refuses !== null) throw this.refuses;
    return answer("INSERT");
  }

  isPrepared(): boolean {
    return false;
  }

  async run<Row>({ text }: { text: string }): Promise<ServerResult<Row>> {
    this.sent.push(text);
    if (this.refuses !== null) throw this.refuses;
    return answer("SELECT");
  }

  seal(why: () => Error = transactionOver): void {
    this.refusal ??= why();
  }

  release(isUsable: boolean): void {
    this.released.push(isUsable);
  }
}

function answer(command: string): ServerResult<never> {
  return { rows: [], rowCount: 0, command };
}

function begin(
  session: FakeSession,
  saysProcess = false,
): { transaction: ServerTransaction; left: () => number; retired: (number | null)[] } {
  let left = 0;
  const retired: (number | null)[] = [];
  const transaction = new ServerTransaction(session, {
    begin: "BEGIN",
    saysProcess,
    released: () => (left += 1),
    outdated: () => false,
    retire: async (processId) => retired.push(processId) > 0,
  });
  return { transaction, left: () => left, retired };
}

describe("a transaction whose BEGIN is refused", () => {
  it("sends no further statement, nor COMMIT, and ends its session", async () => {
    const session = new FakeSession();
    const { transaction, left } = begin(session);
    const first = transaction.query("INSERT", []);
    session.begun.reject(refusal("57014"));
    const lost = await first.catch((error: unknown) => error);
    expect(lost).toBeInstanceOf(PersistenceError);
    expect(lost).toMatchObject({ outcome: "not-written", cause: { sqlState: "57014" } });
    await expect(transaction.query("INSERT", [])).rejects.toBe(lost);
    // Who goes on through the driver's own client is refused with the same, for which the attempt is repeated.
    expect([transaction.lostWith, session.refusal]).toEqual([lost, lost]);
    await expect(transaction.commitAfter(REPLY)).rejects.toMatchObject({ outcome: "not-written" });
    await transaction.rollback();
    expect(session.sent).toEqual(["BEGIN", "INSERT"]);
    expect(session.released).toEqual([false]);
    expect(left()).toBe(1);
  });

  it("ends its session where it is rolled back, too", async () => {
    const session = new FakeSession();
    const { transaction, left } = begin(session);
    const first = transaction.query("INSERT", []);
    session.begun.reject(refusal("57014"));
    await expect(first).rejects.toThrow();
    await transaction.rollback();
    expect(session.sent).toEqual(["BEGIN", "INSERT"]);
    expect([session.released, left()]).toEqual([[false], 1]);
  });

  it("ends its session also where ROLLBACK had left before that was known", async () => {
    const session = new FakeSession();
    const { transaction, left } = begin(session);
    session.begun.reject(refusal("57014"));
    await transaction.rollback();
    expect(session.sent).toEqual(["BEGIN", "ROLLBACK"]);
    expect([session.released, left()]).toEqual([[false], 1]);
  });

  it("has not committed what left together with it: that is to be read back", async () => {
    const session = new FakeSession();
    const { transaction, left } = begin(session);
    const committing = transaction.commitAfter(REPLY);
    session.begun.reject(refusal("57014"));
    await expect(committing).rejects.toMatchObject({ outcome: "unknown", isSettled: true });
    expect([session.released, left()]).toEqual([[false], 1]);
  });

  it("says why what left together with it was refused, and ends its session", async () => {
    const session = new FakeSession();
    const { transaction } = begin(session);
    session.refuses = refusal("HF001");
    const committing = transaction.commitAfter(REPLY);
    session.begun.reject(refusal("57014"));
    await expect(committing).rejects.toMatchObject({ outcome: "not-written", sqlState: "HF001" });
    expect(session.released).toEqual([false]);
  });

  it("is why a statement failed that left together with it, where it had begun and its settings were refused", async () => {
    const session = new FakeSession();
    const { transaction } = begin(session);
    session.refuses = refusal("25P02");
    const first = transaction.query("INSERT", []);
    first.catch(() => undefined);
    // The answers come in one piece of data, and the statement's is read first.
    setImmediate(() => session.begun.reject(refusal("57014")));
    await expect(first).rejects.toMatchObject({ outcome: "not-written", cause: { sqlState: "57014" } });
  });

  it("is why it did not commit what left together with it, where it had begun and its settings were refused", async () => {
    const session = new FakeSession();
    const { transaction } = begin(session);
    session.refuses = refusal("25P02");
    const committing = transaction.commitAfter(REPLY);
    session.begun.reject(refusal("57014"));
    await expect(committing).rejects.toMatchObject({ outcome: "not-written", sqlState: "57014" });
    expect(session.released).toEqual([false]);
  });

  it("has a session that is ended before anybody is told", async () => {
    const session = new FakeSession(false);
    const { transaction, left } = begin(session);
    const begun = transaction.begun();
    session.begun.reject(refusal("57014"));
    await expect(begun).rejects.toMatchObject({ outcome: "not-written" });
    expect([session.sent, session.released, left()]).toEqual([["BEGIN"], [false], 1]);
  });
});

describe("a transaction whose session is lost with all that was sent on it", () => {
  it.each([
    ["that of its session", false, 7],
    ["not known behind a pooler, which makes up the one of its session", true, null],
  ])("has a server process to be ended: %s", async (_, saysProcess, processId) => {
    const session = new FakeSession();
    const { transaction, retired } = begin(session, saysProcess);
    session.refuses = new Error("Connection terminated unexpectedly");
    session.isLost = true;
    const committing = transaction.commitAfter(REPLY);
    session.begun.reject(new Error("Connection terminated unexpectedly"));
    await expect(committing).rejects.toMatchObject({ outcome: "unknown" });
    expect(retired).toEqual([processId]);
  });
});

describe.each([true, false])("a transaction on a session that is pipelined or not (%s)", (isPipelined) => {
  it("says where COMMIT was refused, and not the statement before it", async () => {
    const session = new FakeSession(isPipelined);
    const { transaction } = begin(session);
    session.begun.resolve(answer("BEGIN"));
    session.refusesCommit = refusal("23503");
    await expect(transaction.commitAfter(REPLY)).rejects.toMatchObject({
      outcome: "not-written",
      sqlState: "23503",
      isOfCommit: true,
      cause: session.refusesCommit,
    });
    expect(session.released).toEqual([true]);
  });

  it("says where the statement before COMMIT was refused", async () => {
    const session = new FakeSession(isPipelined);
    const { transaction } = begin(session);
    session.begun.resolve(answer("BEGIN"));
    session.refuses = refusal("23503");
    await expect(transaction.commitAfter(REPLY)).rejects.toMatchObject({
      outcome: "not-written",
      isOfCommit: false,
    });
  });

  it.each([
    ["gives back a session", "23505", true],
    ["ends a session that takes no writes", "25006", false],
    ["ends a session that lost what was prepared on it", "26000", false],
  ])("%s where the statement before COMMIT was refused (%s)", async (_, code, isKept) => {
    const session = new FakeSession(isPipelined);
    const { transaction, left, retired } = begin(session);
    session.begun.resolve(answer("BEGIN"));
    session.refuses = refusal(code);
    const committing = transaction.commitAfter(REPLY);
    await expect(committing).rejects.toMatchObject({ outcome: "not-written", sqlState: code });
    await transaction.rollback();
    expect([session.released, left(), retired]).toEqual([[isKept], 1, []]);
  });

  it.each([
    ["gives back a session", "23505", true],
    ["ends a session that takes no writes", "25006", false],
    ["ends a session that lost what was prepared on it", "26000", false],
  ])("%s where a handler's statement was refused (%s), however it ends", async (_, code, isKept) => {
    for (const ends of ["rolls back", "commits"]) {
      const session = new FakeSession(isPipelined);
      const { transaction } = begin(session);
      session.begun.resolve(answer("BEGIN"));
      session.refuses = refusal(code);
      const refused = await transaction.query("INSERT", [1]).catch((error: unknown) => error);
      // Only what was prepared and is gone can pass on another session.
      expect((refused as { retryable?: boolean }).retryable).toBe(code === "26000" ? true : undefined);
      session.refuses = refusal("25P02");
      if (ends === "rolls back") await transaction.rollback();
      else await expect(transaction.commitAfter(REPLY)).rejects.toMatchObject({ sqlState: "25P02" });
      expect(session.released).toEqual([isKept]);
    }
  });

  it("does not know what became of it where its session ends at COMMIT", async () => {
    const session = new FakeSession(isPipelined);
    const { transaction } = begin(session);
    session.begun.resolve(answer("BEGIN"));
    session.refusesCommit = Object.assign(new Error("terminated"), { code: "57P01", severity: "FATAL" });
    await expect(transaction.commitAfter(REPLY)).rejects.toMatchObject({
      outcome: "unknown",
      isOfCommit: false,
    });
  });
});

describe("a transaction that has begun", () => {
  it("sends its first statement before the answer to BEGIN, and its last one with COMMIT", async () => {
    const session = new FakeSession();
    const { transaction, left } = begin(session);
    const first = transaction.query("INSERT", []);
    expect(session.sent).toEqual(["BEGIN", "INSERT"]);
    session.begun.resolve(answer("BEGIN"));
    await first;
    const committing = transaction.commitAfter(REPLY);
    expect(session.sent).toEqual(["BEGIN", "INSERT", "reply", "COMMIT"]);
    await committing;
    expect([session.released, left()]).toEqual([[true], 1]);
  });
});
