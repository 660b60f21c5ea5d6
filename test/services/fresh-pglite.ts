// PGlite takes seconds to initialise a database, and a fifth of that to load one that was initialised before.

import { randomUUID } from "node:crypto";
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { inject } from "vitest";

/** A new database in memory. The first of a run of all tests is initialised; the others begin as a copy of it. */
export async function freshPGlite(): Promise<PGlite> {
  const saved = await savedImage();
  if (saved !== null) return await PGlite.create({ loadDataDir: saved });
  const instance = await PGlite.create();
  await saveImage(instance);
  return instance;
}

/** Makes a folder of a new database. */
export async function freshPGliteFolder(dataDir: string): Promise<void> {
  const saved = await savedImage();
  const instance = await PGlite.create({ dataDir, ...(saved === null ? {} : { loadDataDir: saved }) });
  if (saved === null) await saveImage(instance);
  await instance.close();
}

const imagePath = (): string => join(inject("scratch"), "pglite.tar");

/** Null: there is none yet. */
async function savedImage(): Promise<Blob | null> {
  try {
    return new Blob([await readFile(imagePath())]);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

async function saveImage(instance: PGlite): Promise<void> {
  const own = `${imagePath()}.${randomUUID()}`;
  await writeFile(own, Buffer.from(await (await instance.dumpDataDir("none")).arrayBuffer()));
  // Another process may have been first: both are whole.
  await rename(own, imagePath());
}
