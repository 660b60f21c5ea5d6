import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, it, onTestFinished } from "vitest";
import { createCluster } from "../cluster/create-cluster.ts";
import type { Logger } from "../contract/logger.ts";

/** What a cluster warns of as it is made. */
async function warnings(): Promise<readonly string[]> {
  const lines: string[] = [];
  const skip = (): void => undefined;
  const logger: Logger = { debug: skip, info: skip, warn: (line) => void lines.push(line), error: skip };
  await createCluster({ logger });
  return lines;
}

it("warns of a second copy of the library in the process, and of none where it is loaded once", async () => {
  expect(await warnings()).toEqual([]);
  // As an adapter does that was installed with a copy of its own.
  const folder = await mkdtemp(join(tmpdir(), "holdfast-copy-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  await cp(import.meta.dirname, folder, { recursive: true });
  await import(/* @vite-ignore */ pathToFileURL(join(folder, "holdfast-error.ts")).href);
  const [warning, ...others] = await warnings();
  expect(warning).toContain("loaded 2 copies of @holdfast/core");
  expect(warning).toContain(folder);
  expect(others).toEqual([]);
});
