import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { blocksOf, writeBlocks } from "../../scripts/lib/doc-blocks.ts";

const FENCE = "```";

function page(...lines: string[]): string {
  return `${lines.join("\n")}\n`;
}

describe("the blocks of a page", () => {
  it("are its TypeScript, with the lines at which they stand", () => {
    const text = page("# A", `${FENCE}sh`, "ls", FENCE, `${FENCE}ts`, "const a = 1;", FENCE);
    expect(blocksOf("a.md", text)).toEqual([
      { page: "a.md", line: 5, name: undefined, runs: false, prints: null, code: "const a = 1;\n" },
    ]);
  });

  it("are named, or run, by the comment before them", () => {
    const text = page(
      "<!-- file: a.ts -->",
      "",
      `${FENCE}ts`,
      FENCE,
      "<!-- run -->",
      "",
      `${FENCE}ts`,
      FENCE,
    );
    expect(blocksOf("a.md", text).map(({ line, name, runs }) => ({ line, name, runs }))).toEqual([
      { line: 3, name: "a.ts", runs: false },
      { line: 7, name: undefined, runs: true },
    ]);
  });

  it("say what they print", () => {
    const text = page("<!-- run -->", `${FENCE}ts`, "a(); // prints: one", "// prints: two, three", FENCE);
    expect(blocksOf("a.md", text)[0]?.prints).toEqual(["one", "two, three"]);
  });

  it("are refused with a comment or a fence of no meaning", () => {
    expect(() => blocksOf("a.md", page("<!-- runs -->", `${FENCE}ts`, FENCE))).toThrow(/a\.md:2: .*"runs"/u);
    expect(() => blocksOf("a.md", page(`${FENCE}ts twoslash`, FENCE))).toThrow(/"ts twoslash"/u);
  });

  it("are files beside each other while they are needed", () => {
    const text = page("<!-- file: a.ts -->", `${FENCE}ts`, "export const a = 1;", FENCE, `${FENCE}ts`, FENCE);
    const files = writeBlocks(blocksOf("docs/a.md", text));
    expect([...files.blocks.keys()]).toEqual(
      ["a.ts", "block-1.ts"].map((name) => join(files.folder, "docs-a-md", name)),
    );
    expect(readFileSync(join(files.folder, "docs-a-md", "a.ts"), "utf8")).toContain("export const a = 1;");
    files[Symbol.dispose]();
    expect(existsSync(files.folder)).toBe(false);
  });
});
