import { describe, expect, it } from "vitest";
import { Places } from "./places.ts";

const NEVER = Number.POSITIVE_INFINITY;
const call = (content: unknown) => ({ kind: "rpc", name: "Bank.charge", content: () => content }) as const;

describe("the place of a step", () => {
  it("is its position until a step has failed", () => {
    const places = new Places(NEVER);
    expect(places.next(0, call("a fee"))).toBe("0");
    places.failed(1);
    expect(places.next(1, call("a fee"))).not.toBe("1");
    expect(places.next(2, { kind: "sleep", name: "sleep" }), "it has no key").toBe("2");
  });

  it("is the same wherever the same is asked for after that, and another one for what is not", () => {
    const before = new Places(NEVER);
    before.failed(1);
    before.failed(3);
    const after = new Places(1);
    const fee = before.next(1, call("a fee"));
    const sale = before.next(2, call("a sale"));
    expect(after.next(1, call("a sale"))).toBe(sale);
    expect(after.next(2, call("a fee"))).toBe(fee);
    expect(after.next(3, { ...call("a fee"), name: "Bank.refund" })).not.toBe(fee);
  });

  it("tells apart what is asked for several times", () => {
    const placesOf = (): readonly string[] => {
      const places = new Places(0);
      return [1, 2, 3].map((position) => places.next(position, call("the same")));
    };
    expect(new Set(placesOf()).size).toBe(3);
    expect(placesOf()).toEqual(placesOf());
  });

  it("is that of its name for what cannot be encoded", () => {
    const placeOf = (content: () => number): string => new Places(0).next(0, call(content));
    expect(placeOf(() => 1)).toBe(placeOf(() => 2));
  });
});
