import { expect, it } from "vitest";
import { removeFrom } from "./remove-from.ts";

it.each([
  ["the last one", 3, [1, 2]],
  ["another one, and keeps the order", 1, [2, 3]],
  ["nothing that is not there", 7, [1, 2, 3]],
])("removes %s", (_what, item, left) => {
  const list = [1, 2, 3];
  removeFrom(list, item);
  expect(list).toEqual(left);
});

it("removes an item once", () => {
  const list = ["a", "b", "a"];
  removeFrom(list, "a");
  expect(list).toEqual(["a", "b"]);
});
