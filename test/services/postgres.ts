// PostgreSQL for tests and examples: given by TEST_POSTGRES_URL, else a program of this machine in a temporary folder, else
// a container, else Debian's package where this is root on Debian.

import { readFile } from "node:fs/promises";
import { findService, installDebianPackage } from "./find-service.ts";
import { freePort } from "./free-port.ts";
import {
  debianPostgresFolders,
  findProgram,
  removeFolder,
  run,
  serviceFolder,
  startProgram,
  type Service,
  type StartedProgram,
} from "./programs.ts";

export type { Service } from "./programs.ts";

/** A server that tests may use, and break if it is theirs. */
export interface PostgresService extends Service {
  /** Null: the server was not started here as a program, so it is not ours to break. */
  readonly control: PostgresControl | null;
}

/** Breaks a server and brings it back, on the same port and data folder. */
export interface PostgresControl {
  /** Sends a signal to the server's first process. Resolves once it is gone, or at once for SIGSTOP and SIGCONT. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Starts a server that was killed. Resolves once it accepts connections. Does nothing while it runs. */
  start(): Promise<void>;
  /**
   * Stops the server and starts it again. Resolves once it accepts connections.
   *
   * `fast` rolls back what is open and writes everything down; `immediate` is a crash, after which it recovers.
   */
  restart(how: { mode: "fast" | "immediate" }): Promise<void>;
}

export interface PostgresOptions {
  /** Whether each commit waits for the disk. Default false: tests need none of it. */
  readonly durable?: boolean;
}

/**
 * A server that tests may break: always a program of this machine, whatever TEST_POSTGRES_URL says.
 *
 * @throws {Error} there is no such program
 */
export async function startOwnPostgres(
  options: PostgresOptions = {},
): Promise<PostgresService & { readonly control: PostgresControl }> {
  return fromProgram(options);
}

/** @throws {Error} no way worked; says what was tried and why each failed */
export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresService> {
  return findService<PostgresService>(
    { what: "PostgreSQL", variable: "TEST_POSTGRES_URL", installed: "PostgreSQL" },
    {
      fromProgram: () => fromProgram(options),
      fromContainer,
      fromDebian: () => fromDebian(options),
    },
  );
}

async function fromProgram({
  durable = false,
}: PostgresOptions): Promise<PostgresService & { readonly control: PostgresControl }> {
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
    const start = (): Promise<StartedProgram> =>
      startProgram(postgres, ["-D", data, "-p", String(port), "-h", "127.0.0.1", "-k", "", ...settings], {
        cwd: folder,
        ready: /ready to accept connections/u,
        ...owner,
      });
    const server = new Server(await start(), start, data);
    return {
      url: `postgres://postgres@127.0.0.1:${port}/postgres`,
      how: postgres,
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

async function fromContainer(): Promise<PostgresService> {
  const { GenericContainer, Wait } = await import("testcontainers");
  const container = await new GenericContainer("postgres:16-alpine")
    .withEnvironment({ POSTGRES_HOST_AUTH_METHOD: "trust" })
    .withExposedPorts(5432)
    .withWaitStrategy(Wait.forLogMessage(/ready to accept connections/u, 2))
    .start();
  return {
    url: `postgres://postgres@${container.getHost()}:${container.getMappedPort(5432)}/postgres`,
    how: "a container",
    control: null,
    stop: async () => void (await container.stop()),
  };
}

async function fromDebian(options: PostgresOptions): Promise<PostgresService> {
  await installDebianPackage("postgresql");
  return fromProgram(options);
}

/** A server that was started here. Its first process is the watchdog's child, so signals go by the number in its data folder. */
class Server implements PostgresControl {
  readonly #start: () => Promise<StartedProgram>;
  readonly #data: string;
  #program: StartedProgram;

  constructor(program: StartedProgram, start: () => Promise<StartedProgram>, data: string) {
    this.#program = program;
    this.#start = start;
    this.#data = data;
  }

  async kill(signal: NodeJS.Signals): Promise<void> {
    const [first = ""] = (await readFile(`${this.#data}/postmaster.pid`, "utf8")).split("\n");
    process.kill(Number(first), signal);
    if (signal !== "SIGSTOP" && signal !== "SIGCONT") await this.#gone();
  }

  async start(): Promise<void> {
    if (!this.#isGone()) return;
    for (let attempt = 1; ; attempt += 1) {
      try {
        this.#program = await this.#start();
        return;
      } catch (error) {
        // After a SIGKILL the old server's other processes take a moment to find out, and until then no new one starts.
        if (attempt === 50) throw error;
      }
    }
  }

  async restart({ mode }: { mode: "fast" | "immediate" }): Promise<void> {
    if (!this.#isGone()) await this.kill(mode === "fast" ? "SIGINT" : "SIGQUIT");
    await this.start();
  }

  async end(): Promise<void> {
    if (this.#isGone()) return;
    // A stopped process hears no other signal.
    await this.kill("SIGCONT").catch(() => undefined);
    await this.#program.stop("SIGINT");
  }

  #isGone(): boolean {
    const { exitCode, signalCode } = this.#program.child;
    return exitCode !== null || signalCode !== null;
  }

  async #gone(): Promise<void> {
    if (this.#isGone()) return;
    await new Promise<void>((resolve) => this.#program.child.once("exit", () => resolve()));
  }
}

/** PostgreSQL does not run as root: there it runs as the user that its package makes, else as nobody. */
export async function unprivilegedUser(): Promise<{ uid: number; gid: number } | undefined> {
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
