import { describe, expect, it } from "vitest";
import { checkReplies } from "./replies.ts";

describe("replies", () => {
  it("never change where everybody was told the same, by value", () => {
    checkReplies([]);
    checkReplies([
      { request: "a", reply: { balance: 5 } },
      { request: "b", reply: undefined },
      { request: "a", reply: { balance: 5 } },
      { request: "b", reply: undefined },
    ]);
  });

  it("do where one caller was told something else", () => {
    const told = [
      { request: "a", reply: 1 },
      { request: "b", reply: 2 },
      { request: "a", reply: 2 },
    ];
    expect(() => checkReplies(told)).toThrow(
      expect.objectContaining({
        name: "Violation",
        invariant: "replies never change",
        message: "replies never change: a was answered 1, and then 2",
      }),
    );
  });
});
