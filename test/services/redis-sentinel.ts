// A Redis that a Sentinel watches, with a replica to fail over to: programs of this machine.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { freePort } from "./free-port.ts";
import { removeFolder, serviceFolder, startProgram, type Service } from "./programs.ts";
import { redisProgram, say, startOwnRedis, type OwnRedis } from "./redis.ts";

/** What clients ask Sentinels for. */
export const MASTER_NAME = "main";

export interface SentinelService extends Service {
  readonly sentinelPort: number;
  /** The master at first. */
  readonly first: OwnRedis;
  readonly second: OwnRedis;
}

/**
 * Resolves once the replica is in step and the Sentinel knows of it. `url` is the Sentinel's.
 *
 * @param downAfterMs how long the master may say nothing
 * @throws {Error} there is no Redis on this machine
 */
export async function startOwnSentinel(downAfterMs: number): Promise<SentinelService> {
  const stops: (() => Promise<void>)[] = [];
  const stop = async (): Promise<void> => {
    for (const end of stops.splice(0).toReversed()) await end();
  };
  try {
    const first = await startOwnRedis({ extra: ["--repl-diskless-sync-delay", "0"] });
    stops.push(() => first.stop());
    const second = await startOwnRedis({ extra: ["--replicaof", "127.0.0.1", String(first.port)] });
    stops.push(() => second.stop());
    await say(second.port, "INFO replication", /master_link_status:up/u);
    const folder = await serviceFolder("sentinel");
    stops.push(() => removeFolder(folder));
    const sentinelPort = await freePort();
    const file = join(folder, "sentinel.conf");
    await writeFile(
      file,
      [
        "bind 127.0.0.1",
        `port ${sentinelPort}`,
        `dir ${folder}`,
        `sentinel monitor ${MASTER_NAME} 127.0.0.1 ${first.port} 1`,
        `sentinel down-after-milliseconds ${MASTER_NAME} ${downAfterMs}`,
        `sentinel failover-timeout ${MASTER_NAME} 3000`,
        "",
      ].join("\n"),
    );
    const sentinel = await startProgram(redisProgram(), [file, "--sentinel"], {
      cwd: folder,
      ready: /\+monitor master/u,
    });
    stops.push(() => sentinel.stop("SIGTERM"));
    await say(sentinelPort, `SENTINEL REPLICAS ${MASTER_NAME}`, new RegExp(`\\s${second.port}\\s`, "u"));
    return {
      url: `redis://127.0.0.1:${sentinelPort}`,
      how: redisProgram(),
      sentinelPort,
      first,
      second,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
