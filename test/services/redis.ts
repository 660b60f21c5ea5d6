// Redis for tests and examples: given by TEST_REDIS_URL, else a program of this machine in a temporary folder, else a
// container, else Debian's package where this is root on Debian.

import { readdir, stat, truncate } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
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

const READY = /Ready to accept connections/u;
const SLOTS = 16_384;

/** A Redis that tests may use, and break if it is theirs. */
export interface RedisService extends Service {
  /** Null: it was not started here as a program, so it is not ours to break. */
  readonly control: RedisControl | null;
}

/** A Redis that was started here as a program. */
export interface OwnRedis extends RedisService {
  readonly control: RedisControl;
  readonly port: number;
}

/** Breaks a Redis and brings it back, on the same port and data folder. Without a file of its data it comes back empty. */
export interface RedisControl extends ProgramControl {
  /** How far its append-only file is written now. */
  mark(): Promise<AppendOnlyMark>;
  /**
   * Kills it and takes away what it appended after `mark`, as a machine that lost power does to what was not synced.
   * A kill alone seldom does: what the program wrote, the kernel keeps. Only `--appendfsync always` is sure to have written
   * what it answered.
   */
  killAndForget(mark: AppendOnlyMark): Promise<void>;
}

/** The lengths of the append-only files, by path. */
export type AppendOnlyMark = ReadonlyMap<string, number>;

/** @throws {Error} no way worked; says what was tried and why each failed */
export async function startRedis(): Promise<RedisService> {
  return findService(
    { what: "Redis", variable: "TEST_REDIS_URL", installed: "redis-server" },
    { fromProgram: () => startOwnRedis(), fromContainer, fromDebian },
  );
}

/**
 * A Redis that tests may break: always a program of this machine, whatever TEST_REDIS_URL says. It keeps nothing on disk
 * unless `extra` says so, as in `["--appendonly", "yes"]`.
 *
 * @param extra more arguments for the program
 * @param isCluster a cluster of this one server, which has all slots
 * @param isSecure it takes TLS and nothing else; `extra` has the certificates
 * @throws {Error} there is no such program
 */
export async function startOwnRedis({
  extra = [],
  isCluster = false,
  isSecure = false,
}: {
  readonly extra?: readonly string[];
  readonly isCluster?: boolean;
  readonly isSecure?: boolean;
} = {}): Promise<OwnRedis> {
  const program = redisProgram();
  const folder = await serviceFolder("redis");
  try {
    const port = await freePort();
    const args = [
      ["--bind", "127.0.0.1", "--dir", folder, "--daemonize", "no"],
      isSecure ? ["--port", "0", "--tls-port", String(port)] : ["--port", String(port)],
      ["--save", "", "--appendonly", "no"],
      // A node that met no other knows no address of its own, and clients would be told of none.
      isCluster
        ? [
            "--cluster-enabled",
            "yes",
            "--cluster-announce-ip",
            "127.0.0.1",
            "--cluster-port",
            String(await freePort()),
          ]
        : [],
      extra,
    ].flat();
    const start = (): Promise<StartedProgram> => startProgram(program, args, { cwd: folder, ready: READY });
    const server = await BreakableProgram.begin(start);
    if (isCluster) await giveAllSlots(port);
    return {
      url: `${isSecure ? "rediss" : "redis"}://127.0.0.1:${port}`,
      how: program,
      control: {
        kill: (signal) => server.kill(signal),
        start: () => server.start(),
        restart: () => server.restart(),
        mark: () => markOf(folder),
        async killAndForget(mark) {
          await server.kill("SIGKILL");
          await Promise.all([...mark].map(([path, length]) => truncate(path, length)));
        },
      },
      port,
      async stop() {
        // It refuses to end while it writes its first append-only file, as after it was made a replica.
        await server.end("SIGKILL");
        await removeFolder(folder);
      },
    };
  } catch (error) {
    await removeFolder(folder);
    throw error;
  }
}

function fromContainer(): Promise<ForeignService> {
  return startContainer("redis", { image: "redis:7.4", port: 6379, ready: READY });
}

async function fromDebian(): Promise<RedisService> {
  await installDebianPackage("redis-server");
  return startOwnRedis();
}

/** @throws {Error} there is none */
export function redisProgram(): string {
  const program = findProgram("redis-server", ["/usr/bin"]);
  if (program === undefined) throw new Error("there is no program redis-server");
  return program;
}

/** Resolves once the cluster says that it serves. */
async function giveAllSlots(port: number): Promise<void> {
  await say(port, `CLUSTER ADDSLOTSRANGE 0 ${SLOTS - 1}`, /^\+OK/u);
  await say(port, "CLUSTER INFO", /cluster_state:ok/u);
}

/** Says `command` on one connection, again and again until what came back matches. */
export async function say(port: number, command: string, expected: RegExp): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(`${command}\r\n`));
    let answer = "";
    socket.on("data", (data) => {
      answer += data.toString();
      if (expected.test(answer)) {
        socket.destroy();
        resolve();
      } else if (answer.startsWith("-")) {
        socket.destroy(new Error(answer));
      } else {
        socket.write(`${command}\r\n`);
      }
    });
    socket.on("error", reject);
  });
}

/** How long the append-only files of a data folder are now. */
async function markOf(folder: string): Promise<AppendOnlyMark> {
  const files = join(folder, "appendonlydir");
  const names = (await readdir(files)).filter((name) => name.endsWith(".aof"));
  return new Map(
    await Promise.all(
      names.map(async (name): Promise<[string, number]> => {
        const path = join(files, name);
        return [path, (await stat(path)).size];
      }),
    ),
  );
}
