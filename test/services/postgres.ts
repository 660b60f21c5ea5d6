// PostgreSQL for tests and examples: given by TEST_POSTGRES_URL, else a program of this machine in a temporary folder, else
// a container, else Debian's package where this is root on Debian.

import { existsSync } from "node:fs";
import {
  debianPostgresFolders,
  findProgram,
  freePort,
  removeFolder,
  run,
  serviceFolder,
  startProgram,
  type Service,
} from "./programs.ts";

export type { Service } from "./programs.ts";

export interface PostgresOptions {
  /** Whether each commit waits for the disk. Default false: tests need none of it. */
  readonly durable?: boolean;
}

/** @throws {Error} no way worked; says what was tried and why each failed */
export async function startPostgres(options: PostgresOptions = {}): Promise<Service> {
  const given = process.env["TEST_POSTGRES_URL"];
  if (given !== undefined && given !== "") {
    return { url: given, how: "TEST_POSTGRES_URL", stop: () => Promise.resolve() };
  }
  const failures: string[] = [];
  for (const way of [fromProgram, fromContainer, fromDebian]) {
    try {
      return await way(options);
    } catch (error) {
      failures.push(`${way.name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  throw new Error(
    `No PostgreSQL was found. Set TEST_POSTGRES_URL, or install PostgreSQL or Docker. Tried:\n  ${failures.join("\n  ")}`,
  );
}

async function fromProgram({ durable = false }: PostgresOptions): Promise<Service> {
  const folders = debianPostgresFolders();
  const postgres = findProgram("postgres", folders);
  const initdb = findProgram("initdb", folders);
  if (postgres === undefined || initdb === undefined) throw new Error("there is no program postgres");
  const owner = await unprivilegedUser();
  const folder = await serviceFolder("postgres", owner);
  const data = `${folder}/data`;
  try {
    await run(
      initdb,
      ["-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
      { cwd: folder, ...owner },
    );
    const port = await freePort();
    const fast = durable ? [] : ["fsync=off", "synchronous_commit=off", "full_page_writes=off"];
    const settings = ["max_connections=200", ...fast].flatMap((each) => ["-c", each]);
    const program = await startProgram(
      postgres,
      ["-D", data, "-p", String(port), "-h", "127.0.0.1", "-k", "", ...settings],
      { cwd: folder, ready: /ready to accept connections/u, ...owner },
    );
    return {
      url: `postgres://postgres@127.0.0.1:${port}/postgres`,
      how: postgres,
      async stop() {
        await program.stop("SIGINT");
        await removeFolder(folder);
      },
    };
  } catch (error) {
    await removeFolder(folder);
    throw error;
  }
}

async function fromContainer(): Promise<Service> {
  const { GenericContainer, Wait } = await import("testcontainers");
  const container = await new GenericContainer("postgres:16-alpine")
    .withEnvironment({ POSTGRES_HOST_AUTH_METHOD: "trust" })
    .withExposedPorts(5432)
    .withWaitStrategy(Wait.forLogMessage(/ready to accept connections/u, 2))
    .start();
  return {
    url: `postgres://postgres@${container.getHost()}:${container.getMappedPort(5432)}/postgres`,
    how: "a container",
    stop: async () => void (await container.stop()),
  };
}

async function fromDebian(options: PostgresOptions): Promise<Service> {
  if (process.getuid?.() !== 0 || !existsSync("/etc/debian_version"))
    throw new Error("this is not root on Debian");
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  await run("apt-get", ["update", "-qq"], { env });
  await run("apt-get", ["install", "-y", "-qq", "--no-install-recommends", "postgresql"], { env });
  return fromProgram(options);
}

/** PostgreSQL does not run as root: there it runs as the user that its package makes, else as nobody. */
async function unprivilegedUser(): Promise<{ uid: number; gid: number } | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  for (const user of ["postgres", "nobody"]) {
    try {
      const [uid, gid] = await Promise.all([run("id", ["-u", user]), run("id", ["-g", user])]);
      return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
    } catch {
      // The next one.
    }
  }
  return undefined;
}
