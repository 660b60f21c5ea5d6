// PgBouncer before a PostgreSQL, for tests: in transaction mode given by TEST_PGBOUNCER_URL, else a program of this machine, else
// Debian's package where this is root on Debian.

import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { unprivilegedUser } from "./postgres.ts";
import { freePort } from "./free-port.ts";
import { findProgram, removeFolder, run, serviceFolder, startProgram, type Service } from "./programs.ts";

export interface PgBouncerOptions {
  /** Connections to the server. Default: 10. */
  readonly poolSize?: number;
  /** Default: `transaction`. */
  readonly mode?: "transaction" | "session";
  /** Whether it takes our settings of a session, and leaves them away, or refuses them. Default: in `session` mode. */
  readonly ignoresSettings?: boolean;
}

const OURS = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"];

/** @throws {Error} no way worked; says what was tried and why each failed */
export async function startPgBouncer(postgresUrl: string, options: PgBouncerOptions = {}): Promise<Service> {
  const given = process.env["TEST_PGBOUNCER_URL"];
  // That one is in transaction mode, and ignores nothing.
  if (given !== undefined && given !== "" && options.mode !== "session" && options.ignoresSettings !== true) {
    return { url: given, how: "TEST_PGBOUNCER_URL", stop: () => Promise.resolve() };
  }
  const failures: string[] = [];
  for (const way of [fromProgram, fromDebian]) {
    try {
      return await way(postgresUrl, options);
    } catch (error) {
      failures.push(`${way.name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  throw new Error(
    `No PgBouncer was found. Set TEST_PGBOUNCER_URL, or install PgBouncer. Tried:\n  ${failures.join("\n  ")}`,
  );
}

async function fromProgram(
  postgresUrl: string,
  { poolSize = 10, mode = "transaction", ignoresSettings = mode === "session" }: PgBouncerOptions,
): Promise<Service> {
  const program = findProgram("pgbouncer", ["/usr/sbin"]);
  if (program === undefined) throw new Error("there is no program pgbouncer");
  const owner = await unprivilegedUser();
  const folder = await serviceFolder("pgbouncer", owner);
  try {
    const port = await freePort();
    const { hostname, port: serverPort, username, password } = new URL(postgresUrl);
    const server = `host=${hostname} port=${serverPort === "" ? "5432" : serverPort} user=${username}`;
    const settings = [
      "[databases]",
      `* = ${server}${password === "" ? "" : ` password=${decodeURIComponent(password)}`}`,
      "[pgbouncer]",
      "listen_addr = 127.0.0.1",
      `listen_port = ${port}`,
      "unix_socket_dir =",
      "auth_type = any",
      `pool_mode = ${mode}`,
      `default_pool_size = ${poolSize}`,
      "max_client_conn = 500",
      // Seconds: how long it leaves a server alone that it could not reach.
      "server_login_retry = 0.2",
      ...(ignoresSettings ? [`ignore_startup_parameters = ${OURS.join(", ")}`] : []),
    ];
    const file = `${folder}/pgbouncer.ini`;
    await writeFile(file, `${settings.join("\n")}\n`, { mode: 0o644 });
    const started = await startProgram(program, [file], {
      cwd: folder,
      ready: /process up/u,
      ...owner,
    });
    const url = new URL(postgresUrl);
    url.hostname = "127.0.0.1";
    url.port = String(port);
    url.password = "";
    return {
      url: url.href,
      how: program,
      async stop() {
        await started.stop("SIGINT");
        await removeFolder(folder);
      },
    };
  } catch (error) {
    await removeFolder(folder);
    throw error;
  }
}

async function fromDebian(postgresUrl: string, options: PgBouncerOptions): Promise<Service> {
  if (process.getuid?.() !== 0 || !existsSync("/etc/debian_version"))
    throw new Error("this is not root on Debian");
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  await run("apt-get", ["update", "-qq"], { env });
  await run("apt-get", ["install", "-y", "-qq", "--no-install-recommends", "pgbouncer"], { env });
  return fromProgram(postgresUrl, options);
}
