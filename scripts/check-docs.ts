// Type-checks every TypeScript block of the Markdown pages, as it stands. test/repository/docs-run.itest.ts runs them.

import { execFileSync } from "node:child_process";
import { allBlocks, writeBlocks } from "./lib/doc-blocks.ts";

const blocks = allBlocks();
using files = writeBlocks(blocks);
try {
  execFileSync(process.execPath, ["node_modules/typescript/bin/tsc", "-p", files.folder], { stdio: "pipe" });
  const pages = new Set(blocks.map(({ page }) => page)).size;
  console.log(
    `docs: ${blocks.length} blocks of ${pages} pages compile; ${blocks.filter(({ runs }) => runs).length} of them run in the tests`,
  );
} catch (error) {
  const output = String((error as { stdout?: Buffer }).stdout);
  for (const line of output.split("\n").filter((each) => each !== "")) {
    const place = /^(.*?)\((\d+),(\d+)\)(.*)$/u.exec(line);
    const block = place === null ? undefined : files.blocks.get(place[1] ?? "");
    console.error(
      block === undefined ? line : `${block.page}:${block.line + Number(place?.[2])}${place?.[4]}`,
    );
  }
  process.exitCode = 1;
}
