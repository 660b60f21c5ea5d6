import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

/** Checks a small tree of its own with the repository's rules. */
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "holdfast-layers-"));
  cpSync(".dependency-cruiser.cjs", join(folder, ".dependency-cruiser.cjs"));
  symlinkSync(resolve("node_modules"), join(folder, "node_modules"));
  write("packages/core/src/data/epoch.ts", "export type Epoch = number;\n");
  write(
    "packages/core/src/errors/storage.ts",
    'import type { Epoch } from "../data/epoch.ts";\nexport type E = Epoch;\n',
  );
  write("packages/core/src/adapter.ts", 'export type { Epoch } from "./data/epoch.ts";\n');
  write(
    "packages/storage-x/src/index.ts",
    'import type { Epoch } from "../../core/src/adapter.ts";\nexport type E = Epoch;\n',
  );
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("the rule of the layers", () => {
  it("lets a clean tree pass", () => {
    expect(cruise()).toContain("no dependency violations found (4 modules");
  });

  it("reads what the compiler reads", () => {
    write(
      "packages/core/src/cluster/held.ts",
      "export async function held(): Promise<void> {\n  await using _lock = null;\n}\n",
    );
    expect(cruise()).toContain("no dependency violations found (5 modules");
  });

  it.each([
    [
      "a value from a later room",
      "packages/core/src/data/planted.ts",
      'export { x } from "../cluster/x.ts";',
      "room-data",
    ],
    [
      "a type from a later room",
      "packages/core/src/data/planted.ts",
      'import type { x } from "../cluster/x.ts";\nexport type X = typeof x;',
      "room-data",
    ],
    [
      "a type written inline",
      "packages/core/src/data/planted.ts",
      'export type X = typeof import("../cluster/x.ts");',
      "room-data",
    ],
    [
      "a value of data in errors",
      "packages/core/src/errors/planted.ts",
      'export { first } from "../data/first.ts";',
      "room-errors-takes-types",
    ],
    [
      "a room that is not in the list",
      "packages/core/src/utils/planted.ts",
      'export * from "../data/first.ts";',
      "room-unknown",
    ],
    [
      "another adapter in an adapter's test",
      "packages/storage-x/test/planted.test.ts",
      'import "../../storage-y/src/index.ts";',
      "adapters-stand-apart",
    ],
    [
      "the barrel from inside",
      "packages/core/src/entity/planted.ts",
      'export * from "../adapter.ts";',
      "room-entity",
    ],
    [
      "a socket in core",
      "packages/core/src/entity/planted.ts",
      'export * from "node:net";',
      "core-stands-alone",
    ],
    [
      "a database client in core",
      "packages/core/src/entity/planted.ts",
      'export * from "pg";',
      "core-stands-alone",
    ],
    [
      "core's inside in an adapter",
      "packages/storage-x/src/planted.ts",
      'export * from "../../core/src/cluster/x.ts";',
      "adapters-import-the-adapter-entry-only",
    ],
    [
      "another adapter in an adapter",
      "packages/storage-x/src/planted.ts",
      'export * from "../../storage-y/src/index.ts";',
      "adapters-stand-apart",
    ],
    [
      "what does not exist",
      "packages/storage-x/src/planted.ts",
      'export * from "./nowhere.ts";',
      "resolvable",
    ],
  ])("finds %s", (_what, path, source, rule) => {
    write("packages/core/src/data/first.ts", "export const first: number = 1;\n");
    write("packages/core/src/cluster/x.ts", "export const x: number = 1;\n");
    write("packages/storage-y/src/index.ts", "export const y: number = 1;\n");
    write(path, `${source}\n`);
    expect(cruise).toThrow(new RegExp(`error ${rule}`, "u"));
  });

  it("finds a circle of types", () => {
    write("packages/core/src/data/a.ts", 'import type { B } from "./b.ts";\nexport interface A { b: B }\n');
    write("packages/core/src/data/b.ts", 'import type { A } from "./a.ts";\nexport interface B { a: A }\n');
    expect(cruise).toThrow(/error no-circles/u);
  });
});

function write(path: string, text: string): void {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), text);
}

/** @throws the output in its message, where a rule is broken */
function cruise(): string {
  const program = "node_modules/dependency-cruiser/bin/dependency-cruise.mjs";
  try {
    return execFileSync(
      process.execPath,
      [
        "--import",
        resolve("tools/layers/typescript-6.ts"),
        program,
        "--config",
        ".dependency-cruiser.cjs",
        "packages",
      ],
      { cwd: folder, stdio: "pipe" },
    ).toString();
  } catch (error) {
    throw new Error(String((error as { stdout?: Buffer }).stdout), { cause: error });
  }
}
