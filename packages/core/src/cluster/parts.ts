// Parts: what a member is made of while it runs, and how its parts know each other: lease, routes, peers, shards, entities,
// singletons, delivery. Starts nothing but the transport: when the others start and stop, the member says.

import type { EventEmitter } from "node:events";
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
import type { ExecutionAccess } from "../client/execution-access.ts";
import type { Logger } from "../contract/logger.ts";
import type { Fence } from "../data/epoch.ts";
import { HERE, type RunnerRecord } from "../data/runner-record.ts";
import type { ShardId } from "../data/shard-id.ts";
import type { Counters } from "../entity/counters.ts";
import { Delivery } from "../entity/delivery.ts";
import { EntityHost } from "../entity/entity-host.ts";
import { LeaseKeeper } from "../sharding/lease-keeper.ts";
import { PeerHealth } from "../sharding/peer-health.ts";
import { Router } from "../sharding/router.ts";
import { ShardOwner, type ShardGuest } from "../sharding/shard-owner.ts";
import type { BackendWatch } from "./backend-watch.ts";
import type { ClusterSettings } from "./config.ts";
import type { ClusterEvents } from "./events.ts";
import { guardedTransport } from "./guarded-transport.ts";
import type { MemberState } from "./member-state.ts";
import { entityTypesOf, type Registration } from "./registration.ts";
import { Registry } from "./registry.ts";
import type { Switchboard } from "./switchboard.ts";

