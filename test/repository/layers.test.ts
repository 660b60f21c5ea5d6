import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const root = join(import.meta.dirname, "../..");
const hook = join(root, "tools/layers/typescript-6.ts");
const cruiser = join(root, "node_modules/dependency-cruiser/bin/dependency-cruise.mjs");
const config = join(root, ".dependency-cruiser.cjs");

/** As `npm run lint:layers` does it, in a folder that is laid out as the repository is. */
async function checkLayers(folder: string): Promise<string> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["--import", hook, cruiser, "--config", config, "--output-type", "err", "packages"],
    { cwd: folder },
  );
  return stdout;
}

const CLEAN = {
  "packages/core/src/index.ts": 'export { createCluster } from "./cluster/create-cluster.ts";',
  "packages/core/src/adapter.ts": 'export type { Epoch } from "./data/epoch.ts";',
  "packages/core/src/internal.ts": 'export { Mailbox } from "./entity/mailbox.ts";',
  "packages/core/src/data/epoch.ts": "export type Epoch = number;\nexport const FIRST: Epoch = 1;",
  "packages/core/src/errors/storage.ts":
    'import type { Epoch } from "../data/epoch.ts";\nexport class Fenced extends Error { epoch: Epoch = 1; }',
  "packages/core/src/entity/mailbox.ts":
    'import { FIRST } from "../data/epoch.ts";\nexport class Mailbox { async first(): Promise<number> { await using _held = null; return FIRST; } }',
  "packages/core/src/cluster/create-cluster.ts":
    'import { Mailbox } from "../entity/mailbox.ts";\nexport const createCluster = (): Mailbox => new Mailbox();',
  "packages/storage-one/src/index.ts": 'export type { Epoch } from "@holdfast/core/adapter";',
  "packages/storage-one/test/one.test.ts":
    'import "@holdfast/testing";\nimport "@holdfast/core";\nimport "../src/index.ts";',
  "packages/runners-two/src/index.ts": "export const two = 2;",
  "packages/testing/src/index.ts": 'export { Mailbox } from "@holdfast/core/internal";',
};

describe("the check of layers", () => {
  let folder: string;

  async function write(path: string, source: string): Promise<void> {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), `${source}\n`);
  }

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "holdfast-layers-"));
    for (const [path, source] of Object.entries(CLEAN)) await write(path, source);
  });

  afterEach(() => rm(folder, { recursive: true }));

  it("passes where each room imports from those before it", async () => {
    await expect(checkLayers(folder)).resolves.toMatch(/no dependency violations found \(1[0-9] modules/u);
  });

  it.each([
    ["a later room", "room-data", "packages/core/src/data/a.ts", 'import "../entity/mailbox.ts";'],
    [
      "a type of a later room",
      "room-contract",
      "packages/core/src/contract/a.ts",
      'import type { Mailbox } from "../entity/mailbox.ts";\nexport type A = Mailbox;',
    ],
    [
      "an inline type of a later room",
      "room-clock",
      "packages/core/src/clock/a.ts",
      'export type A = import("../entity/mailbox.ts").Mailbox;',
    ],
    [
      "a later room when asked",
      "room-define",
      "packages/core/src/define/a.ts",
      'export const a = () => import("../cluster/create-cluster.ts");',
    ],
    [
      "a value of data in errors",
      "room-errors-takes-types-alone",
      "packages/core/src/errors/a.ts",
      'import { FIRST } from "../data/epoch.ts";\nexport const a = FIRST;',
    ],
    [
      "anything in a room that is not in the list",
      "room-unknown",
      "packages/core/src/utils/a.ts",
      'import "../data/epoch.ts";',
    ],
    [
      "the door from inside",
      "rooms-not-through-the-door",
      "packages/core/src/cluster/a.ts",
      'import "../internal.ts";',
    ],
    [
      "the package from inside",
      "rooms-not-through-the-door",
      "packages/core/src/cluster/a.ts",
      'import "@holdfast/core";',
    ],
    ["an adapter in core", "core-alone", "packages/core/src/cluster/a.ts", 'import "@holdfast/storage-one";'],
    [
      "testing in core's tests",
      "core-alone",
      "packages/core/src/cluster/a.test.ts",
      'import "../../../testing/src/index.ts";',
    ],
    [
      "users' core in an adapter",
      "adapter-by-its-door",
      "packages/storage-one/src/a.ts",
      'import "@holdfast/core";',
    ],
    [
      "a file of core in an adapter",
      "adapter-by-its-door",
      "packages/storage-one/src/a.ts",
      'import "../../core/src/data/epoch.ts";',
    ],
    [
      "testing in an adapter's source",
      "adapter-by-its-door",
      "packages/storage-one/src/a.ts",
      'import "@holdfast/testing";',
    ],
    [
      "another adapter",
      "adapters-apart",
      "packages/storage-one/test/a.test.ts",
      'import "@holdfast/runners-two";',
    ],
    [
      "a file of another adapter",
      "adapters-apart",
      "packages/storage-one/test/a.test.ts",
      'import "../../runners-two/src/index.ts";',
    ],
    [
      "core's internals",
      "internal-for-testing",
      "packages/storage-one/test/a.test.ts",
      'import "@holdfast/core/internal";',
    ],
    [
      "a file that imports it",
      "no-circles",
      "packages/core/src/data/epoch.ts",
      'export type { A } from "./a.ts";',
    ],
  ])("refuses %s", async (_what, rule, path, source) => {
    await write("packages/core/src/data/a.ts", 'export type A = import("./epoch.ts").Epoch;');
    await write(path, source);
    await expect(checkLayers(folder)).rejects.toMatchObject({
      stdout: expect.stringContaining(`error ${rule}:`),
    });
  });
});
