// etcd for tests and examples: given by TEST_ETCD_URL, else a program of this machine in a temporary folder, else a
// container, else Debian's package where this is root on Debian.

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
  return findService(
    { what: "etcd", variable: "TEST_ETCD_URL", installed: "etcd" },
    { fromProgram: () => startOwnEtcd(), fromContainer, fromDebian },
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

function fromContainer(): Promise<ForeignService> {
  return startContainer("etcd", {
    image: "quay.io/coreos/etcd:v3.5.16",
    port: 2379,
    ready: READY,
    command: [
      "etcd",
      "--listen-client-urls",
      "http://0.0.0.0:2379",
      "--advertise-client-urls",
      "http://0.0.0.0:2379",
    ],
  });
}

async function fromDebian(): Promise<EtcdService> {
  await installDebianPackage("etcd-server");
  return startOwnEtcd();
}
