import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { findAmbientUses } from "../../scripts/lib/determinism.ts";

const planted = [
  "const at = Date.now();",
  "const at = new Date();",
  "const at = Date();",
  "setTimeout(() => 1, 5);",
  "globalThis.setTimeout(() => 1, 5);",
  "setInterval(() => 1, 5);",
  "setImmediate(() => 1);",
  "const x = Math.random();",
  'const x = Math["random"]();',
  "const x = crypto.randomUUID();",
  "const x = globalThis.crypto.getRandomValues(new Uint8Array(1));",
  'import { randomBytes } from "node:crypto";',
  "const x = performance.now();",
  "const x = process.hrtime.bigint();",
  'const x = process.env["HOME"];',
  "const x = AbortSignal.timeout(5);",
  'import { setTimeout as wait } from "node:timers/promises";',
  "const x = new WeakRef({});",
  "const at = new Date(...given);",
  "const { now } = Date;",
  "const wait = setTimeout;",
  "const timers = { setTimeout };",
  "const wait = promisify(setTimeout);",
  "const { setTimeout: wait } = globalThis;",
  "const { random } = Math;",
  "const measure = performance;",
  "const Weak = WeakRef;",
  'export { randomBytes } from "node:crypto";',
  'import * as c from "node:crypto"; c.randomInt(3);',
  'import c from "node:crypto"; c.randomUUID();',
  'import { env } from "node:process";',
  'import p from "node:process"; p.env;',
  'const timers = await import("node:timers");',
  'export * from "node:timers";',
];

describe("the determinism rule", () => {
  it.each(planted)("finds %s", (source) => {
    expect(findAmbientUses("planted.ts", source)).not.toEqual([]);
  });

  it.each([
    "const at = new Date(0);",
    "clock.setTimer(5, () => 1);",
    "const x = random.next();",
    'import { createHash } from "node:crypto";',
    'import * as c from "node:crypto"; c.createHash("sha256");',
    "const isDate = (x: unknown): boolean => x instanceof Date;",
    "let timer: ReturnType<typeof setTimeout> | WeakRef<object>;",
    "class Own { setTimeout(): void {} performance = 1 }",
    "// Date.now() in a comment",
    'const text = "Math.random()";',
  ])("lets %s pass", (source) => {
    expect(findAmbientUses("clean.ts", source)).toEqual([]);
  });

  it("fails the check of the repository on a planted violation, and names its place", () => {
    const folder = mkdtempSync(join(tmpdir(), "holdfast-determinism-"));
    try {
      cpSync("scripts", join(folder, "scripts"), { recursive: true });
      symlinkSync(resolve("node_modules"), join(folder, "node_modules"));
      mkdirSync(join(folder, "packages/core/src/entity"), { recursive: true });
      writeFileSync(join(folder, "packages/core/src/entity/clean.ts"), "export const x: number = 1;\n");
      const check = (): string =>
        execFileSync(process.execPath, ["scripts/check-determinism.ts"], {
          cwd: folder,
          stdio: "pipe",
        }).toString();
      expect(check()).toContain("none reads the surroundings");
      writeFileSync(
        join(folder, "packages/core/src/entity/planted.ts"),
        "export const x: number = 1;\nexport const at: number = Date.now();\n",
      );
      expect(check).toThrow(/planted\.ts:2: Date\.now/u);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
