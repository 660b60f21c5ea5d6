// The blocks of the pages that say so run, each in a process of its own, as a user's program would: from its first line to
// its end, and they print what they say.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { allBlocks, writeBlocks, type DocBlock } from "../../scripts/lib/doc-blocks.ts";

/** A block may be a whole conformance suite, on a machine that is busy. */
const TIME_LIMIT_MS = 120_000;

const files = writeBlocks(allBlocks());
writeFileSync(
  join(files.folder, "vitest.config.ts"),
  `const conditions = ["@holdfast/source"];
export default {
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: { include: ["**/*.ts"], exclude: [], testTimeout: ${TIME_LIMIT_MS} },
};
`,
);
const running = [...files.blocks].filter(([, { runs }]) => runs);

afterAll(() => files[Symbol.dispose]());

describe("a block that runs", () => {
  it("is there", () => {
    expect(running.length).toBeGreaterThan(15);
  });

  it.each(running.map(([path, block]) => ({ at: `${block.page}:${block.line}`, path, block })))(
    "$at comes to its end, and prints what it says",
    async ({ path, block }) => {
      const { code, printed, all } = await run(path, block);
      expect(code, all).toBe(0);
      if (block.prints !== null) expect(linesOf(printed)).toEqual(block.prints);
    },
  );
});

interface Ended {
  readonly code: number | null;
  readonly printed: string;
  /** What it said besides, too. */
  readonly all: string;
}

/** In a folder of its own, which is where it keeps its data. */
async function run(path: string, block: DocBlock): Promise<Ended> {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-docs-"));
  const isTest = /from "vitest"/u.test(block.code);
  const vitest = ["run", "--root", resolve(files.folder), resolve(path)];
  const args = isTest
    ? [resolve("node_modules/vitest/vitest.mjs"), ...vitest]
    : ["--conditions=@holdfast/source", resolve(path)];
  try {
    return await new Promise<Ended>((ended, failed) => {
      const child = spawn(process.execPath, args, {
        cwd: folder,
        env: environment(),
        timeout: TIME_LIMIT_MS,
      });
      let printed = "";
      let all = "";
      child.stdout.on("data", (chunk: Buffer) => {
        printed += String(chunk);
        all += String(chunk);
      });
      child.stderr.on("data", (chunk: Buffer) => (all += String(chunk)));
      child.once("error", failed);
      child.once("close", (code) => ended({ code, printed, all }));
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Without what this test run, or a cluster elsewhere, has set for itself. */
function environment(): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(
    ([name]) => !/^(?:VITEST|HOLDFAST_|TEST$|NODE_OPTIONS)/u.test(name),
  );
  return { ...Object.fromEntries(own), NODE_ENV: "development", NO_COLOR: "1" };
}

function linesOf(printed: string): readonly string[] {
  return printed
    .trimEnd()
    .split("\n")
    .map((line) => line.trimEnd());
}
