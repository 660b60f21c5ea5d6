// Wiring: the URLs by which members find the database, the lease store and each other: straight, or through proxies that
// can tell them apart.

import { freePort } from "../services/free-port.ts";
import type { Network } from "./network.ts";

/** What a member is told of its backends: values of HOLDFAST_STORAGE, HOLDFAST_RUNNERS and HOLDFAST_TRANSPORT. */
export interface BackendUrls {
  readonly storage: string;
  readonly runners: string;
  readonly transport: string;
}

/** Where connections of a runner come from, and what it is called as a target. */
export interface Place {
  readonly source: string;
  readonly urls: BackendUrls;
}

/** A lease store of its own: what it is called as a target, and its URL. */
export interface LeaseStorePlace {
  readonly target: "etcd" | "redis";
  readonly url: string;
}

export interface WiringOptions {
  /** The database of the cluster. */
  readonly storage: string;
  /** Null: the database. */
  readonly leases: LeaseStorePlace | null;
  /** Members talk to each other by it, under a prefix of this cluster's own; null: over gRPC. */
  readonly nats: string | null;
  /** Whether the runners reach everything through proxies. */
  readonly isProxied: boolean;
}

/** Where each runner's connections come from. */
export function sourceOf(name: string): string {
  return `127.0.0.${11 + (name.charCodeAt(0) - 97)}`;
}

/** The places of the runners, and the client's URLs. */
export async function wire(
  network: Network,
  names: readonly string[],
  options: WiringOptions,
): Promise<{ readonly client: BackendUrls; readonly places: ReadonlyMap<string, Place> }> {
  const { storage, leases, nats, isProxied } = options;
  const proxied = async (target: string, url: string): Promise<string> => {
    const through = new URL(url);
    const to = { host: through.hostname, port: Number(through.port) };
    through.port = String(await network.open(target, to, { host: "127.0.0.1", port: 0 }));
    return through.href;
  };
  const forRunners = {
    storage: isProxied ? await proxied("postgres", storage) : storage,
    leases: leases !== null && isProxied ? await proxied(leases.target, leases.url) : leases?.url,
    nats: nats !== null && isProxied ? await proxied("nats", nats) : nats,
  };
  const places = new Map<string, Place>();
  for (const name of names) {
    places.set(name, {
      source: sourceOf(name),
      urls: {
        storage: forRunners.storage,
        runners: forRunners.leases ?? forRunners.storage,
        transport:
          forRunners.nats === null
            ? await grpcOf(network, name, isProxied)
            : `${forRunners.nats}?name=${name}`,
      },
    });
  }
  const client = { storage, runners: leases?.url ?? storage, transport: nats ?? "grpc://127.0.0.1:0" };
  return { client, places };
}

/** A runner has the same address each time that it is started. */
async function grpcOf(network: Network, name: string, isProxied: boolean): Promise<string> {
  const port = await freePort();
  if (!isProxied) return `grpc://127.0.0.1:${port}`;
  const advertised = await network.open(name, { host: "127.0.0.1", port }, { host: "127.0.0.1", port: 0 });
  return `grpc://127.0.0.1:${port}?advertise=127.0.0.1:${advertised}`;
}
