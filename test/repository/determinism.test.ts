import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { checkDeterminism, findDeterminismBreaks } from "../../scripts/check-determinism.ts";

const script = join(import.meta.dirname, "../../scripts/check-determinism.ts");

describe("the check of determinism", () => {
  it.each([
    ["Date.now()", "Date.now"],
    ['Date["now"]()', "Date.now"],
    ["globalThis.Date.now()", "Date.now"],
    ["new Date()", "new Date()"],
    ["new Date(...given)", "new Date()"],
    ["Date()", "Date, taken whole"],
    ["const { now } = Date", "Date, taken whole"],
    ["setTimeout(f, 1)", "setTimeout"],
    ["globalThis.setTimeout(f, 1)", "setTimeout"],
    ["const { setTimeout: later } = globalThis", "globalThis, taken whole"],
    ["globalThis[name]()", "globalThis, taken whole"],
    ["const later = { setTimeout }", "setTimeout"],
    ["setInterval(f, 1)", "setInterval"],
    ["setImmediate(f)", "setImmediate"],
    ["Math.random()", "Math.random"],
    ["const chance: () => number = Math.random", "Math.random"],
    ["(Math as unknown)", "Math, taken whole"],
    ["crypto.randomUUID()", "crypto.randomUUID"],
    ["crypto.getRandomValues(bytes)", "crypto.getRandomValues"],
    ["performance.now()", "performance"],
    ["process.hrtime.bigint()", "process.hrtime"],
    ["process.env.HOME", "process.env"],
    ["AbortSignal.timeout(1)", "AbortSignal.timeout"],
    ["new WeakRef(thing)", "WeakRef"],
    ["new FinalizationRegistry(f)", "FinalizationRegistry"],
    ['import { randomUUID } from "node:crypto"', "crypto.randomUUID"],
    ['import { randomUUID as id } from "crypto"', "crypto.randomUUID"],
    ['export { randomBytes } from "node:crypto"', "crypto.randomBytes"],
    ['import * as c from "node:crypto";c.randomInt(3)', "c.randomInt"],
    ['import process from "node:process";process.env', "process.env"],
    ['import { setTimeout as sleep } from "node:timers/promises"', "node:timers/promises"],
    ['import "timers"', "node:timers"],
    ['export * from "node:timers"', "node:timers"],
    ['await import("node:timers")', "node:timers"],
    ['require("node:timers")', "node:timers"],
    ['import { performance } from "node:perf_hooks"', "node:perf_hooks"],
  ])("finds %s", (code, what) => {
    expect(findDeterminismBreaks("planted.ts", `const first = 1;\n${code};\n`)).toContainEqual({
      line: 2,
      what,
    });
  });

  it.each([
    "new Date(0)",
    "Date.parse(text)",
    "value instanceof Date",
    "Math.max(1, 2)",
    "queueMicrotask(f)",
    "clock.setTimeout(f, 1)",
    "class Own { setTimeout() {} performance = 1 }",
    "const own = { setTimeout: 1 }",
    "type Timer = ReturnType<typeof setTimeout>",
    "let kept: WeakRef<object> | Date | undefined",
    'import type { performance } from "node:perf_hooks"',
    'import { createHash } from "node:crypto"',
    'import * as c from "node:crypto";c.createHash("sha256")',
    'import crypto from "node:crypto";crypto.createHash("sha256")',
    'const text = "Date.now()" // Math.random()',
    "AbortSignal.any([a, b])",
    "process.cwd()",
  ])("lets %s pass", (code) => {
    expect(findDeterminismBreaks("clean.ts", `${code};\n`)).toEqual([]);
  });
});

describe("a folder that is checked", () => {
  let folder: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "holdfast-determinism-"));
    await mkdir(join(folder, "clock"));
    await mkdir(join(folder, "entity"));
    await writeFile(join(folder, "clock/real.ts"), "export const now = (): number => Date.now();\n");
    await writeFile(join(folder, "entity/clean.ts"), "export const one = 1;\n");
  });

  afterEach(() => rm(folder, { recursive: true }));

  it("passes where only its folder clock reads the time", async () => {
    expect(checkDeterminism(folder)).toEqual({ files: 1, breaks: [] });
    await expect(promisify(execFile)(process.execPath, [script, folder])).resolves.toMatchObject({
      stdout: "Determinism: 1 files, 0 breaks.\n",
    });
  });

  it("fails with file and line where another reads it", async () => {
    await writeFile(join(folder, "entity/planted.ts"), "// One line.\nexport const at = Date.now();\n");
    await expect(promisify(execFile)(process.execPath, [script, folder])).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining("entity/planted.ts:2: Date.now"),
    });
  });
});
