import { describe, expect, it } from "vitest";
import { checkNoLostRequest } from "./no-lost-request.ts";

describe("no lost request", () => {
  it("holds where all that was accepted was handled, once or often, or is a dead letter", () => {
    checkNoLostRequest({ accepted: [], handled: ["never awaited"] });
    checkNoLostRequest({ accepted: ["a", "b"], handled: ["a", "a"], deadLettered: ["b"] });
  });

  it("does not where an accepted request was neither", () => {
    expect(() => checkNoLostRequest({ accepted: ["a", "b"], handled: ["a"] })).toThrow(
      expect.objectContaining({
        name: "Violation",
        invariant: "no lost request",
        message: "no lost request: b was accepted, and never handled nor dead-lettered",
      }),
    );
  });
});
