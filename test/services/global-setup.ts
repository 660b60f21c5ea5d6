// Starts, once for all tests, the services that they use. A service that cannot be had is named, with the tests that do
// not run for it; with CI=true it is an error.

import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { startEtcd } from "./etcd.ts";
import { startNats } from "./nats.ts";
import { startPostgres } from "./postgres.ts";
import { removeFolder, type Service } from "./programs.ts";
import { startRedis } from "./redis.ts";

declare module "vitest" {
  export interface ProvidedContext {
    /** A folder for what one test makes and others use. It is removed at the end. */
    scratch: string;
    /** Null: no PostgreSQL could be had, and what needs it does not run. */
    postgresUrl: string | null;
    /** Null: no etcd could be had, and what needs it does not run. */
    etcdUrl: string | null;
    /** Null: no Redis could be had, and what needs it does not run. */
    redisUrl: string | null;
    /** Null: no NATS could be had, and what needs it does not run. */
    natsUrl: string | null;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const scratch = await mkdtemp(join(tmpdir(), "holdfast-tests-"));
  project.provide("scratch", scratch);
  // Tests start hundreds of processes from the same sources: what one has compiled the next ones do not compile again.
  process.env["NODE_COMPILE_CACHE"] ??= join(scratch, "compiled");
  const services = await Promise.allSettled([startPostgres(), startEtcd(), startRedis(), startNats()]);
  const [postgres, etcd, redis, nats] = services;
  const started = services.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
  const stop = async (): Promise<void> => {
    await Promise.all([...started.map((service) => service.stop()), removeFolder(scratch)]);
  };
  try {
    project.provide("postgresUrl", urlOf("a PostgreSQL server", postgres));
    project.provide("etcdUrl", urlOf("etcd", etcd));
    project.provide("redisUrl", urlOf("Redis", redis));
    project.provide("natsUrl", urlOf("NATS", nats));
  } catch (error) {
    await stop();
    throw error;
  }
  return stop;
}

/** @throws {Error} it could not be had, and CI=true */
function urlOf(what: string, service: PromiseSettledResult<Service>): string | null {
  if (service.status === "fulfilled") return service.value.url;
  const reason: unknown = service.reason;
  if (process.env["CI"] === "true") throw reason;
  console.warn(
    `\nTests on ${what} do not run.\n${reason instanceof Error ? reason.message : String(reason)}\n`,
  );
  return null;
}
