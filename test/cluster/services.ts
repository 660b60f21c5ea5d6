import { startOwnEtcd } from "../services/etcd.ts";
import { startOwnNats } from "../services/nats.ts";
import { startOwnPostgres } from "../services/postgres.ts";
import { startOwnRedis } from "../services/redis.ts";
import { withDatabase } from "./tables.ts";
import type { Services } from "./world.ts";

export interface StartedServices extends Services {
  stop(): Promise<void>;
}

/** Starts the services of the scenarios: programs of this machine, so that they can be killed. @throws {Error} one cannot be had */
export async function startServices(): Promise<StartedServices> {
  // Durable: what a server forgets when it crashes is no fault of ours.
  const postgres = await startOwnPostgres({ durable: true });
  try {
    // The checks compare the times of commits.
    await withDatabase(postgres.url, (server) =>
      server.query("ALTER SYSTEM SET track_commit_timestamp = on"),
    );
    await postgres.control.restart({ mode: "fast" });
    const etcd = await orNull(startOwnEtcd);
    // What it answered is on disk, so that a scenario says what it forgets.
    const onDisk = ["--appendonly", "yes", "--appendfsync", "always"];
    const redis = await orNull(() => startOwnRedis({ extra: onDisk }));
    const nats = await orNull(startOwnNats);
    return {
      postgres,
      etcd,
      redis,
      nats,
      stop: async () =>
        void (await Promise.all([postgres.stop(), etcd?.stop(), redis?.stop(), nats?.stop()])),
    };
  } catch (error) {
    await postgres.stop();
    throw error;
  }
}

/** The services, or why they cannot be had; with CI=true that is an error. */
export async function servicesOrReason(): Promise<StartedServices | string> {
  try {
    return await startServices();
  } catch (error) {
    if (process.env["CI"] === "true") throw error;
    return error instanceof Error ? error.message : String(error);
  }
}

/** Null where there is no such program: then what needs it does not run. */
async function orNull<Started>(start: () => Promise<Started>): Promise<Started | null> {
  try {
    return await start();
  } catch (error) {
    if (process.env["CI"] === "true") throw error;
    return null;
  }
}