/** On what a member stands. */
export interface MemberBasis {
  readonly settings: ClusterSettings;
  readonly storage: StorageAdapter;
  /** Null: the storage's own, else memory. */
  readonly runners: RunnersAdapter | null;
  readonly defaultRunners: RunnersAdapter;
  readonly transport: TransportAdapter;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** What its parts see of a member. */
export interface MemberFace {
  readonly counters: Counters;
  readonly events: EventEmitter<ClusterEvents>;
  readonly backends: BackendWatch;
  readonly switchboard: Switchboard;
  readonly state: () => MemberState;
  readonly registrations: () => readonly Registration[];
  /** Why no call can be made now, or null. */
  readonly closed: (fromInside: boolean) => string | null;
}

/** The version of what members say to each other: those of two versions do not understand each other. */
export const PROTOCOL_VERSION = 1;
/** What a drain may take longer than handlers may: for calls that free shards, or that fail to. */
export const DRAIN_GRACE_MS = 5_000;
/** Peers are pinged every 2 s where a lease lasts 30 s, faster and slower with it, within these bounds. */
const SHORTEST_PING_MS = 250;
const LONGEST_PING_MS = 60_000;

/** What the adapters have opened. */
interface OpenAdapters {
  readonly storage: OpenStorage;
  /** Null: members and leases are the storage's own. */
  readonly openRunners: OpenRunners | null;
  readonly runners: RunnerStorage;
  readonly transport: Transport;
}

/** What exists while a member runs. */
export interface Parts extends OpenAdapters {
  readonly messages: MessageStorage;
  readonly address: string;
  readonly lease: LeaseKeeper;
  readonly router: Router;
  readonly peers: PeerHealth;
  readonly owner: ShardOwner;
  readonly host: EntityHost;
  readonly delivery: Delivery;
  readonly caller: ClusterCaller;
  readonly executions: ExecutionAccess;
  readonly registry: Registry;
}

/** Opens the adapters and makes the parts. What was opened is closed again if that fails. */
export async function openParts(basis: MemberBasis, member: MemberFace): Promise<Parts> {
  const { clock, random } = basis;
  const services = { clock, random };
  const storage = await basis.storage.open(services);
  let openRunners: OpenRunners | null = null;
  let transport: Transport | null = null;
  try {
    let runners = hasOwnRunners(basis) ? storage.runners : null;
    if (runners === null) {
      openRunners = await (basis.runners ?? basis.defaultRunners).open(services);
      ({ runners } = openRunners);
    }
    transport = guardedTransport(await basis.transport.open(services), basis.logger);
    return await wire(basis, member, { storage, openRunners, runners, transport });
  } catch (error) {
    await transport?.close(0).catch(() => undefined);
    await openRunners?.close().catch(() => undefined);
    await storage.close().catch(() => undefined);
    throw error;
  }
}

/** Whether members and leases are to be the storage's own, if it has any. */
function hasOwnRunners({ storage, runners }: MemberBasis): boolean {
  return (
    runners === null || (runners.sharedBackend !== undefined && runners.sharedBackend === storage.backend)
  );
}

async function wire(basis: MemberBasis, member: MemberFace, opened: OpenAdapters): Promise<Parts> {
  const { settings, clock, random, logger } = basis;
  const { counters, events, backends, switchboard } = member;
  const { storage, runners, transport } = opened;
  const { messages } = storage;
  const leaseIsHeld = (): boolean => lease.isHeld() && !backends.isDetached;
  const host = new EntityHost({
    messages,
    clock,
    random,
    logger,
    counters,
    exposeStacks: settings.exposeStacks,
    maxPayloadBytes: settings.maxPayloadBytes,
    maxIdleTimeMs: settings.entityMaxIdleTimeMs,
    mailboxCapacity: settings.entityMailboxCapacity,
    concurrency: settings.entityMaxConcurrentRequests,
    terminationTimeoutMs: settings.entityTerminationTimeoutMs,
    pollIntervalMs: settings.storagePollIntervalMs,
    maxRetries: settings.storageMessageMaxRetries,
    leaseIsHeld,
    isDetached: () => backends.isDetached,
    fenced: (shardId) => owner.fenced(shardId),
    deadLettered: (letter) => void events.emit("deadLettered", letter),
    observed: (call) => backends.observed("storage", call),
  });
  const address = await transport.start({
    receive: (from, message) => switchboard.receive(from, message),
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
    record: (runnerId, isOnTrial) => recordOf(basis, member, { runnerId, address, isOnTrial }),
    lost: (reason) => owner.dropAll(reason),
    ended: () => registry.ended(),
    joined: () => {
      // The first time, start() goes on by itself.
      if (member.state() === "running") void router.refresh().then(() => owner.reconcileSoon());
    },
    observed: (call) => backends.observed("leases", call),
  });
  const router = new Router({
    storage: runners,
    clock,
    logger,
    shardsPerGroup: settings.shardsPerGroup,
    refreshIntervalMs: settings.runnerLockRefreshIntervalMs,
    debounceMs: settings.shardRebalanceDebounceMs,
    observed: (call) => backends.observed("leases", call),
    changed: ({ joined, left, freesShards }) => {
      for (const runner of joined) events.emit("runnerJoined", describeRunner(runner));
      for (const runner of left) events.emit("runnerLeft", describeRunner(runner));
      checkJoined(basis, joined);
      peers.renew();
      if (settings.role === "runner") owner.reconcileSoon();
      // Who started a moment ago has all of them to take after the debounce.
      if (freesShards && member.state() === "running") owner.takeMissing();
      delivery.routesChanged();
    },
  });
  const peers = new PeerHealth({
    clock,
    random,
    intervalMs: Math.min(Math.max(settings.runnerLockTtlMs / 15, SHORTEST_PING_MS), LONGEST_PING_MS),
    peers: () =>
      router.runners.flatMap((runner) =>
        runner.role === "runner" && runner.address !== address ? [runner] : [],
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
      if (runner?.runnerId === lease.runnerId || host.serves(shardId)) return HERE;
      return runner?.address;
    },
    takesNested: (envelope) => host.takesNested(envelope),
    serves: (of) => router.serves(of),
    reroute: (shardId) => router.doubt(shardId),
    send: (to, message) => transport.send(to, message),
    deliverHere: (message) => switchboard.receiveHere(message),
  });
  const caller = new ClusterCaller({
    delivery,
    messages,
    clock,
    random,
    sendRetryCount: settings.sendRetryCount,
    maxPayloadBytes: settings.maxPayloadBytes,
    shardOf: (group, entityId) => router.shardOf(group, entityId),
    sender: () => lease.runnerId,
    closed: (fromInside) => member.closed(fromInside),
  });
  const executions: ExecutionAccess = {
    workflows: () => storage.workflows,
    messages: () => messages,
    wakeOwner: (shardId) => delivery.wakeOwner(shardId),
    now: () => clock.now(),
    clock: () => clock,
    newId: () => random.id(),
  };
  const registry = new Registry({
    settings,
    clock,
    random,
    logger,
    storage,
    caller,
    executions,
    host,
    router,
    leaseIsHeld,
  });
  for (const registration of member.registrations()) registry.add(registration);
  const owner = new ShardOwner({
    lease,
    runners,
    messages,
    clock,
    logger,
    guest: guestOf(host, registry),
    debounceMs: settings.shardRebalanceDebounceMs,
    target: () => (backends.isDetached ? [] : router.shardsOf(lease.runnerId, settings.shardGroups)),
    acquired: (shardId) => void events.emit("shardAcquired", { shardId }),
    lost: (shardId, reason) => void events.emit("shardLost", { shardId, reason }),
    released: (shardIds) => {
      for (const runner of router.runners) {
        if (runner.runnerId !== lease.runnerId && runner.role === "runner")
          transport.send(runner.address, { type: "released", shardIds });
      }
    },
  });
  return {
    ...opened,
    messages,
    address,
    lease,
    router,
    peers,
    owner,
    host,
    delivery,
    caller,
    executions,
    registry,
  };
}

/** What lives on shards: entities, singletons and crons. */
function guestOf(host: EntityHost, registry: Registry): ShardGuest {
  return {
    expect: (shardIds) => host.expect(shardIds),
    unexpect: (shardIds) => host.unexpect(shardIds),
    take: (fence: Fence) => {
      host.take(fence);
      registry.take(fence);
    },
    isIdle: (shardId: ShardId) => host.isIdle(shardId),
    isEnding: (shardId: ShardId) => registry.isEnding(shardId),
    drain: async (shardId: ShardId) => {
      await Promise.all([host.drain(shardId), registry.drain(shardId)]);
    },
    drop: (shardIds, reason) => {
      host.drop(shardIds, reason);
      registry.drop(shardIds);
    },
  };
}

/** What a member says of itself to the others now. */
function recordOf(
  { settings }: MemberBasis,
  member: MemberFace,
  { runnerId, address, isOnTrial }: { runnerId: string; address: string; isOnTrial: boolean },
): RunnerRecord {
  const hostsNothing =
    settings.role === "client" || member.state() === "draining" || member.backends.isDetached || isOnTrial;
  return {
    runnerId,
    address,
    role: settings.role,
    weight: hostsNothing ? 0 : settings.runnerWeight,
    shardGroups: settings.role === "client" ? [] : settings.shardGroups,
    entityTypes: settings.role === "client" ? [] : entityTypesOf(member.registrations()),
    shardsPerGroup: settings.shardsPerGroup,
    protocolVersion: PROTOCOL_VERSION,
  };
}

/**
 * Members that count shards differently would send requests to the wrong entities, and those that speak another version of the
 * protocol have no answer to any: that must not go unseen.
 */
function checkJoined({ settings, logger }: MemberBasis, runners: readonly RunnerRecord[]): void {
  const { shardsPerGroup } = settings;
  for (const runner of runners) {
    if (runner.protocolVersion !== PROTOCOL_VERSION) {
      logger.error(
        "A member speaks another version of the protocol: it and this one do not reach each other",
        {
          address: runner.address,
          theirs: runner.protocolVersion,
          ours: PROTOCOL_VERSION,
        },
      );
    }
    if (runner.shardsPerGroup === shardsPerGroup) continue;
    logger.error("A member counts another number of shards: shardsPerGroup must be the same everywhere", {
      address: runner.address,
      theirs: runner.shardsPerGroup,
      ours: shardsPerGroup,
    });
  }
}

function describeRunner(runner: RunnerRecord): {
  runnerId: string;
  address: string;
  role: "runner" | "client";
} {
  return { runnerId: runner.runnerId, address: runner.address, role: runner.role };
}
