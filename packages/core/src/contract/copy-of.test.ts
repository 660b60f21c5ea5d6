import { describe, expect, it } from "vitest";
import { copyOf } from "./copy-of.ts";

describe("a copy", () => {
  it("is equal, and shares nothing that can be changed", () => {
    const value = {
      list: [1, [2], undefined],
      at: new Date(5),
      map: new Map([["k", { n: 1 }]]),
      set: new Set([[1]]),
      none: null,
      ["__proto__x"]: 1,
    };
    const copy = copyOf(value);
    expect(copy).toEqual(value);
    for (const key of ["list", "at", "map", "set"] as const) expect(copy[key]).not.toBe(value[key]);
    expect(copy.list[1]).not.toBe(value.list[1]);
    expect(copy.map.get("k")).not.toBe(value.map.get("k"));
  });

  it("has once what is there twice, and itself where it holds itself", () => {
    const shared = { n: 1 };
    const round: { self?: unknown; pair: readonly object[] } = { pair: [shared, shared] };
    round.self = round;
    const copy = copyOf(round);
    expect(copy.pair[0]).toBe(copy.pair[1]);
    expect(copy.pair[0]).not.toBe(shared);
    expect(copy.self).toBe(copy);
  });

  it("holds what is of a class, a buffer and a function as they are", () => {
    class Money extends Map<string, number> {}
    const value = { money: new Money(), bytes: Buffer.from("a"), call: () => 1, url: new URL("http://a/") };
    const copy = copyOf(value);
    for (const key of ["money", "bytes", "call", "url"] as const) expect(copy[key]).toBe(value[key]);
  });

  it("has own properties by names of the prototype's, and no prototype where there was none", () => {
    const value = JSON.parse('{"__proto__": {"admin": true}}') as object;
    expect(Object.keys(copyOf(value))).toEqual(["__proto__"]);
    expect(Object.getPrototypeOf(copyOf(Object.create(null)))).toBeNull();
  });
});
