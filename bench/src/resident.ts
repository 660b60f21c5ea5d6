// Resident: how much memory a process with an idle runner on PostgreSQL has, beside a bare one.

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { startPostgres } from "../../test/services/postgres.ts";
import { packagesToRun } from "./built.ts";
import { median } from "./statistics.ts";

const run = promisify(execFile);
const PROGRAM = fileURLToPath(new URL("idle-process.ts", import.meta.url));

export async function residentOfIdleRunner(
  runs: number,
): Promise<{ residentAboveNode: number; residentOf: string }> {
  const { what, conditions } = packagesToRun(["core", "storage-postgres"]);
  const server = await startPostgres();
  try {
    const above: number[] = [];
    for (let time = 0; time < runs; time += 1)
      above.push((await residentSize(conditions, server.url)) - (await residentSize(conditions)));
    return { residentAboveNode: median(above), residentOf: what };
  } finally {
    await server.stop();
  }
}

/** @param url of the storage of a runner; left out, the process is a bare one */
async function residentSize(conditions: readonly string[], url = ""): Promise<number> {
  const { stdout } = await run(process.execPath, [...conditions, "--expose-gc", PROGRAM, url]);
  return Number(stdout);
}
