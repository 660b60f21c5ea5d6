// World: one cluster under test: a database of its own, runner processes, a client with its load, and what is observed.

import { createCluster, RemoteError, type Cluster, type Logger } from "@holdfast/core";
import type { ProgramControl } from "../services/breakable.ts";
import type { EtcdControl } from "../services/etcd.ts";
import type { PostgresControl } from "../services/postgres.ts";
import type { RedisControl } from "../services/redis.ts";
import { check, workLeft, type Findings } from "./check.ts";
import { lasting, until } from "./clock.ts";
import { Fleet } from "./fleet.ts";
import { History, type OperationKind } from "./history.ts";
import { Load } from "./load.ts";
import { Network, type Conduct } from "./network.ts";
import { Ownership } from "./ownership.ts";
import { SETTINGS, SHARDS } from "./settings.ts";
import { createDatabase, dropDatabase, watchTables } from "./tables.ts";
import { sourceOf, wire, type LeaseStorePlace, type Place } from "./wiring.ts";

/** A service that scenarios run on, and may break. */
export interface Breakable<Control> {
  readonly url: string;
  readonly control: Control;
}

export interface Services {
  readonly postgres: Breakable<PostgresControl>;
  /** Null: this machine has none. */
  readonly etcd: Breakable<EtcdControl> | null;
  /** Null: this machine has none. */
  readonly redis: Breakable<RedisControl> | null;
  /** Null: this machine has none. */
  readonly nats: Breakable<ProgramControl> | null;
}

/** Where members and leases are. Default: etcd, and PostgreSQL where there is none. */
export type LeaseStore = "PostgreSQL" | "etcd" | "Redis" | "default";

/** How members reach each other. */
export type TransportKind = "gRPC" | "NATS";

export interface WorldOptions {
  /** Names its database. */
  readonly name: string;
  readonly seed: number;
  readonly leases: LeaseStore;
  readonly transport: TransportKind;
  /** Whether the runners reach everything through proxies, so that `network` can come between. */
  readonly isProxied: boolean;
}

/** What one scenario showed. */
export interface Result extends Findings {
  readonly scenario: string;
  readonly sent: number;
  readonly answered: number;
  /** Calls that failed at their callers, and those of them that were of persisted requests and executions. */
  readonly failed: number;
  readonly failedPersisted: number;
  /** How they failed, and how often each. */
  readonly failures: readonly string[];
  /** The longest time that a shard had no owner, and that a caller waited for an answer, in ms. */
  readonly longestGapMs: number;
  readonly slowestMs: number;
}

/** The runners that each world begins with. */
export const RUNNERS = ["a", "b", "c"] as const;

/** How long the load goes on before and after a fault. */
const CALM_MS = 1_000;
/** After the fault is mended, what was sent is to be answered within. */
const SETTLE_LIMIT_MS = 45_000;
const OWNED_LIMIT_MS = 30_000;

export class World {
  readonly services: Services;
  readonly url: string;
  readonly ownership: Ownership;
  readonly fleet: Fleet;
  readonly network: Network;
  readonly history: History = new History();
  readonly #options: WorldOptions;
  readonly #client: Cluster;
  readonly #load: Load;

  private constructor(
    services: Services,
    options: WorldOptions,
    parts: { url: string; ownership: Ownership; fleet: Fleet; network: Network; client: Cluster },
  ) {
    this.services = services;
    this.#options = options;
    this.url = parts.url;
    this.ownership = parts.ownership;
    this.fleet = parts.fleet;
    this.network = parts.network;
    this.#client = parts.client;
    this.#load = new Load(parts.client, this.history, options.seed);
  }

  /** Starts the runners and the load. Resolves when each shard has an owner and requests are answered. */
  static async start(services: Services, options: WorldOptions): Promise<World> {
    const url = await createDatabase(services.postgres.url, options.name);
    const ownership = new Ownership(
      Array.from({ length: SHARDS }, (_, number) => `default:${number}` as const),
    );
    const network = new Network();
    const { client: clientUrls, places } = await wire(network, RUNNERS, {
      storage: url,
      leases: leaseStore(services, options),
      nats: options.transport === "NATS" ? natsUrl(services, options) : null,
      isProxied: options.isProxied,
    });
    const fleet = new Fleet(ownership, (name) => environmentOf(places.get(name), options.isProxied));
    const client = await createCluster({
      ...SETTINGS,
      ...clientUrls,
      role: "client",
      logger: QUIET,
    });
    const world = new World(services, options, { url, ownership, network, fleet, client });
    try {
      await client.start();
      await watchTables(url);
      await Promise.all(RUNNERS.map((name) => fleet.start(name)));
      await world.owned();
      world.#load.start();
      await lasting(CALM_MS);
      ownership.startCounting();
      world.#note("the fault begins");
      return world;
    } catch (error) {
      await world.end();
      throw error;
    }
  }

  /** Whether this runner has shards. */
  serves(runner: string): boolean {
    return this.ownership.heldBy(runner).length > 0;
  }

