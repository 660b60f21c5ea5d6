import { describe, expect, it } from "vitest";
import { checkOrder } from "./order.ts";

const handled = (sender: string, entity: string, ...numbers: readonly number[]) =>
  numbers.map((number) => ({ sender, entity, number }));

describe("order", () => {
  it("holds for each sender and entity by itself", () => {
    checkOrder([]);
    checkOrder([...handled("s", "a", 1, 4, 9), ...handled("s", "b", 2, 3), ...handled("t", "a", 1)]);
  });

  it("holds where a request took effect again later", () => {
    checkOrder(handled("s", "a", 1, 2, 1, 3, 2));
  });

  it("does not where an earlier request came after a later one", () => {
    expect(() =>
      checkOrder([...handled("s", "a", 1, 3), ...handled("t", "a", 9), ...handled("s", "a", 2)]),
    ).toThrow(
      expect.objectContaining({
        name: "Violation",
        invariant: "order",
        message: "order: request 2 of s to a came after 3",
      }),
    );
  });
});
