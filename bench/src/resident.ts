// Resident: how much memory a process with an idle runner on PostgreSQL has, beside a bare one.

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { startPostgres } from "../../test/services/postgres.ts";
import { median } from "./statistics.ts";

const run = promisify(execFile);
const PROGRAM = fileURLToPath(new URL("idle-process.ts", import.meta.url));

/** As built, if it is: sources bring the stripping of types along, which no user has. */
export async function residentOfIdleRunner(
  runs: number,
): Promise<{ residentAboveNode: number; residentOf: string }> {
  const isBuilt = ["core", "storage-postgres"].every((name) =>
    existsSync(new URL(`../../packages/${name}/dist/index.js`, import.meta.url)),
  );
  const conditions = isBuilt ? [] : ["--conditions=@holdfast/source"];
  const server = await startPostgres();
  try {
    const above: number[] = [];
    for (let time = 0; time < runs; time += 1)
      above.push((await residentSize(conditions, server.url)) - (await residentSize(conditions)));
    return { residentAboveNode: median(above), residentOf: isBuilt ? "the built packages" : "the sources" };
  } finally {
    await server.stop();
  }
}

/** @param url of the storage of a runner; left out, the process is a bare one */
async function residentSize(conditions: readonly string[], url = ""): Promise<number> {
  const { stdout } = await run(process.execPath, [...conditions, "--expose-gc", PROGRAM, url]);
  return Number(stdout);
}
