// PGlite's folder belongs to one process. Two at once would write over each other's pages, and PGlite itself does not look.
//
// A file beside the folder's own says who has it open: a process id, and when that process began, since ids come again. A
// process that was killed leaves the file behind, and nobody of that id and age lives: the next one takes it over.

import { link, mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { ConfigError } from "@holdfast/core/adapter";

/** Takes a folder for this process. Resolves to what gives it back. @throws {ConfigError} a live process has it open */
export async function takeFolder(dataDir: string): Promise<() => Promise<void>> {
  const folder = resolve(dataDir);
  const file = `${folder}.lock`;
  await mkdir(dirname(folder), { recursive: true });
  const own = await describeProcess(process.pid);
  for (;;) {
    try {
      const handle = await open(file, "wx");
      await handle.writeFile(own);
      await handle.close();
      return () => rm(file, { force: true });
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
    }
    const holder = await readFile(file, "utf8").catch(() => null);
    if (holder === null) continue;
    if (await isAlive(holder)) {
      throw new ConfigError({
        option: "dataDir",
        got: dataDir,
        takes: "a folder that no other process has open",
        hint: `Process ${holder.split(" ")[0] ?? ""} holds ${file}. PGlite serves one process; several need a PostgreSQL server.`,
      });
    }
    // Moved away by one process alone, and put back if another one took the folder since it was looked at.
    const stale = `${file}.${process.pid}`;
    try {
      await rename(file, stale);
    } catch {
      continue;
    }
    if ((await readFile(stale, "utf8")) !== holder) await link(stale, file).catch(() => undefined);
    await rm(stale, { force: true });
  }
}

async function isAlive(holder: string): Promise<boolean> {
  const pid = Number(holder.split(" ")[0]);
  // An empty or torn file was left by a process that died while it wrote it.
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (
      error instanceof Error &&
      "code" in error &&
      error.code === "EPERM" &&
      (await describeProcess(pid)) === holder
    );
  }
  return (await describeProcess(pid)) === holder;
}

/** A process's id and, where the system tells, when it began. */
async function describeProcess(pid: number): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => null);
  // The name may hold spaces and brackets: what follows the last bracket is fields 3 and up; the start is field 22.
  const startedAt = stat?.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  return startedAt === undefined ? String(pid) : `${pid} ${startedAt}`;
}
