import { describe, expect, it } from "vitest";
import { MailboxFullError } from "../errors/routing.ts";
import { PersistenceError } from "../errors/storage.ts";
import { answerOf } from "./answers.ts";
import { decodeError, encodeError } from "./error-codec.ts";
import { isRetryable } from "./retryable.ts";

describe("isRetryable", () => {
  it("is true for what storage throws, and for an error that says so of itself", () => {
    expect(isRetryable(new PersistenceError({ operation: "x", outcome: "unknown", detail: "x" }))).toBe(true);
    expect(isRetryable(Object.assign(new Error("busy"), { retryable: true }))).toBe(true);
    expect(isRetryable(new Error("x"))).toBe(false);
    expect(
      isRetryable(new MailboxFullError({ entity: "a", capacity: 1 })),
      "a handler's own call failed: a reply",
    ).toBe(false);
    expect(isRetryable("text")).toBe(false);
  });

  it("is false for what a handler that was called answered with", () => {
    const lost = new PersistenceError({ operation: "x", outcome: "unknown", detail: "x" });
    const encoded = encodeError(lost, { exposeStacks: false });
    expect(isRetryable(decodeError(encoded, []))).toBe(true);
    expect(isRetryable(answerOf(encoded, [], "Ledger/main.book"))).toBe(false);
  });
});
