// That the whole command measures, judges and writes what it says, in small. No figure is asserted: rounds are far too short.

import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import type { Results } from "../../bench/src/report.ts";
import { debianPostgresFolders, findProgram } from "../services/programs.ts";

const run = promisify(execFile);
const hasPostgres = findProgram("postgres", debianPostgresFolders()) !== undefined;

function bench(...args: readonly string[]): Promise<{ stdout: string; stderr: string }> {
  return run(process.execPath, [
    "--conditions=@holdfast/source",
    "--expose-gc",
    "bench/src/main.ts",
    ...args,
  ]);
}

it.skipIf(!hasPostgres)(
  "a run writes its figures, a report, a chart of each comparison, and a profile",
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "holdfast-bench-"));
    try {
      const only = ["volatile-rpc", "grpc-hop", "wake-up"];
      const small = "--quick --rounds 1 --ms 50 --peers none --profile holdfast-memory".split(" ");
      const { stdout } = await bench(...small, "--only", only.join(","), "--results", folder);
      const { compared, goals, missing } = JSON.parse(
        await readFile(join(folder, "results.json"), "utf8"),
      ) as Results;
      expect(missing).toEqual([]);
      expect(compared.map(({ comparison }) => comparison.id)).toEqual(only);
      for (const { rounds, failure } of compared.flatMap(({ entries }) => entries)) {
        expect(failure).toBeNull();
        expect(rounds.map(({ perSecond }) => perSecond > 0)).toEqual([true]);
      }
      const verdicts = new Map(goals.map(({ title, verdict }) => [title, verdict]));
      expect(verdicts.get("A hop over gRPC, 64 in flight")).toMatch(/^(?:aim|must|missed)$/u);
      // Of a part of a run only what it says something about is judged.
      expect(verdicts.has("Step 10,000 against step 10 of one execution")).toBe(false);

      const files = new Set(await readdir(folder));
      expect(only.filter((id) => !files.has(`${id}.svg`))).toEqual([]);
      expect(files).toContain("holdfast-memory-volatile-rpc.cpuprofile");
      const report = await readFile(join(folder, "report.md"), "utf8");
      for (const text of [report, stdout]) expect(text).toContain("A hop over gRPC, 64 in flight");
      expect(report).not.toMatch(/NaN|undefined/u);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
);

it("a comparison, a peer or a contestant that there is not is named, and nothing is measured", async () => {
  await expect(bench("--only", "dain")).rejects.toThrow(/no comparison "dain"/u);
  await expect(bench("--peers", "holdfast")).rejects.toThrow(/no peer "holdfast"/u);
  await expect(bench("--rounds", "some")).rejects.toThrow(/--rounds takes a whole number/u);
  await expect(bench("--profile", "me")).rejects.toThrow(/no contestant "me"/u);
});
