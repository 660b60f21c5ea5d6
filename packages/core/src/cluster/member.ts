// Member: one runner or client, wired together: lease, routes, shards, entities, singletons, delivery.
//
// Owns the order in which things start and stop. Decides nothing itself.
//
//   created -> starting -> running -> draining -> stopped, or `crash()` from any of them, which cleans nothing up.

import { EventEmitter } from "node:events";
import type { Clock, Timer } from "../adapter/clock.ts";
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
import { encodeError } from "../contract/error-codec.ts";
import { withFields, type Logger } from "../contract/logger.ts";
import type { Fence } from "../data/epoch.ts";
import type { RunnerRecord } from "../data/runner-record.ts";
import type { ShardId } from "../data/shard-id.ts";
import type { WireMessage } from "../data/wire-message.ts";
import { Counters } from "../entity/counters.ts";
import { Delivery } from "../entity/delivery.ts";
import { EntityHost } from "../entity/entity-host.ts";
import { ClusterClosedError } from "../errors/routing.ts";
import { PayloadTooLargeError } from "../errors/storage.ts";
import { Detachment } from "../sharding/detachment.ts";
import { LeaseKeeper } from "../sharding/lease-keeper.ts";
import { Router } from "../sharding/router.ts";
import { ShardOwner } from "../sharding/shard-owner.ts";
import type { ClusterSettings } from "./config.ts";
import type { ClusterEvents } from "./events.ts";
import { checkRegistrations, entityTypesOf, type Registration } from "./registration.ts";
import { Registry } from "./registry.ts";

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
const CLOSE_TIMEOUT_MS = 1_000;

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
  readonly #detachment = new Detachment();
  readonly #registrations: Registration[] = [];
  #state: MemberState = "created";
  #parts: Parts | null = null;
  #starting: Promise<void> | null = null;
  #stopping: Promise<void> | null = null;
  #unwatch: (() => Promise<void>) | null = null;
  #healthTimer: Timer | undefined;

  constructor(options: MemberOptions) {
    this.#options = options;
    this.register(...options.registrations);
  }

  get state(): MemberState {
    return this.#state;
  }

  get settings(): ClusterSettings {
    return this.#options.settings;
  }

  get isDetached(): boolean {
    return this.#detachment.isDetached;
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
    void this.#parts.lease.publish().catch((error: unknown) => {
      this.#options.logger.warn(
        "The new entity types could not be published; the next registration or join does it",
        { error: String(error) },
      );
    });
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
    this.#healthTimer?.cancel();
    if (parts === null) return;
    this.#parts = null;
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
      parts.host.start();
      await parts.lease.join();
      await parts.router.start();
      this.#unwatch = (await parts.messages.watchPending?.(() => parts.host.wake())) ?? null;
      if (this.#options.settings.role === "runner") {
        parts.owner.reconcileSoon();
        await parts.owner.settled();
      }
      this.#watchHealth(parts);
      // A shutdown may have begun meanwhile; then its state stands.
      if (this.#state === "starting") this.#state = "running";
    } catch (error) {
      await this.#close(CLOSE_TIMEOUT_MS);
      throw error;
    }
  }

  async #shutdown(): Promise<void> {
    const hadStarted = this.#starting !== null;
    this.#state = "draining";
    const parts = this.#parts;
    if (parts !== null) {
      // Others see a weight of 0 and expect these shards, so that what comes for them waits there for a moment.
      if (parts.lease.isHeld()) await parts.lease.publish().catch(() => undefined);
      await parts.owner.stop();
      parts.host.stop();
      await parts.lease.leave();
    }
    await this.#close(CLOSE_TIMEOUT_MS);
    if (hadStarted) await this.#starting?.catch(() => undefined);
    this.#state = "stopped";
  }

  async #close(timeoutMs: number): Promise<void> {
    const parts = this.#parts;
    this.#state = "stopped";
    this.#healthTimer?.cancel();
    await this.#unwatch?.().catch(() => undefined);
    if (parts === null) return;
    this.#parts = null;
    parts.lease.abandon();
    parts.owner.halt();
    parts.host.stop();
    await parts.router.stop();
    parts.delivery.close("stopped");
    for (const close of [
      () => parts.transport.close(timeoutMs),
      () => parts.openRunners?.close(),
      () => parts.storage.close(),
    ]) {
      try {
        await close();
      } catch (error) {
        this.#options.logger.warn("A connection could not be closed", { error: String(error) });
      }
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
      leaseIsHeld: () => lease.isHeld() && !this.#detachment.isDetached,
      fenced: (shardId) => owner.fenced(shardId),
      deadLettered: (letter) => void this.events.emit("deadLettered", letter),
      observed: (healthy) => this.#observe(healthy),
    });
    const address = await transport.start({
      receive: (from, message) => this.#receive(from, message),
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
      record: (runnerId) => this.#record(runnerId, address),
      lost: (reason) => owner.dropAll(reason),
      joined: () => {
        // The first time, start() goes on by itself.
        if (this.#state === "running") void router.refresh().then(() => owner.reconcileSoon());
      },
      observed: (healthy) => this.#observe(healthy),
    });
    const router = new Router({
      storage: runners,
      clock,
      logger,
      shardsPerGroup: settings.shardsPerGroup,
      refreshIntervalMs: settings.runnerLockRefreshIntervalMs,
      debounceMs: settings.shardRebalanceDebounceMs,
      changed: ({ joined, left }) => {
        for (const runner of joined) this.events.emit("runnerJoined", describeRunner(runner));
        for (const runner of left) this.events.emit("runnerLeft", describeRunner(runner));
        this.#checkShardCounts(joined);
        if (settings.role === "runner") owner.reconcileSoon();
        delivery.routesChanged();
      },
    });
    const delivery = new Delivery({
      messages,
      clock,
      logger,
      sendRetryCount: settings.sendRetryCount,
      pollIntervalMs: settings.storagePollIntervalMs,
      ownerOf: (shardId) => {
        const runner = router.ownerOf(shardId);
        // What is still held here is answered here, whatever the newest list says: it is drained before it moves.
        if (runner?.runnerId === lease.runnerId || host.serves(shardId)) return "here";
        return runner?.address;
      },
      serves: (entityType) => router.serves(entityType),
      reroute: (shardId) => router.doubt(shardId),
      send: (to, message) => transport.send(to, message),
      deliverHere: (message) => this.#receiveHere(message),
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
      target: () =>
        this.#detachment.isDetached ? [] : router.shardsOf(lease.runnerId, settings.shardGroups),
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
      drain: async (shardId: ShardId) => {
        await Promise.all([host.drain(shardId), registry.drain(shardId)]);
      },
      drop: (shardIds, reason) => {
        host.drop(shardIds, reason);
        registry.drop(shardIds);
      },
    };
  }

  #record(runnerId: string, address: string): RunnerRecord {
    const { settings } = this.#options;
    return {
      runnerId,
      address,
      role: settings.role,
      weight: settings.role === "client" || this.#state === "draining" ? 0 : settings.runnerWeight,
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

  #receive(from: string, message: WireMessage): void {
    const parts = this.#parts;
    if (parts === null) return;
    switch (message.type) {
      case "request":
        return void parts.host.receive(message.envelope, from, (answer) => this.#answer(from, answer));
      case "interrupt":
        return parts.host.interrupt(message.requestId, "its caller left");
      case "acknowledge":
        return parts.host.acknowledge(message.requestId, message.upTo);
      case "probe":
        return this.#answer(from, {
          type: "known",
          requestId: message.requestId,
          known: parts.host.knows(message.requestId),
        });
      case "wake":
        return parts.host.wake();
      case "released":
        return void parts.router.refresh().then(() => parts.owner.reconcileNow());
      case "ping":
        return this.#answer(from, { type: "pong", nonce: message.nonce });
      case "pong":
        return;
      default:
        return parts.delivery.receive(message);
    }
  }

  #receiveHere(message: WireMessage): void {
    const parts = this.#parts;
    if (parts === null) return;
    if (message.type === "request")
      void parts.host.receive(message.envelope, "here", (answer) => parts.delivery.receive(answer));
    else this.#receive("here", message);
  }

  #answer(to: string, message: WireMessage): void {
    const parts = this.#parts;
    if (parts === null) return;
    if (to === "here") return parts.delivery.receive(message);
    try {
      parts.transport.send(to, message);
    } catch (error) {
      if (!(error instanceof PayloadTooLargeError)) throw error;
      const requestId =
        message.type === "reply"
          ? message.reply.requestId
          : message.type === "chunk"
            ? message.chunk.requestId
            : null;
      if (requestId === null) return;
      // The handler has run; what it returned just does not fit through. Its caller must not wait for ever.
      const exit = { ok: false, error: encodeError(error, { exposeStacks: false }) } as const;
      parts.transport.send(to, { type: "reply", reply: { requestId, exit } });
    }
  }

  #observe(healthy: boolean): void {
    if (!this.#options.settings.detachmentEnabled || this.#options.settings.role === "client") return;
    const decision = this.#detachment.observe(healthy, this.#options.clock.monotonic());
    const parts = this.#parts;
    if (decision === null || parts === null) return;
    if (decision === "detach") {
      parts.owner.dropAll("storage or leases are out of reach");
      this.events.emit("detached", { reason: "storage or leases are out of reach" });
    } else {
      this.events.emit("attached");
      parts.owner.reconcileNow();
    }
  }

  /** A runner without shards polls nothing: while detached it must find out that storage answers again. */
  #watchHealth(parts: Parts): void {
    const { settings, clock } = this.#options;
    if (!settings.detachmentEnabled) return;
    this.#healthTimer = clock.setTimer(settings.storagePollIntervalMs, () => {
      const check = this.#detachment.isDetached
        ? parts.messages.lookUp([]).then(() => this.#observe(true))
        : Promise.resolve();
      void check
        .catch(() => this.#observe(false))
        .then(() => {
          if (this.#parts === parts) this.#watchHealth(parts);
        });
    });
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

function describeState(state: MemberState): string {
  return state === "created" ? "not started; await cluster.start() first" : state;
}
