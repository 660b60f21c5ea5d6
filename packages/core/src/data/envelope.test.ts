import { describe, expect, it } from "vitest";
import { sampleRequest } from "../../test/sample-request.ts";
import { asUnseen, givenHeaders } from "./envelope.ts";

describe("the headers that a handler finds", () => {
  it("can be passed on: the library's own are not among them, of whichever version and part of it", () => {
    const own = { "holdfast-fork": "{}", "holdfast-of-a-later-version": "" };
    expect(givenHeaders(asUnseen(sampleRequest({ headers: { ...own, tenant: "a" } })))).toEqual({
      tenant: "a",
    });
  });

  it("are as they were given where there are none of those", () => {
    const headers = { tenant: "a" };
    expect(givenHeaders(sampleRequest({ headers }))).toBe(headers);
  });
});
