// PGlite takes seconds to initialise a database, and a fifth of that to load one that was initialised before.

import { randomUUID } from "node:crypto";
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { inject } from "vitest";

/** A new database in memory. The first of a run of all tests is initialised; the others begin as a copy of it. */
export async function freshPGlite(): Promise<PGlite> {
  const image = join(inject("scratch"), "pglite.tar");
  const saved = await readFile(image).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw error;
  });
  if (saved !== null) return await PGlite.create({ loadDataDir: new Blob([saved]) });
  const instance = await PGlite.create();
  const own = `${image}.${randomUUID()}`;
  await writeFile(own, Buffer.from(await (await instance.dumpDataDir("none")).arrayBuffer()));
  // Another process may have been first: both are whole.
  await rename(own, image);
  return instance;
}
