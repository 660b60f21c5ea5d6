// NATS for tests and examples: given by TEST_NATS_URL, else a program of this machine, else a container, else Debian's
// package where this is root on Debian.

import { writeFile } from "node:fs/promises";
import { BreakableProgram, type ProgramControl } from "./breakable.ts";
import { findService, installDebianPackage, startContainer, type ForeignService } from "./find-service.ts";
import { freePort } from "./free-port.ts";
import {
  findProgram,
  removeFolder,
  serviceFolder,
  startProgram,
  type Service,
  type StartedProgram,
} from "./programs.ts";

const READY = /Server is ready/u;
/** Debian keeps it off the PATH of users. */
const FOLDERS = ["/usr/sbin"] as const;

/** A NATS server that tests may use, and break if it is theirs. */
export interface NatsService extends Service {
  /** Null: it was not started here as a program, so it is not ours to break. */
  readonly control: ProgramControl | null;
}

/** @throws {Error} no way worked; says what was tried and why each failed */
export async function startNats(): Promise<NatsService> {
  return findService(
    { what: "NATS", variable: "TEST_NATS_URL", installed: "nats-server" },
    { fromProgram: () => startOwnNats(), fromContainer, fromDebian },
  );
}

/**
 * A NATS server that tests may break: always a program of this machine, whatever TEST_NATS_URL says.
 *
 * @param config lines for its configuration file, as for TLS and users
 * @throws {Error} there is no such program
 */
export async function startOwnNats({ config = "" }: { readonly config?: string } = {}): Promise<
  NatsService & { readonly control: ProgramControl; readonly monitorUrl: string }
> {
  const program = findProgram("nats-server", FOLDERS);
  if (program === undefined) throw new Error("there is no program nats-server");
  const folder = await serviceFolder("nats");
  try {
    const [port, monitorPort] = [await freePort(), await freePort()];
    await writeFile(`${folder}/nats.conf`, config);
    const args = ["-c", `${folder}/nats.conf`, "-a", "127.0.0.1", "-p", `${port}`, "-m", `${monitorPort}`];
    const start = (): Promise<StartedProgram> => startProgram(program, args, { cwd: folder, ready: READY });
    const server = await BreakableProgram.begin(start);
    return {
      url: `nats://127.0.0.1:${port}`,
      monitorUrl: `http://127.0.0.1:${monitorPort}`,
      how: program,
      control: server,
      async stop() {
        await server.end();
        await removeFolder(folder);
      },
    };
  } catch (error) {
    await removeFolder(folder);
    throw error;
  }
}

function fromContainer(): Promise<ForeignService> {
  return startContainer("nats", { image: "nats:2.10", port: 4222, ready: READY });
}

async function fromDebian(): Promise<NatsService> {
  await installDebianPackage("nats-server");
  return startOwnNats();
}
