import { TransactionUnavailableError } from "@holdfast/core/adapter";
import { describe, expect, it } from "vitest";
import type { SqlTransaction } from "./driver.ts";
import { failureOf, failureOfCommit, type SqlFailure } from "./errors.ts";
import { laterClient } from "./later-client.ts";
import { PostgresTransaction } from "./postgres-transaction.ts";

it.each(["a statement", "the driver's own client"])(
  "sends what its handler left behind before its COMMIT, and nothing after it, through %s (T2)",
  async (through) => {
    const sent: unknown[] = [];
    const query = async (text: unknown) => {
      sent.push(text);
      return { rows: [], rowCount: 0 };
    };
    const { promise: begun, resolve: begin } = Promise.withResolvers<SqlTransaction>();
    const transaction = new PostgresTransaction(
      () => begun,
      () => undefined,
      (later) => laterClient(["query"], later),
    );
    const client = transaction.native as { query(text: string): Promise<unknown> };
    const send = (text: string) =>
      through === "a statement" ? transaction.query(text, []) : client.query(text);
    const left = send("left behind");
    const committing = transaction.commitAfter({ name: "reply", text: "reply", values: [] });
    const stray = send("too late");
    begin({
      native: { query },
      lostWith: null,
      query,
      script: async () => undefined,
      commitAfter: query,
      rollback: async () => undefined,
    });
    await expect(stray).rejects.toBeInstanceOf(TransactionUnavailableError);
    await Promise.all([left, committing]);
    expect(sent).toEqual(["left behind", { name: "reply", text: "reply", values: [] }]);
  },
);

it.each(["a commit", "a rollback"])(
  "has read which role it had before it takes on another one, and keeps the order until %s (T2)",
  async (end) => {
    const sent: string[] = [];
    const begun: SqlTransaction = {
      native: null,
      lostWith: null,
      query: async <Row>(text: string) => {
        sent.push(text);
        const rows = [{ user: "login", role: "app" }];
        return { rows: rows as Row[], rowCount: 1 };
      },
      script: async () => undefined,
      commitAfter: async ({ text }) => {
        sent.push(text);
        return { rows: [], rowCount: 0 };
      },
      rollback: async () => void sent.push("rollback"),
    };
    const transaction = new PostgresTransaction(
      async () => begun,
      () => undefined,
      () => undefined,
    );
    const asked = ["first", "set local role tenant", "second", "set local role other", "third"];
    const left = asked.map((text) => transaction.query(text, []));
    const reading = expect.stringContaining("current_setting") as string;
    const writing = expect.stringContaining("set_config") as string;
    const before = ["first", reading, ...asked.slice(1)];
    if (end === "a commit") {
      await transaction.commitAfter({ name: "reply", text: "reply", values: [] });
      expect(sent).toEqual([...before, writing, "reply"]);
    } else {
      await transaction.rollback();
      expect(sent).toEqual([...before, "rollback"]);
    }
    await Promise.all(left);
  },
);

describe("a COMMIT that the server refused (T4)", () => {
  /** What comes of a commit that fails with this. */
  async function commit(failure: SqlFailure): Promise<unknown> {
    const begun: SqlTransaction = {
      native: null,
      lostWith: null,
      query: async () => ({ rows: [], rowCount: 0 }),
      script: async () => undefined,
      commitAfter: () => Promise.reject(failure),
      rollback: async () => undefined,
    };
    const transaction = new PostgresTransaction(
      async () => begun,
      () => undefined,
      () => undefined,
    );
    return transaction
      .commitAfter({ name: "reply", text: "reply", values: [] })
      .catch((error: unknown) => error);
  }

  function refusal(code: string): Error {
    return Object.assign(new Error("refused"), { code, severity: "ERROR" });
  }

  it.each(["23503", "P0001", "22012", "57014"])("is the handler's failure where it is %s", async (code) => {
    const cause = refusal(code);
    const error = await commit(failureOfCommit(cause));
    expect(error).toBeInstanceOf(TransactionUnavailableError);
    expect(error).toMatchObject({ message: expect.stringContaining(`COMMIT (${code}: refused)`), cause });
    expect(cause).not.toHaveProperty("retryable");
  });

  it.each(["40001", "40P01"])("asks for another attempt where it is %s", async (code) => {
    const error = await commit(failureOfCommit(refusal(code)));
    expect(error).toBeInstanceOf(TransactionUnavailableError);
    expect(error).toMatchObject({ cause: { code, retryable: true } });
  });

  it.each([
    ["the server has no room", failureOfCommit(refusal("53100"))],
    ["the statement before it was refused", failureOf(refusal("23503"), true)],
    ["nobody knows what came of it", failureOfCommit(new Error("Connection terminated unexpectedly"))],
  ])("is the storage's failure where %s", async (_, failure) => {
    expect(await commit(failure)).toBe(failure);
  });
});