  /** How the connections of one runner to a target behave from here on: another runner, or a service by its name: `postgres`. */
  link(runner: string, target: string, conduct: Conduct): void {
    this.#note(`${runner} to ${target}: ${conduct}`);
    this.network.set(sourceOf(runner), target, conduct);
  }

  /** Every link passes. Resolves when all runners serve shards again. */
  async healed(): Promise<void> {
    this.network.heal();
    const isServing = (): boolean => RUNNERS.every((name) => this.serves(name));
    await until("each runner serves shards", OWNED_LIMIT_MS, isServing);
    await this.owned();
  }

  /** Resolves when each shard has an owner. @throws {Error} it has none for too long */
  async owned(): Promise<void> {
    await until("each shard has an owner", OWNED_LIMIT_MS, () => this.ownership.isComplete());
  }

  /** Lets what was sent end, and checks everything. */
  async conclude(scenario: string): Promise<Result> {
    this.#note("the fault is over");
    await this.owned();
    await lasting(CALM_MS);
    const longestGapMs = this.ownership.longestGapMs();
    this.#note("the load ends");
    await this.#load.stop(SETTLE_LIMIT_MS);
    this.#note("all is answered");
    const unfinished = await this.#workIsDone();
    this.#note("all work is done");
    const findings = await check(this.url, this.history);
    const { operations, answered, failed, slowestMs } = this.history;
    return {
      scenario,
      sent: operations.length,
      answered: answered.length,
      failed: failed.length,
      failedPersisted: failed.filter(({ kind }) => !VOLATILE.has(kind)).length,
      failures: counted(failed.map(({ kind, error }) => `${kind}: ${String(error)}`)),
      longestGapMs,
      slowestMs,
      lost: findings.lost,
      doubled: findings.doubled,
      violations: [...findings.violations, ...unfinished, ...this.fleet.crashes, ...this.#strangeErrors()],
    };
  }

  /** Ends every process and removes the database. */
  async end(): Promise<void> {
    await this.fleet.end();
    await this.#client.shutdown();
    await this.network.close();
    await dropDatabase(this.services.postgres.url, this.#options.name);
  }

  async #workIsDone(): Promise<readonly string[]> {
    try {
      await until("all work is done", SETTLE_LIMIT_MS, async () => (await workLeft(this.url)) === 0);
      return [];
    } catch {
      return [`INV-2: ${await workLeft(this.url)} accepted requests are still not done`];
    }
  }

  #note(what: string): void {
    this.fleet.log(`--- ${what}\n`);
  }

  /** A call may fail in a fault, but by an error that says so. */
  #strangeErrors(): readonly string[] {
    const strange = this.history.failed.filter(
      // The own error of a handler whose pool has no patience is none.
      ({ kind, error }) =>
        !EXPECTED_ERRORS.has(error?.name ?? "") && !(kind === "say" && error instanceof RemoteError),
    );
    return counted(strange.map(({ kind, error }) => `A ${kind} failed with ${String(error)}`));
  }
}

/** Each text once, with how often it is there. Addresses and names of entities are left out. */
function counted(texts: readonly string[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const text of texts) {
    const plain = text.replaceAll(/[\w-]+\/[\w-]+|\d+(?:\.\d+){3}:\d+/gu, "...");
    counts.set(plain, (counts.get(plain) ?? 0) + 1);
  }
  return [...counts].map(([text, count]) => `${text} (${count} times)`);
}

/** A part of a lease store that this cluster has for itself. Null: the database. */
function leaseStore({ etcd, redis }: Services, { leases, name }: WorldOptions): LeaseStorePlace | null {
  if (leases === "Redis") {
    if (redis === null) throw new Error("There is no Redis");
    return { target: "redis", url: `${redis.url}/?prefix=${name}` };
  }
  if (leases === "etcd" && etcd === null) throw new Error("There is no etcd");
  if (leases === "PostgreSQL" || etcd === null) return null;
  return { target: "etcd", url: `${etcd.url}/${name}` };
}

/** Subjects that this cluster has for itself. */
function natsUrl({ nats }: Services, { name }: WorldOptions): string {
  if (nats === null) throw new Error("There is no NATS");
  return `${nats.url}/${name}`;
}

function environmentOf(place: Place | undefined, isProxied: boolean): Readonly<Record<string, string>> {
  if (place === undefined) throw new Error("There is no place for this runner");
  const { storage, runners, transport } = place.urls;
  return {
    HOLDFAST_STORAGE: storage,
    HOLDFAST_RUNNERS: runners,
    HOLDFAST_TRANSPORT: transport,
    ...(isProxied ? { FAULTS_ADDRESS: place.source } : {}),
  };
}

/** The client says at its callers what went wrong. */
const QUIET: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

const VOLATILE: ReadonlySet<OperationKind> = new Set(["say", "count"]);

/** What a caller may get while the cluster is broken. */
const EXPECTED_ERRORS: ReadonlySet<string> = new Set([
  "PersistenceError",
  "RunnerUnavailableError",
  "EntityNotAssignedError",
  "MailboxFullError",
  "InterruptedError",
]);
