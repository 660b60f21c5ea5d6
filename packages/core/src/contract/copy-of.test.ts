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

  it("has what symbols name, the holes of an array, and what an array has beside its elements", () => {
    const key = Symbol("key");
    const list = Object.assign([1], { 2: { n: 2 }, [key]: { n: 3 }, total: 4 });
    const copy = copyOf(list);
    expect(copy).toEqual(list);
    expect([1 in copy, copy.length, copy.total, copy[key]]).toEqual([false, 3, 4, { n: 3 }]);
    expect(copy[key]).not.toBe(list[key]);
  });

  it("is the value itself where that cannot be copied", () => {
    const proxy = new Proxy(new Map([["k", 1]]), {});
    expect(copyOf(proxy)).toBe(proxy);
    let deep: unknown = null;
    for (let n = 0; n < 100_000; n += 1) deep = { deep };
    expect(copyOf(deep)).toBe(deep);
  });
});
