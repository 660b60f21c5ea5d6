import { PGlite } from "@electric-sql/pglite";
import type { Database } from "./database.ts";

/** Opens PGlite in a folder. What it committed is there again after a crash of the process. */
export async function openFolder(folder: string): Promise<{ instance: PGlite; database: Database }> {
  const instance = await PGlite.create({ dataDir: folder, relaxedDurability: false });
  return { instance, database: { query: (text, params = []) => instance.query(text, [...params]) } };
}
