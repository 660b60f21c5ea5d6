// The services that the cluster stands on, started for this run alone unless they are given.

import { randomUUID } from "node:crypto";
import { startEtcd } from "../../../test/services/etcd.ts";
import { startPostgres, type Service } from "../../../test/services/postgres.ts";

export interface Backends {
  /** The database of the application's own tables. */
  readonly databaseUrl: string;
  /** What every member reads from its environment. */
  readonly env: {
    readonly HOLDFAST_STORAGE: string;
    readonly HOLDFAST_RUNNERS: string;
    readonly HOLDFAST_TRANSPORT: string;
    readonly CLUSTER_DATABASE_URL: string;
  };
  /** How they were found, for people. */
  readonly how: string;
}

/** Services that run already. One that is left out is started. */
export interface GivenBackends {
  readonly postgresUrl?: string | undefined;
  readonly etcdUrl?: string | undefined;
}

/**
 * PostgreSQL for storage, etcd for members and leases, gRPC on a free port between them. What is started is ended by
 * `ending`, and also when this process is killed.
 *
 * @param storageUrlAt makes the option `storage` of a server's URL: it names the schema of the library's tables
 */
export async function startBackends(
  ending: AsyncDisposableStack,
  { postgresUrl, etcdUrl }: GivenBackends,
  storageUrlAt: (url: string) => string,
): Promise<Backends> {
  const [postgres, etcd] = await Promise.all([
    postgresUrl === undefined ? startPostgres({ durable: true }) : given(postgresUrl),
    etcdUrl === undefined ? startEtcd() : given(etcdUrl),
  ]);
  ending.defer(async () => {
    await Promise.all([postgres.stop(), etcd.stop()]);
  });
  return {
    databaseUrl: postgres.url,
    env: {
      HOLDFAST_STORAGE: storageUrlAt(postgres.url),
      // A prefix of its own: whoever shares this etcd is another cluster.
      HOLDFAST_RUNNERS: `etcd://${new URL(etcd.url).host}/holdfast-${randomUUID()}/`,
      HOLDFAST_TRANSPORT: "grpc://127.0.0.1:0",
      CLUSTER_DATABASE_URL: postgres.url,
    },
    how: `PostgreSQL (${postgres.how}), etcd (${etcd.how}), gRPC`,
  };
}

function given(url: string): Service {
  return { url, how: "given", stop: () => Promise.resolve() };
}
