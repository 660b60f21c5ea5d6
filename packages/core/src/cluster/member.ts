// Member: one runner or client, wired together: lease, routes, shards, entities, singletons, delivery.
//
// Owns the order in which things start and stop. Decides nothing itself.
//
//   created -> starting -> running -> draining -> stopped, or `crash()` from any of them, which cleans nothing up.

import { EventEmitter } from "node:events";
import type { Clock } from "../adapter/clock.ts";
import type { MessageStorage } from "../adapter/message-storage.ts";
import type { Random } from "../adapter/random.ts";
import type { RunnerStorage } from "../adapter/runner-storage.ts";
import type {
  OpenRunners,
  OpenStorage,
  RunnersAdapter,
  StorageAdapter,
  TransportAdapter,
} from "../adapter/storage-adapter.ts";
import type { Transport } from "../adapter/transport.ts";
import { ClusterCaller } from "../client/caller.ts";
import { sleep } from "../clock/sleep.ts";
import { within } from "../clock/within.ts";
import { withFields, type Logger } from "../contract/logger.ts";
import type { Fence } from "../data/epoch.ts";
import type { RunnerRecord } from "../data/runner-record.ts";
import type { ShardId } from "../data/shard-id.ts";
import { Counters } from "../entity/counters.ts";
import { Delivery } from "../entity/delivery.ts";
import { EntityHost } from "../entity/entity-host.ts";
import { ClusterClosedError } from "../errors/routing.ts";
import { LeaseKeeper } from "../sharding/lease-keeper.ts";
import { PeerHealth } from "../sharding/peer-health.ts";
import { Router } from "../sharding/router.ts";
import { ShardOwner } from "../sharding/shard-owner.ts";
import { BackendWatch } from "./backend-watch.ts";
import type { ClusterSettings } from "./config.ts";
import type { ClusterEvents } from "./events.ts";
import { checkRegistrations, entityTypesOf, type Registration } from "./registration.ts";
import { Registry } from "./registry.ts";
import { Switchboard } from "./switchboard.ts";

export type MemberState = "created" | "starting" | "running" | "draining" | "stopped";

export interface MemberOptions {
  readonly settings: ClusterSettings;
  readonly storage: StorageAdapter;
  /** Null: the storage's own, else memory. */
  readonly runners: RunnersAdapter | null;
  readonly defaultRunners: RunnersAdapter;
  readonly transport: TransportAdapter;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly registrations: readonly Registration[];
}

/** The version of what members say to each other. */
const PROTOCOL_VERSION = 1;
/** How long closing waits for each of transport, lease store and storage. */
const CLOSE_TIMEOUT_MS = 2_000;
/** What a drain may take longer than handlers may: for calls that free shards, or that fail to. */
const DRAIN_GRACE_MS = 5_000;
/** How long a runner that left still tells others that it has: what they sent before they heard of it is on its way. */
const LINGER_MS = 200;
/** How long a shutdown waits for a start under way to notice. */
const START_ENDS_MS = 5_000;
/** Peers are pinged every 2 s where a lease lasts 30 s, faster and slower with it, within these bounds. */
const SHORTEST_PING_MS = 250;
const LONGEST_PING_MS = 30_000;
/** How long a message to this member's own address may take. */
const OWN_ADDRESS_MS = 1_000;

/** What exists while a member runs. */
interface Parts {
  readonly storage: OpenStorage;
  readonly messages: MessageStorage;
  readonly openRunners: OpenRunners | null;
  readonly runners: RunnerStorage;
  readonly transport: Transport;
  readonly address: string;
  readonly lease: LeaseKeeper;
  readonly router: Router;
  readonly peers: PeerHealth;
  readonly owner: ShardOwner;
  readonly host: EntityHost;
  readonly delivery: Delivery;
  readonly caller: ClusterCaller;
  readonly registry: Registry;
}

export class Member {
  readonly events: EventEmitter<ClusterEvents> = new EventEmitter();
  readonly counters: Counters = new Counters();
  readonly #options: MemberOptions;
  readonly backends: BackendWatch;
  readonly #switchboard: Switchboard;
  readonly #registrations: Registration[] = [];
  #state: MemberState = "created";
  #parts: Parts | null = null;
  #starting: Promise<void> | null = null;
  #stopping: Promise<void> | null = null;
  #unwatch: (() => Promise<void>) | null = null;

