// What a cluster can stand on, and which combinations of it make sense.

import { join } from "node:path";

export type StorageName = "memory" | "pglite" | "postgres" | "redis";
export type RunnersName = "left out" | "memory" | "postgres" | "etcd" | "redis";
export type TransportName = "memory" | "grpc" | "nats";
export type ServiceName = "postgres" | "etcd" | "redis" | "nats";

export interface Combination {
  readonly storage: StorageName;
  readonly runners: RunnersName;
  readonly transport: TransportName;
  readonly members: number;
}

const EVERY: readonly TransportName[] = ["memory", "grpc", "nats"];

/**
 * What is in the memory of a process, or in a folder that one process holds, is one member's: it is alone, and has nobody to
 * share leases with or to reach. On storage that several share they have leases in common, too, and the transport is what
 * they like: without one persisted requests go through storage.
 */
const TABLE: readonly [StorageName, RunnersName, readonly TransportName[], members: number][] = [
  ["memory", "left out", ["memory"], 1],
  ["memory", "memory", ["memory"], 1],
  ["pglite", "left out", ["memory"], 1],
  ["pglite", "memory", ["memory"], 1],
  ["postgres", "left out", EVERY, 2],
  ["postgres", "memory", ["memory"], 1],
  ["postgres", "postgres", EVERY, 2],
  ["postgres", "etcd", EVERY, 2],
  ["postgres", "redis", EVERY, 2],
  ["redis", "memory", ["memory"], 1],
  ["redis", "postgres", EVERY, 2],
  ["redis", "etcd", EVERY, 2],
  ["redis", "redis", EVERY, 2],
];

export const COMBINATIONS: readonly Combination[] = TABLE.flatMap(([storage, runners, transports, members]) =>
  transports.map((transport) => ({ storage, runners, transport, members })),
);

/** Where services are; null where one cannot be had. */
export type Services = Readonly<Record<ServiceName, string | null>>;

/** The services without which a combination does not start. */
export function servicesOf({ storage, runners, transport }: Combination): readonly ServiceName[] {
  const all: readonly ServiceName[] = ["postgres", "etcd", "redis", "nats"];
  return all.filter((name) => name === storage || name === runners || name === transport);
}

/** The three options. `undefined`: left out. */
export interface Urls {
  readonly storage: string;
  readonly runners: string | undefined;
  readonly transport: string;
}

/**
 * The URLs of a combination, alike for all its members.
 *
 * @param name in lower case letters, digits and _: sets it apart from others on the same services
 * @param folder where it may keep files
 */
export function urlsOf(combination: Combination, services: Services, name: string, folder: string): Urls {
  const at = (service: ServiceName): URL => new URL(services[service] ?? "");
  const postgres = (): string => withParameter(at("postgres"), "schema", name);
  const redis = (): string => withParameter(at("redis"), "prefix", name);
  const storage = {
    memory: () => "memory:",
    pglite: () => `pglite:${join(folder, "data")}`,
    postgres,
    redis,
  };
  const runners = {
    "left out": () => undefined,
    memory: () => "memory:",
    postgres,
    etcd: () => `etcd://${at("etcd").host}/${name}/`,
    redis,
  };
  const transport = {
    memory: () => "memory:",
    grpc: () => "grpc://127.0.0.1:0",
    nats: () => `nats://${at("nats").host}/${name}`,
  };
  return {
    storage: storage[combination.storage](),
    runners: runners[combination.runners](),
    transport: transport[combination.transport](),
  };
}

function withParameter(url: URL, name: string, value: string): string {
  url.searchParams.set(name, value);
  return url.href;
}
