import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseSync } from "oxc-parser";
import { describe, expect, it } from "vitest";
import { PLANTED_BUGS } from "./planted-bugs.ts";
import { plant } from "./sandbox.ts";

const SOURCES = join(import.meta.dirname, "../../../packages/core/src");

describe("the list of planted bugs", () => {
  it("has 24 or more, each with a name of its own", () => {
    expect(new Set(PLANTED_BUGS.map(({ name }) => name)).size).toBe(PLANTED_BUGS.length);
    expect(PLANTED_BUGS.length).toBeGreaterThanOrEqual(24);
  });

  it.each(PLANTED_BUGS.map((bug) => [bug.name, bug] as const))(
    "plants once, and can run: %s",
    (_name, bug) => {
      const source = readFileSync(join(SOURCES, bug.file), "utf8");
      expect(source.split(bug.find)).toHaveLength(2);
      const planted = plant(source, bug);
      expect(planted).not.toBe(source);
      expect(parseSync(bug.file, planted, { showSemanticErrors: true }).errors).toEqual([]);
    },
  );

  it("refuses a bug whose place is not there, or is there twice", () => {
    const bug = { name: "b", breaks: "", file: "f.ts", find: "one", replace: "$& two", scenarios: [] };
    expect(plant("a one", bug)).toBe("a $& two");
    expect(() => plant("none", { ...bug, find: "two" })).toThrow(/f\.ts.*0 times/);
    expect(() => plant("one one", bug)).toThrow(/f\.ts.*2 times/);
  });
});
