import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BriefMap } from "./brief-map.ts";

const key = fc.constantFrom("a", "b", "c", "d", "__proto__", "constructor", "toString", "");
const change = fc.oneof(
  fc.record({ do: fc.constant("set" as const), key, value: fc.option(fc.integer(), { nil: undefined }) }),
  fc.record({ do: fc.constant("delete" as const), key }),
  fc.record({ do: fc.constant("clear" as const), key }),
);

describe("a brief map", () => {
  it("holds what a Map does, in the same order", () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 200, size: "max" }), (changes) => {
        const [brief, map] = [new BriefMap<number | undefined>(), new Map<string, number | undefined>()];
        for (const each of changes) {
          if (each.do === "set") {
            brief.set(each.key, each.value);
            map.set(each.key, each.value);
          } else if (each.do === "delete") expect(brief.delete(each.key)).toBe(map.delete(each.key));
          else {
            brief.clear();
            map.clear();
          }
          expect(brief.get(each.key)).toBe(map.get(each.key));
          expect(brief.has(each.key)).toBe(map.has(each.key));
          expect(brief.size).toBe(map.size);
        }
        expect([...brief.entries()]).toEqual([...map]);
        expect([...brief.keys()]).toEqual([...map.keys()]);
        expect([...brief.values()]).toEqual([...map.values()]);
      }),
    );
  });

  it("passes over what was deleted since its keys were asked for", () => {
    const brief = new BriefMap<number>();
    for (const [index, each] of ["a", "b", "c"].entries()) brief.set(each, index);
    const seen: string[] = [];
    for (const each of brief.keys()) {
      seen.push(each);
      brief.delete("b");
    }
    expect(seen).toEqual(["a", "c"]);
  });
});
