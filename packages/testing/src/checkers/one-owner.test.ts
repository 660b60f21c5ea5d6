import { describe, expect, it } from "vitest";
import { checkOneOwner, type OwnedWrite } from "./one-owner.ts";

function event(
  kind: OwnedWrite["kind"],
  token: number,
  from: number,
  to: number,
  resource = "s",
): OwnedWrite {
  return { kind, resource, token, from, to, what: `${kind} from ${from}` };
}
const claim = (token: number, from: number, to: number) => event("claim", token, from, to);
const write = (token: number, from: number, to: number) => event("write", token, from, to);

describe("one owner at a time", () => {
  it("holds where each token's writes end with the next claim", () => {
    checkOneOwner([]);
    checkOneOwner([claim(1, 0, 1), write(1, 2, 3), claim(5, 4, 5), write(5, 6, 7)]);
  });

  it("holds where a write may have come before the claim that it overlaps", () => {
    checkOneOwner([claim(1, 0, 1), write(1, 2, 9), claim(2, 3, 8), write(2, 9, 10)]);
  });

  it("holds of what no claims are known of, while tokens do not go back", () => {
    checkOneOwner([write(3, 0, 1), write(3, 2, 3), write(8, 4, 5)]);
  });

  it("is asked of each resource by itself", () => {
    checkOneOwner([event("write", 7, 0, 1, "a"), event("write", 3, 2, 3, "b")]);
  });

  it.each<[string, readonly OwnedWrite[], RegExp]>([
    [
      "a write comes after a later claim",
      [claim(1, 0, 1), claim(2, 2, 3), write(1, 4, 5)],
      /write from 4 under 1, after claim from 2 had been done under 2/u,
    ],
    ["a token goes back", [write(2, 0, 1), write(1, 2, 3)], /under 1, after write from 0/u],
    ["two claims give one token", [claim(1, 0, 1), claim(1, 2, 3)], /claimed twice under 1/u],
    ["nobody claimed the token", [claim(1, 0, 1), write(4, 2, 3)], /under 4, which nobody claimed/u],
  ])("does not where %s", (_, writes, what) => {
    expect(() => checkOneOwner(writes)).toThrow(
      expect.objectContaining({ name: "Violation", invariant: "one owner at a time" }),
    );
    expect(() => checkOneOwner(writes)).toThrow(what);
  });
});
