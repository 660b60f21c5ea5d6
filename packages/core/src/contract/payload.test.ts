import { deepStrictEqual } from "node:assert/strict";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PayloadTooLargeError, SerializationError } from "../errors/storage.ts";
import { decodePayload, encodeBoundedPayload, encodePayload } from "./payload.ts";

const roundTrip = (value: unknown): unknown => decodePayload(encodePayload(value, "It"), "It");

/** Everything that a payload may hold. Keys that look like the escape, and `__proto__`, are among them on purpose. */
const { value: anything } = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constantFrom(undefined, null, true, false, -0, Number.NaN, Infinity, -Infinity, "", "$", '{"$":['),
    fc.double(),
    fc.string({ unit: "binary" }),
    fc.bigInt(),
    fc.date({ noInvalidDate: false }),
    fc.uint8Array({ maxLength: 8 }),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.array(tie("value"), { maxLength: 4 }).map((items) => new Set(items)),
    fc.array(fc.tuple(tie("value"), tie("value")), { maxLength: 4 }).map((entries) => new Map(entries)),
    record(tie("value")),
    fc
      .constantFrom("undefined", "number", "bigint", "Date", "Map", "Set", "Uint8Array", "object", "other")
      .chain((tag) => fc.array(tie("value"), { maxLength: 2 }).map((rest) => ({ $: [tag, ...rest] }))),
  ),
}));

function record(of: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  const key = fc.oneof(
    fc.constantFrom("$", "__proto__", "constructor", "toJSON", "0"),
    fc.string({ maxLength: 3 }),
  );
  return fc.array(fc.tuple(key, of), { maxLength: 4 }).map((entries) => Object.fromEntries(entries));
}

/** Fields that are undefined are left out, as JSON does it: reading them gives undefined all the same. */
function withoutUndefinedFields(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(withoutUndefinedFields);
  if (value instanceof Set) return new Set([...value].map(withoutUndefinedFields));
  if (value instanceof Map) {
    return new Map(
      [...value].map(([key, item]) => [withoutUndefinedFields(key), withoutUndefinedFields(item)]),
    );
  }
  if (value instanceof Date || value instanceof Uint8Array) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, item]) => item !== undefined)
      .map(([key, item]) => [key, withoutUndefinedFields(item)]),
  );
}

