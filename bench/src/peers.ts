// Peers: which of them take part, and their packages, which nobody else installs.

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { PEERS, PEERS_FOLDER, type ContestantName } from "./roster.ts";

const run = promisify(execFile);

/** @param given names with commas between, `"none"`, or nothing for all. @throws {RangeError} a name is no peer's */
export function peersNamed(given: string | undefined): readonly ContestantName[] {
  if (given === undefined) return PEERS;
  if (given === "none") return [];
  const asked = given.split(",");
  for (const name of asked) {
    if (!PEERS.some((peer) => peer === name))
      throw new RangeError(`There is no peer "${name}". There are: ${PEERS.join(", ")}; or give "none".`);
  }
  // Whoever asks for a product means it in memory, too.
  return PEERS.filter((peer) => asked.includes(peer) || asked.includes(peer.replace(/-memory$/u, "")));
}

/** What is installed of them, for the report. */
export async function peerVersions(): Promise<string> {
  const text = await readFile(new URL("package.json", PEERS_FOLDER), "utf8");
  const { dependencies = {} } = JSON.parse(text) as {
    readonly dependencies?: Readonly<Record<string, string>>;
  };
  return Object.entries(dependencies)
    .map(([name, version]) => `${name} ${version}`)
    .join(", ");
}

/** Installs what the peers need, if it is not there. @throws {Error} it could not */
export async function installPeers(say: (text: string) => void): Promise<void> {
  const folder = fileURLToPath(PEERS_FOLDER);
  if (!existsSync(`${folder}package.json`)) throw new Error(`there is no ${folder}package.json`);
  // npm writes it last: an install that was interrupted has none.
  if (existsSync(`${folder}node_modules/.package-lock.json`)) return;
  say(`npm ci in ${folder}: the peers' packages are not there. "--peers none" does without.`);
  await run("npm", ["ci", "--no-audit", "--no-fund"], { cwd: folder, maxBuffer: 16 * 1_048_576 });
}
