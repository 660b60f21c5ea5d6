import { readFile } from "node:fs/promises";

/** Whether the process runs. One that ended and that nobody has asked for its exit code does not. */
export async function isAlive(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  return !/\) Z /u.test(stat);
}