  constructor(options: MemberOptions) {
    this.#options = options;
    this.backends = new BackendWatch({
      clock: options.clock,
      detaches: options.settings.detachmentEnabled && options.settings.role === "runner",
      detach: (reason) => this.#detach(reason),
      attach: () => this.#attach(),
    });
    this.#switchboard = new Switchboard({
      parts: () => this.#parts,
      released: (shardIds) => this.#released(shardIds),
    });
    this.register(...options.registrations);
  }

  get state(): MemberState {
    return this.#state;
  }

  get settings(): ClusterSettings {
    return this.#options.settings;
  }

  get isDetached(): boolean {
    return this.backends.isDetached;
  }

  /** @throws {ClusterClosedError} before `start()` and after `shutdown()` */
  get parts(): Parts {
    if (this.#parts === null)
      throw new ClusterClosedError({ what: "This", state: describeState(this.#state) });
    return this.#parts;
  }

  get partsIfAny(): Parts | null {
    return this.#parts;
  }

  /** @throws {DefinitionError} two registrations of one kind have one name, or what is given is no implementation */
  register(...registrations: readonly Registration[]): void {
    checkRegistrations([...this.#registrations, ...registrations]);
    this.#registrations.push(...registrations);
    if (this.#parts === null) return;
    for (const registration of registrations) this.#parts.registry.add(registration);
    void this.#parts.lease.publish();
  }

  get registrations(): readonly Registration[] {
    return this.#registrations;
  }

  start(): Promise<void> {
    if (this.#stopping !== null)
      return Promise.reject(new ClusterClosedError({ what: "start()", state: describeState(this.#state) }));
    this.#starting ??= this.#start();
    return this.#starting;
  }

  /** Drains, hands the shards over, leaves. Safe to call often, and before `start()` is done. */
  shutdown(): Promise<void> {
    this.#stopping ??= this.#shutdown();
    return this.#stopping;
  }

  /** Ends as a killed process does: nothing is handed over, freed or answered, and no code of the user's hears of it. For tests. */
  crash(): void {
    const parts = this.#parts;
    this.#state = "stopped";
    this.#stopping ??= Promise.resolve();
    this.backends.stop();
    if (parts === null) return;
    this.#parts = null;
    parts.peers.stop();
    parts.lease.abandon();
    parts.owner.halt();
    parts.host.stop();
    void parts.router.stop();
    void parts.transport.close(0).catch(() => undefined);
    void parts.storage.close().catch(() => undefined);
    void parts.openRunners?.close().catch(() => undefined);
  }

  async #start(): Promise<void> {
    this.#state = "starting";
    try {
      const parts = await this.#open();
      this.#parts = parts;
      this.#checkStarting();
      parts.host.start();
      await parts.lease.join();
      this.#checkStarting();
      await parts.router.start();
      await this.#relievePredecessors(parts);
      this.#checkStarting();
      this.#unwatch = (await parts.messages.watchPending?.(() => parts.host.wake())) ?? null;
      this.#checkStarting();
      parts.peers.start();
      this.backends.start({
        // An id that nobody has: looked up, and not found.
        storage: () => parts.messages.lookUp([parts.lease.runnerId]),
        leases: () => parts.runners.listRunners(),
      });
      if (this.#options.settings.role === "runner") {
        parts.owner.reconcileSoon();
        await parts.owner.settled();
        this.#checkStarting();
      }
      this.#state = "running";
    } catch (error) {
      // A shutdown that began meanwhile waits for this, and cleans up, unless it has stopped waiting.
      if (this.#stopping === null || this.state === "stopped") await this.#close();
      throw error;
    }
  }

  /** @throws {ClusterClosedError} a shutdown began while it started */
  #checkStarting(): void {
    if (this.state !== "starting")
      throw new ClusterClosedError({ what: "start()", state: describeState(this.#state) });
  }

  /**
   * Ends the leases of former runners at this very address: a process that listens there proves that they are gone, and
   * what they held need not wait for their leases. Only at a start, so that two processes that say by mistake that they
   * are at one address do not end each other's leases for ever; and only if what is sent there comes in here.
   */
  async #relievePredecessors(parts: Parts): Promise<void> {
    const { settings, logger } = this.#options;
    if (settings.role !== "runner" || isAutomatic(parts.address)) return;
    const predecessors = parts.router.runners.filter(
      (runner) =>
        runner.address === parts.address &&
        runner.role === "runner" &&
        runner.runnerId !== parts.lease.runnerId,
    );
    if (predecessors.length === 0 || !(await parts.peers.isOwnAddress(parts.address, OWN_ADDRESS_MS))) return;
    for (const { runnerId } of predecessors) {
      logger.info("A former runner at this address is gone: its lease is ended", {
        runnerId,
        address: parts.address,
      });
      await parts.runners.unregister(runnerId).catch((error: unknown) => {
        logger.warn(
          "The lease of a former runner at this address could not be ended; it runs out by itself",
          {
            runnerId,
            error: String(error),
          },
        );
      });
    }
    await parts.router.refresh();
  }

  async #shutdown(): Promise<void> {
    const { clock, settings } = this.#options;
    const starting = this.#starting;
    this.#state = "draining";
    // Before it is open there is nothing to drain, and a start under way ends at its next step.
    if (starting !== null && this.#parts === null) await within(clock, starting, START_ENDS_MS);
    const parts = this.#parts;
    if (parts !== null) {
      // Others see a weight of 0 and expect these shards, so that what comes for them waits there for a moment.
      await within(clock, parts.lease.publish(), CLOSE_TIMEOUT_MS);
      const callsMayEndBy = clock.monotonic() + settings.entityTerminationTimeoutMs;
      await within(clock, parts.owner.stop(), settings.entityTerminationTimeoutMs + DRAIN_GRACE_MS);
      // Calls of this process have as long to end as its handlers had.
      await within(clock, parts.delivery.idle(), callsMayEndBy - clock.monotonic());
      if (starting !== null) await within(clock, starting, START_ENDS_MS);
      parts.owner.dropAll("the cluster shuts down");
      parts.host.stop();
      await within(clock, parts.lease.leave(), CLOSE_TIMEOUT_MS);
      const isAlone = parts.router.runners.every(({ runnerId }) => runnerId === parts.lease.runnerId);
      if (!isAlone) await sleep(clock, LINGER_MS);
    }
    await this.#close();
  }

  async #close(): Promise<void> {
    const { clock, logger } = this.#options;
    const parts = this.#parts;
    this.#state = "stopped";
    this.backends.stop();
    await within(clock, this.#unwatch?.() ?? Promise.resolve(), CLOSE_TIMEOUT_MS);
    if (parts === null) return;
    this.#parts = null;
    parts.peers.stop();
    parts.lease.abandon();
    parts.owner.halt();
    parts.host.stop();
    await within(clock, parts.router.stop(), CLOSE_TIMEOUT_MS);
    parts.delivery.close("stopped");
    for (const close of [
      () => parts.transport.close(CLOSE_TIMEOUT_MS),
      () => parts.openRunners?.close() ?? Promise.resolve(),
      () => parts.storage.close(),
    ]) {
      const closing = close().catch((error: unknown) => {
        logger.warn("A connection could not be closed", { error: String(error) });
      });
      if (!(await within(clock, closing, 2 * CLOSE_TIMEOUT_MS)))
        logger.warn("A connection takes its time to close, and is not waited for");
    }
  }

  async #open(): Promise<Parts> {
    const { clock, random } = this.#options;
    const services = { clock, random };
    const storage = await this.#options.storage.open(services);
    let openRunners: OpenRunners | null = null;
    try {
      const ownRunners = this.#options.runners === null ? storage.runners : null;
      openRunners =
        ownRunners === null
          ? await (this.#options.runners ?? this.#options.defaultRunners).open(services)
          : null;
      const transport = await this.#options.transport.open(services);
      return await this.#wire(storage, openRunners, ownRunners ?? openRunners?.runners, transport);
    } catch (error) {
      await openRunners?.close().catch(() => undefined);
      await storage.close().catch(() => undefined);
      throw error;
    }
  }

  async #wire(
    storage: OpenStorage,
    openRunners: OpenRunners | null,
    runners: RunnerStorage | undefined,
    transport: Transport,
  ): Promise<Parts> {
    const { settings, clock, random, logger } = this.#options;
    if (runners === undefined) throw new Error("No runner storage was opened");
    const { messages } = storage;
    const host = new EntityHost({
      messages,
      clock,
      logger,
      counters: this.counters,
      exposeStacks: settings.exposeStacks,
      maxPayloadBytes: settings.maxPayloadBytes,
      maxIdleTimeMs: settings.entityMaxIdleTimeMs,
      mailboxCapacity: settings.entityMailboxCapacity,
      concurrency: settings.entityMaxConcurrentRequests,
      terminationTimeoutMs: settings.entityTerminationTimeoutMs,
      pollIntervalMs: settings.storagePollIntervalMs,
      maxRetries: settings.storageMessageMaxRetries,
      leaseIsHeld: () => lease.isHeld() && !this.isDetached,
      isDetached: () => this.isDetached,
      fenced: (shardId) => owner.fenced(shardId),
      deadLettered: (letter) => void this.events.emit("deadLettered", letter),
      observed: (call) => this.backends.observed("storage", call),
    });
    const address = await transport.start({
      receive: (from, message) => this.#switchboard.receive(from, message),
      undelivered: (to, message) => delivery.undelivered(to, message),
      disconnected: (peer) => {
        host.forgetPeer(peer);
        delivery.disconnected(peer);
      },
    });
    const lease = new LeaseKeeper({
      storage: runners,
      clock,
      random,
      logger,
      ttlMs: settings.runnerLockTtlMs,
      refreshIntervalMs: settings.runnerLockRefreshIntervalMs,
      record: (runnerId, isOnTrial) => this.#record(runnerId, address, isOnTrial),
      lost: (reason) => owner.dropAll(reason),
      joined: () => {
        // The first time, start() goes on by itself.
        if (this.#state === "running") void router.refresh().then(() => owner.reconcileSoon());
      },
      observed: (call) => this.backends.observed("leases", call),
    });
    const router = new Router({
      storage: runners,
      clock,
      logger,
      shardsPerGroup: settings.shardsPerGroup,
      refreshIntervalMs: settings.runnerLockRefreshIntervalMs,
      debounceMs: settings.shardRebalanceDebounceMs,
      observed: (call) => this.backends.observed("leases", call),
      changed: ({ joined, left, freesShards }) => {
        for (const runner of joined) this.events.emit("runnerJoined", describeRunner(runner));
        for (const runner of left) this.events.emit("runnerLeft", describeRunner(runner));
        this.#checkShardCounts(joined);
        if (settings.role === "runner") owner.reconcileSoon();
        // Who started a moment ago has all of them to take after the debounce.
        if (freesShards && this.#state === "running") owner.takeMissing();
        delivery.routesChanged();
      },
    });
    const peers = new PeerHealth({
      clock,
      random,
      intervalMs: Math.min(Math.max(settings.runnerLockTtlMs / 15, SHORTEST_PING_MS), LONGEST_PING_MS),
      peers: () =>
        router.runners.flatMap((runner) =>
          runner.role === "runner" && runner.address !== address ? [runner.address] : [],
        ),
      ping: (to, nonce) => transport.send(to, { type: "ping", nonce }),
      changed: (peer, isReachable) => {
        if (isReachable) logger.info("A runner answers again", { address: peer });
        else logger.warn("A runner does not answer; requests go around it", { address: peer });
      },
      missing: () => void router.refresh(),
    });
    const delivery = new Delivery({
      messages,
      clock,
      logger,
      sendRetryCount: settings.sendRetryCount,
      pollIntervalMs: settings.storagePollIntervalMs,
      handOverMs: settings.shardRebalanceDebounceMs + settings.entityTerminationTimeoutMs + DRAIN_GRACE_MS,
      isReachable: (peer) => peers.isReachable(peer),
      ownerOf: (shardId) => {
        const runner = router.ownerOf(shardId);
        // What is still held here is answered here, whatever the newest list says: it is drained before it moves.
        if (runner?.runnerId === lease.runnerId || host.serves(shardId)) return "here";
        return runner?.address;
      },
      serves: (entityType) => router.serves(entityType),
      reroute: (shardId) => router.doubt(shardId),
      send: (to, message) => transport.send(to, message),
      deliverHere: (message) => this.#switchboard.receiveHere(message),
    });
    const caller = new ClusterCaller({
      delivery,
      messages,
      clock,
      random,
      maxPayloadBytes: settings.maxPayloadBytes,
      shardOf: (group, entityId) => router.shardOf(group, entityId),
      sender: () => lease.runnerId,
      closed: (fromInside) => this.#closedFor(fromInside),
    });
    const registry = new Registry({ settings, clock, random, logger, storage, caller, host, router });
    for (const registration of this.#registrations) registry.add(registration);
    const owner = new ShardOwner({
      lease,
      runners,
      messages,
      clock,
      logger,
      guest: this.#guest(host, registry),
      debounceMs: settings.shardRebalanceDebounceMs,
      target: () => (this.isDetached ? [] : router.shardsOf(lease.runnerId, settings.shardGroups)),
      acquired: (shardId) => void this.events.emit("shardAcquired", { shardId }),
      lost: (shardId, reason) => void this.events.emit("shardLost", { shardId, reason }),
      released: (shardIds) => {
        for (const runner of router.runners) {
          if (runner.runnerId !== lease.runnerId && runner.role === "runner")
            transport.send(runner.address, { type: "released", shardIds });
        }
      },
    });
    return {
      storage,
      messages,
      openRunners,
      runners,
      transport,
      address,
      lease,
      router,
      peers,
      owner,
      host,
      delivery,
      caller,
      registry,
    };
  }

  #guest(host: EntityHost, registry: Registry): ConstructorParameters<typeof ShardOwner>[0]["guest"] {
    return {
      expect: (shardIds) => host.expect(shardIds),
      unexpect: (shardIds) => host.unexpect(shardIds),
      take: (fence: Fence) => {
        host.take(fence);
        registry.take(fence);
      },
      isIdle: (shardId: ShardId) => host.isIdle(shardId),
      drain: async (shardId: ShardId) => {
        await Promise.all([host.drain(shardId), registry.drain(shardId)]);
      },
      drop: (shardIds, reason) => {
        host.drop(shardIds, reason);
        registry.drop(shardIds);
      },
    };
  }

  #record(runnerId: string, address: string, isOnTrial: boolean): RunnerRecord {
    const { settings } = this.#options;
    const hostsNothing =
      settings.role === "client" || this.#state === "draining" || this.isDetached || isOnTrial;
    return {
      runnerId,
      address,
      role: settings.role,
      weight: hostsNothing ? 0 : settings.runnerWeight,
      shardGroups: settings.role === "client" ? [] : settings.shardGroups,
      entityTypes: settings.role === "client" ? [] : entityTypesOf(this.#registrations),
      shardsPerGroup: settings.shardsPerGroup,
      protocolVersion: PROTOCOL_VERSION,
    };
  }

  /** Members that count shards differently would send requests to the wrong entities: that must not go unseen. */
  #checkShardCounts(runners: readonly RunnerRecord[]): void {
    const { shardsPerGroup } = this.#options.settings;
    for (const runner of runners) {
      if (runner.shardsPerGroup === shardsPerGroup) continue;
      this.#options.logger.error(
        "A member counts another number of shards: shardsPerGroup must be the same everywhere",
        {
          address: runner.address,
          theirs: runner.shardsPerGroup,
          ours: shardsPerGroup,
        },
      );
    }
  }

  #closedFor(fromInside: boolean): string | null {
    // Handlers that are ending may still call others.
    const isOpen =
      this.#state === "running" || this.#state === "starting" || (fromInside && this.#state === "draining");
    return isOpen ? null : describeState(this.#state);
  }

  /** Shards were freed for their next owners: those that are to come here are taken at once. */
  #released(shardIds: readonly ShardId[]): void {
    const parts = this.#parts;
    if (parts === null || this.#options.settings.role !== "runner") return;
    if (parts.owner.takeFree(shardIds)) return;
    // They may be this runner's by a newer list than the one that it knows.
    void parts.router.refresh().then(() => parts.owner.takeFree(shardIds));
  }

  /** In memory at once; in the lease store as soon as that can be reached, so that others may take the shards. */
  #detach(reason: string): void {
    const parts = this.#parts;
    if (parts === null) return;
    this.#options.logger.warn("Detached: this runner gives up its shards", { reason });
    parts.owner.dropAll(reason);
    this.events.emit("detached", { reason });
    void parts.lease.publish();
    parts.owner.reconcileNow();
  }

  #attach(): void {
    const parts = this.#parts;
    if (parts === null) return;
    this.#options.logger.info("Attached: this runner takes shards again");
    this.events.emit("attached");
    void parts.lease
      .publish()
      .then(() => parts.router.refresh())
      .then(() => parts.owner.reconcileNow());
  }

  log(fields: Readonly<Record<string, unknown>>): Logger {
    return withFields(this.#options.logger, fields);
  }
}

function describeRunner(runner: RunnerRecord): {
  runnerId: string;
  address: string;
  role: "runner" | "client";
} {
  return { runnerId: runner.runnerId, address: runner.address, role: runner.role };
}

/** An address that the memory transport chose by itself: other processes have the same ones. */
function isAutomatic(address: string): boolean {
  return address.startsWith("memory://");
}

function describeState(state: MemberState): string {
  return state === "created" ? "not started; await cluster.start() first" : state;
}
