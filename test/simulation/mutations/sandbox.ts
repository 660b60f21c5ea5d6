// Sandbox: a copy of the sources that a simulation needs, in a folder of its own, with a bug planted in it or without.
//
//   B1  Within it, @holdfast/core and @holdfast/testing are the copies; all other packages are those of the repository.
//   B2  What others edit in the repository meanwhile is not in it: copies with bugs are made of one copy without.

import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { PlantedBug } from "./planted-bug.ts";

const REPOSITORY = resolve(import.meta.dirname, "../../..");
const COPIED = ["package.json", "packages/core", "packages/testing", "test/simulation"];
const OWN_PACKAGES = ["core", "testing"];

/** Resolves to the folder of a copy without a bug. */
export async function copyOfRepository(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "holdfast-mutations-"));
  await copyFrom(REPOSITORY, folder);
  return folder;
}

/** Resolves to the folder of a copy of a copy, with the bug in it. @throws {Error} its place is not there once */
export async function copyWithBug(original: string, bug: PlantedBug): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "holdfast-mutant-"));
  await copyFrom(original, folder);
  const file = join(folder, "packages/core/src", bug.file);
  await writeFile(file, plant(await readFile(file, "utf8"), bug));
  return folder;
}

export async function removeCopy(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
}

/** The source with the bug in it. @throws {Error} its place is not there once */
export function plant(source: string, { name, file, find, replace }: PlantedBug): string {
  const parts = source.split(find);
  if (parts.length !== 2) {
    throw new Error(
      `"${name}" cannot be planted: ${file} has its place ${parts.length - 1} times. Write it anew for the sources as they are.`,
    );
  }
  return parts.join(replace);
}

async function copyFrom(source: string, folder: string): Promise<void> {
  for (const part of COPIED) {
    await cp(join(source, part), join(folder, part), {
      recursive: true,
      filter: (path) => !/[\\/](?:node_modules|dist|\.turbo)$|\.test(?:-d)?\.ts$/.test(path),
    });
  }
  const modules = join(folder, "node_modules");
  await mkdir(join(modules, "@holdfast"), { recursive: true });
  for (const name of await readdir(join(REPOSITORY, "node_modules"))) {
    if (name !== "@holdfast" && !name.startsWith("."))
      await symlink(join(REPOSITORY, "node_modules", name), join(modules, name));
  }
  // Node resolves links first, so the copies are in no node_modules, where it strips no types.
  for (const name of OWN_PACKAGES)
    await symlink(join(folder, "packages", name), join(modules, "@holdfast", name));
}
