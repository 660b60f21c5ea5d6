import { startOwnPostgres } from "../services/postgres.ts";
import { withDatabase } from "./tables.ts";
import type { Services } from "./world.ts";

/** Starts the services of the scenarios: programs of this machine, so that they can be killed. */
export async function startServices(): Promise<Services & { stop(): Promise<void> }> {
  // Durable: what a server forgets when it crashes is no fault of ours.
  const postgres = await startOwnPostgres({ durable: true });
  try {
    // The checks compare the times of commits.
    await withDatabase(postgres.url, (server) =>
      server.query("ALTER SYSTEM SET track_commit_timestamp = on"),
    );
    await postgres.control.restart({ mode: "fast" });
  } catch (error) {
    await postgres.stop();
    throw error;
  }
  return { postgres, etcd: null, stop: () => postgres.stop() };
}

/** Whether the services can be had; else why not. */
export async function servicesOrReason(): Promise<(Services & { stop(): Promise<void> }) | string> {
  try {
    return await startServices();
  } catch (error) {
    if (process.env["CI"] === "true") throw error;
    return error instanceof Error ? error.message : String(error);
  }
}
