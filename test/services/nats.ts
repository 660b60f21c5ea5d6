// NATS for tests and examples: given by TEST_NATS_URL, else a program of this machine, else a container, else Debian's
// package where this is root on Debian.

import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { BreakableProgram, type ProgramControl } from "./breakable.ts";
import {
  findProgram,
  freePort,
  removeFolder,
  run,
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
  const given = process.env["TEST_NATS_URL"];
  if (given !== undefined && given !== "") {
    return { url: given, how: "TEST_NATS_URL", control: null, stop: () => Promise.resolve() };
  }
  const failures: string[] = [];
  for (const way of [fromProgram, fromContainer, fromDebian]) {
    try {
      return await way();
    } catch (error) {
      failures.push(`${way.name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  throw new Error(
    `No NATS was found. Set TEST_NATS_URL, or install nats-server or Docker. Tried:\n  ${failures.join("\n  ")}`,
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

function fromProgram(): Promise<NatsService> {
  return startOwnNats();
}

async function fromContainer(): Promise<NatsService> {
  const { GenericContainer, Wait } = await import("testcontainers");
  const container = await new GenericContainer("nats:2.10")
    .withExposedPorts(4222)
    .withWaitStrategy(Wait.forLogMessage(READY))
    .start();
  return {
    url: `nats://${container.getHost()}:${container.getMappedPort(4222)}`,
    how: "a container",
    control: null,
    stop: async () => void (await container.stop()),
  };
}

async function fromDebian(): Promise<NatsService> {
  if (process.getuid?.() !== 0 || !existsSync("/etc/debian_version"))
    throw new Error("this is not root on Debian");
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  await run("apt-get", ["update", "-qq"], { env });
  await run("apt-get", ["install", "-y", "-qq", "--no-install-recommends", "nats-server"], { env });
  return startOwnNats();
}
