// etcd for tests and examples: given by TEST_ETCD_URL, else a program of this machine in a temporary folder, else a
// container, else Debian's package where this is root on Debian.

import { existsSync } from "node:fs";
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

/** What 3.4, and what later versions say once they serve. */
const READY = /serving client traffic|ready to serve client requests/u;

/** An etcd that tests may use, and break if it is theirs. */
export interface EtcdService extends Service {
  /** Null: it was not started here as a program, so it is not ours to break. */
  readonly control: EtcdControl | null;
}

export type EtcdControl = ProgramControl;

/** @throws {Error} no way worked; says what was tried and why each failed */
export async function startEtcd(): Promise<EtcdService> {
  const given = process.env["TEST_ETCD_URL"];
  if (given !== undefined && given !== "") {
    return { url: given, how: "TEST_ETCD_URL", control: null, stop: () => Promise.resolve() };
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
    `No etcd was found. Set TEST_ETCD_URL, or install etcd or Docker. Tried:\n  ${failures.join("\n  ")}`,
  );
}

/**
 * An etcd that tests may break: always a program of this machine, whatever TEST_ETCD_URL says.
 *
 * @param extra more arguments for the program, as for TLS; `scheme` is then that of its clients
 * @throws {Error} there is no such program
 */
export async function startOwnEtcd({
  extra = [],
  scheme = "http",
}: { readonly extra?: readonly string[]; readonly scheme?: "http" | "https" } = {}): Promise<
  EtcdService & { readonly control: EtcdControl }
> {
  const program = findProgram("etcd");
  if (program === undefined) throw new Error("there is no program etcd");
  const folder = await serviceFolder("etcd");
  try {
    const [clientPort, peerPort] = [await freePort(), await freePort()];
    const client = `${scheme}://127.0.0.1:${clientPort}`;
    const peer = `http://127.0.0.1:${peerPort}`;
    const args = [
      ["--name", "one", "--data-dir", `${folder}/data`],
      ["--listen-client-urls", client, "--advertise-client-urls", client],
      ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", `one=${peer}`],
      // Short elections: a TTL is never less than they take.
      ["--heartbeat-interval", "20", "--election-timeout", "200", "--logger", "zap"],
      extra,
    ].flat();
    const start = (): Promise<StartedProgram> => startProgram(program, args, { cwd: folder, ready: READY });
    const server = await BreakableProgram.begin(start);
    return {
      url: `etcd://127.0.0.1:${clientPort}`,
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

function fromProgram(): Promise<EtcdService> {
  return startOwnEtcd();
}

async function fromContainer(): Promise<EtcdService> {
  const { GenericContainer, Wait } = await import("testcontainers");
  const container = await new GenericContainer("quay.io/coreos/etcd:v3.5.16")
    .withCommand([
      "etcd",
      "--listen-client-urls",
      "http://0.0.0.0:2379",
      "--advertise-client-urls",
      "http://0.0.0.0:2379",
    ])
    .withExposedPorts(2379)
    .withWaitStrategy(Wait.forLogMessage(READY))
    .start();
  return {
    url: `etcd://${container.getHost()}:${container.getMappedPort(2379)}`,
    how: "a container",
    control: null,
    stop: async () => void (await container.stop()),
  };
}

async function fromDebian(): Promise<EtcdService> {
  if (process.getuid?.() !== 0 || !existsSync("/etc/debian_version"))
    throw new Error("this is not root on Debian");
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  await run("apt-get", ["update", "-qq"], { env });
  await run("apt-get", ["install", "-y", "-qq", "--no-install-recommends", "etcd-server"], { env });
  return startOwnEtcd();
}
