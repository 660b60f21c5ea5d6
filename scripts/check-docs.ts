// Type-checks every TypeScript block of the Markdown pages, as it stands. A block under `<!-- file: name.ts -->` is kept
// under that name, so that later blocks of its page can import "./name.ts". Each page is a folder of its own.

import { execFileSync } from "node:child_process";
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const pages = [
  "README.md",
  ...globSync("docs/**/*.md"),
  ...globSync("packages/*/README.md"),
  ...globSync("examples/*/README.md"),
];
const folder = join("node_modules", ".cache", "docs");

interface Block {
  readonly page: string;
  readonly line: number;
  readonly name: string | undefined;
  readonly code: string;
}

export function blocksOf(page: string, text: string): readonly Block[] {
  const blocks: Block[] = [];
  const fence = /(?:<!-- file: (?<name>[\w.-]+\.ts) -->\s*\n)?^```(?<info>[^\n]*)\n(?<code>[\s\S]*?)^```/gmu;
  for (const match of text.matchAll(fence)) {
    const { info = "", name, code = "" } = match.groups ?? {};
    const language = info.trim().split(/\s+/u)[0];
    if (language !== "ts" && language !== "typescript") continue;
    if (info.trim() !== language)
      throw new Error(
        `${page}: a fence says "${info.trim()}"; a TypeScript block takes no more words than ts`,
      );
    blocks.push({ page, line: text.slice(0, match.index).split("\n").length, name, code });
  }
  return blocks;
}

const blocks = pages.flatMap((page) => blocksOf(page, readFileSync(page, "utf8")));
rmSync(folder, { recursive: true, force: true });
const written = new Map<string, Block>();
for (const [index, block] of blocks.entries()) {
  const directory = join(folder, block.page.replaceAll(/[/.]/gu, "-"));
  mkdirSync(directory, { recursive: true });
  const path = join(directory, block.name ?? `block-${index}.ts`);
  // Each block is a module, also one that imports nothing.
  writeFileSync(path, `${block.code}\nexport {};\n`);
  written.set(path.replaceAll("\\", "/"), block);
}
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, "package.json"), '{ "type": "module" }\n');
const config = {
  extends: "../../../tsconfig.base.json",
  compilerOptions: {
    isolatedDeclarations: false,
    declaration: false,
    noUnusedLocals: false,
    noUnusedParameters: false,
  },
  include: ["**/*.ts"],
};
writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
try {
  if (blocks.length > 0)
    execFileSync(process.execPath, ["node_modules/typescript/bin/tsc", "-p", folder], { stdio: "pipe" });
  console.log(
    `docs: ${blocks.length} blocks of ${new Set(blocks.map((block) => block.page)).size} pages compile`,
  );
} catch (error) {
  const output = String((error as { stdout?: Buffer }).stdout);
  for (const line of output.split("\n").filter((each) => each !== "")) {
    const place = /^(.*?)\((\d+),(\d+)\)(.*)$/u.exec(line);
    const block = place === null ? undefined : written.get(place[1] ?? "");
    console.error(
      block === undefined ? line : `${block.page}:${block.line + Number(place?.[2])}${place?.[4]}`,
    );
  }
  process.exitCode = 1;
}