describe("a payload", () => {
  it("comes back as it was, whatever it holds (INV-8)", () => {
    fc.assert(
      fc.property(anything, (value) => {
        // Not toStrictEqual: it takes a field named "constructor" for a type.
        deepStrictEqual(roundTrip(value), withoutUndefinedFields(value));
      }),
      { numRuns: 1_000 },
    );
  });

  it.each(['"', "\n", "\\", "\u0000", "\ud800", 'a"b', "a\\b", 'end"'])(
    "has the field %j under its name, whatever V8 has parsed before",
    (key) => {
      // From these it would expect other names, which JSON writes with the same characters at first.
      for (let length = 1; length <= 8; length += 1) {
        const begun = JSON.stringify(key).slice(1, -1).slice(0, length);
        JSON.parse(JSON.stringify({ first: 1, [begun]: 2 }));
      }
      const value = { first: 1, [key]: { inner: [{ first: -0, [key]: undefined }, { [key]: "a\n" }] } };
      deepStrictEqual(roundTrip(value), withoutUndefinedFields(value));
    },
  );

  it("is plain JSON where only values need JSON's escapes", () => {
    expect(encodePayload({ a: 'say "so"\n', b: ["\\"] }, "It")).toBe('{"a":"say \\"so\\"\\n","b":["\\\\"]}');
    expect(encodePayload({ a: 1, 'b"': [2] }, "It")).toBe('{"$":["fields",["a",1,"b\\"",[2]]]}');
  });

  it("is the same text for what was read as for what was written", () => {
    fc.assert(
      fc.property(anything, (value) => {
        const text = encodePayload(value, "It");
        expect(encodePayload(decodePayload(text, "It"), "It")).toBe(text);
      }),
    );
  });

  it("leaves the value that it was made of as it was", () => {
    fc.assert(
      fc.property(anything, (value) => {
        const before = structuredClone(value);
        encodePayload(value, "It");
        deepStrictEqual(value, before);
      }),
    );
  });

  it("is plain JSON where JSON loses nothing", () => {
    const value = { id: 1, tags: ["a", null], nested: { yes: true, none: undefined } };
    expect(encodePayload(value, "It")).toBe(JSON.stringify(value));
  });

  it.each([
    ["NaN", Number.NaN],
    ["-0", -0],
    ["undefined", undefined],
    ["undefined in a list", [1, undefined, 3]],
    ["a list of holes", Array(2), [undefined, undefined]],
    ["a bigint", { n: 12_345_678_901_234_567_890n }],
    ["an invalid date", [new Date(Number.NaN)]],
    ["bytes of a larger buffer", new Uint8Array([1, 2, 3, 4]).subarray(1, 3), new Uint8Array([2, 3])],
    ["a Buffer, as bytes", Buffer.from([7, 8]), new Uint8Array([7, 8])],
    ["what looks like an escape", { $: ["Date", 0] }],
    ["what JSON makes look like one", { $: ["Date", 0], none: undefined }, { $: ["Date", 0] }],
    ["an escape of an escape", { $: ["object", [{ $: ["undefined"] }]] }],
    ["a map whose keys are maps", new Map([[new Map([[1, 2]]), new Set([undefined])]])],
    ["an object without a prototype", Object.assign(Object.create(null), { a: 1 }), { a: 1 }],
  ] as readonly (readonly [string, unknown, unknown?])[])("keeps %s", (_what, value, expected = value) => {
    expect(roundTrip(value)).toStrictEqual(expected);
  });

  it("keeps a field named __proto__ as a field", () => {
    const value: unknown = JSON.parse('{"__proto__":{"admin":true},"at":0}');
    for (const each of [
      value,
      Object.assign(JSON.parse('{"__proto__":{"admin":true}}'), { at: new Date(0) }),
    ]) {
      const back = roundTrip(each) as Record<string, unknown>;
      expect(Object.getPrototypeOf(back)).toBe(Object.prototype);
      expect(Object.hasOwn(back, "__proto__")).toBe(true);
      expect(back["admin"]).toBeUndefined();
    }
  });

  class Money {
    readonly cents = 5;
  }
  const circle: { self?: unknown } = {};
  circle.self = { again: circle };

  it.each([
    ["a function", { handlers: [() => undefined] }, 'It cannot be serialised: "handlers[0]" is a function.'],
    ["a symbol", Symbol("x"), "It cannot be serialised: it is a symbol."],
    ["an instance of a class", { order: { total: new Money() } }, '"order.total" is an instance of Money'],
    ["an Error", [new Error("x")], '"[0]" is an instance of Error'],
    ["a promise", { a: Promise.resolve(1) }, '"a" is an instance of Promise'],
    ["a value in a map", new Map([["k", new Money()]]), '"<map>'],
    [
      "an object of a class without a name",
      Object.create({ constructor: { name: "" } }),
      "it is an instance of a class.",
    ],
    ["a generator", (async function* () {})(), "an rpc with stream: true."],
    [
      "a circle",
      circle,
      /^It cannot be serialised: "self(\.again\.self)+[.a-z]*…" is nested over 200 deep, or a circle\./,
    ],
  ])("refuses %s, with its path", (_what, value, message) => {
    expect(() => encodePayload(value, "It")).toThrow(SerializationError);
    expect(() => encodePayload(value, "It")).toThrow(message);
  });

  it("refuses what is nested too deep, and takes what is not quite", () => {
    const nest = (depth: number): unknown => {
      let value: unknown = 1;
      for (let level = 0; level < depth; level += 1) value = [value];
      return value;
    };
    expect(roundTrip(nest(200))).toEqual(nest(200));
    expect(() => encodePayload(nest(300), "It")).toThrow(SerializationError);
    expect(() => encodePayload(nest(100_000), "It")).toThrow(SerializationError);
  });

  it.each([
    "",
    "{",
    "undefined",
    '{"$":["Regex","x"]}',
    '{"$":["Set",5]}',
    '{"$":["bigint","x"]}',
    '{"$":["Map"]}',
    '{"$":["Date",{"toString":1}]}',
    '{"$":["number",{"valueOf":1,"toString":1}]}',
    '{"$":[{"toString":1}]}',
  ])("that is %j cannot be read", (text) => {
    expect(() => decodePayload(text, "The input of Counter/a.increment")).toThrow(SerializationError);
  });

  it("that is nested deeper than any that was made cannot be read, where something in it is escaped", () => {
    const text = `[{"$":["undefined"]},${"[".repeat(100_000)}${"]".repeat(100_000)}]`;
    expect(() => decodePayload(text, "It")).toThrow(SerializationError);
  });
});

describe("a bounded payload", () => {
  it("is refused as too large also where no text is as long as it would be", () => {
    const bytes = new Uint8Array(450_000_000);
    expect(() => encodeBoundedPayload({ file: bytes }, "The input of Desk/a.note", 1_024)).toThrow(
      /^The input of Desk\/a\.note takes \d+ bytes, more than the limit of 1024\./u,
    );
    // What V8 throws where texts that are long are put together.
    const many = {
      get texts(): never {
        throw new RangeError("Invalid string length");
      },
    };
    expect(() => encodeBoundedPayload(many, "It", 1_024)).toThrow(PayloadTooLargeError);
  });

  it("may have as many bytes as the limit, counted in UTF-8", () => {
    expect(encodeBoundedPayload("x".repeat(8), "It", 10)).toHaveLength(10);
    expect(encodeBoundedPayload("ä".repeat(4), "It", 10)).toHaveLength(6);
    expect(() => encodeBoundedPayload("ä".repeat(5), "It", 10)).toThrow(PayloadTooLargeError);
    expect(() => encodeBoundedPayload("x".repeat(9), "It", 10)).toThrow(
      "It takes 11 bytes, more than the limit of 10",
    );
  });
});
