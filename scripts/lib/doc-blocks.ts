// The TypeScript blocks of the Markdown pages, and files made of them: a folder for each page.
//
// The HTML comment before a block says what it is for:
//
//   <!-- file: name.ts -->   later blocks of its page can import "./name.ts"
//   <!-- run -->             it is run to its end (test/repository/docs-run.itest.ts): by vitest if it imports that
//
// A block that is run says in comments what it prints, `// prints: awake`: one for each line, in the order of the lines.
// One that has no such comment may print what it likes.

import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

/** A TypeScript block of a page. */
export interface DocBlock {
  readonly page: string;
  /** The line of its fence, from 1. */
  readonly line: number;
  /** The name under which other blocks import it, if it has one. */
  readonly name: string | undefined;
  readonly runs: boolean;
  /** The lines that it prints when it is run; null: it says nothing of them. */
  readonly prints: readonly string[] | null;
  readonly code: string;
}

/** All pages of the repository that have code for users. */
export function docPages(): readonly string[] {
  return [
    "README.md",
    ...globSync("docs/**/*.md", { exclude: ["docs/node_modules/**"] }).toSorted(),
    ...globSync("packages/*/README.md").toSorted(),
    ...globSync("examples/*/README.md").toSorted(),
  ];
}

/** The blocks of all pages. */
export function allBlocks(): readonly DocBlock[] {
  return docPages().flatMap((page) => blocksOf(page, readFileSync(page, "utf8")));
}

/** The blocks of one page, in its order. @throws {Error} a fence or the comment before it says what has no meaning */
export function blocksOf(page: string, text: string): readonly DocBlock[] {
  const blocks: DocBlock[] = [];
  const fence = /(?:^<!-- (?<mark>[^\n]*) -->\s*\n)?^```(?<info>[^\n]*)\n(?<code>[\s\S]*?)^```/gmu;
  for (const match of text.matchAll(fence)) {
    const { info = "", mark, code = "" } = match.groups ?? {};
    const language = info.trim().split(/\s+/u)[0];
    if (language !== "ts" && language !== "typescript") continue;
    const line = text.slice(0, match.index + match[0].indexOf("```")).split("\n").length;
    if (info.trim() !== language)
      throw new Error(
        `${page}:${line}: a fence says "${info.trim()}"; a TypeScript block takes no more words than ts`,
      );
    const name = /^file: ([\w.-]+\.ts)$/u.exec(mark ?? "")?.[1];
    const runs = mark === "run";
    if (mark !== undefined && name === undefined && !runs)
      throw new Error(
        `${page}:${line}: a comment before a fence says "${mark}"; it takes "file: name.ts" or "run"`,
      );
    const prints = [...code.matchAll(/\/\/ prints: (?<said>[^\n]*)$/gmu)].map(
      ({ groups }) => groups?.["said"] ?? "",
    );
    blocks.push({ page, line, name, runs, prints: runs && prints.length > 0 ? prints : null, code });
  }
  return blocks;
}

/** Files made of blocks, in a folder of this repository, so that they import its packages. */
export interface BlockFiles extends Disposable {
  readonly folder: string;
  /** By path, from the repository's root and with slashes. */
  readonly blocks: ReadonlyMap<string, DocBlock>;
}

/** Writes blocks down, as they stand. The files go when it is disposed of. */
export function writeBlocks(blocks: readonly DocBlock[]): BlockFiles {
  // Not in node_modules: Node strips no types there.
  mkdirSync(".data", { recursive: true });
  const folder = mkdtempSync(join(".data", "docs-"));
  const written = new Map<string, DocBlock>();
  for (const [index, block] of blocks.entries()) {
    const directory = join(folder, block.page.replaceAll(/[/.]/gu, "-"));
    mkdirSync(directory, { recursive: true });
    const path = join(directory, block.name ?? `block-${index}.ts`);
    // Each block is a module, also one that imports nothing.
    writeFileSync(path, `${block.code}\nexport {};\n`);
    written.set(path.replaceAll("\\", "/"), block);
  }
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }\n');
  const config = {
    extends: resolve("tsconfig.base.json"),
    compilerOptions: {
      isolatedDeclarations: false,
      declaration: false,
      noUnusedLocals: false,
      noUnusedParameters: false,
    },
    include: ["**/*.ts"],
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
  return {
    folder,
    blocks: written,
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}
