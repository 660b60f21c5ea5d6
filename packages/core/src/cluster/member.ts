// Member: one runner or client: starts its parts, stops them, and takes them off their shards and back.
//
// Owns the order in which things start and stop. What the parts are, and how they know each other, is in parts.ts.
//
//   created -> starting -> running -> draining -> stopped, or `crash()` from any of them, which cleans nothing up.

import type { EventEmitter } from "node:events";
import { sleep } from "../clock/sleep.ts";
import { within } from "../clock/within.ts";
import { guardedLogger, withFields, type LogFields, type Logger } from "../contract/logger.ts";
import type { ShardId } from "../data/shard-id.ts";
import { Counters } from "../entity/counters.ts";
import { ConfigError } from "../errors/config.ts";
import { ClusterClosedError } from "../errors/routing.ts";
import { BackendWatch } from "./backend-watch.ts";
import type { ClusterSettings } from "./config.ts";
import { guardedEvents, type ClusterEvents } from "./events.ts";
import { describeState, type MemberState } from "./member-state.ts";
import { DRAIN_GRACE_MS, openParts, PROTOCOL_VERSION, type MemberBasis, type Parts } from "./parts.ts";
import {
  byShardGroup,
  checkRegistrations,
  describeRegistration,
  type Registration,
  type Registrable,
} from "./registration.ts";
import { Switchboard } from "./switchboard.ts";

export interface MemberOptions extends MemberBasis {
  readonly registrations: readonly Registrable[];
}

/** A shard group without a runner, and what is registered for it. */
export interface UnhostedGroup extends LogFields {
  readonly shardGroup: string;
  readonly registered: readonly string[];
}

/** How long closing waits for each of transport, lease store and storage. */
const CLOSE_TIMEOUT_MS = 2_000;
/** How long a runner that left still tells others that it has: what they sent before they heard of it is on its way. */
const LINGER_MS = 200;
/** How long a shutdown waits for a start under way to notice. */
const START_ENDS_MS = 5_000;
/** A backend that nobody asks is asked as often as leases are refreshed, within these bounds. */
const SHORTEST_QUIET_MS = 10_000;
const LONGEST_QUIET_MS = 60_000;
/** How long a message to this member's own address may take. */
const OWN_ADDRESS_MS = 1_000;

export class Member {
  readonly events: EventEmitter<ClusterEvents>;
  readonly counters: Counters = new Counters();
  readonly #options: MemberOptions;
  readonly backends: BackendWatch;
  readonly #switchboard: Switchboard;
  readonly #registrations: Registration[] = [];
  #state: MemberState = "created";
  #parts: Parts | null = null;
  #starting: Promise<void> | null = null;
  /** What `start()` gives. */
  #started: Promise<void> | null = null;
  #stopping: Promise<void> | null = null;
  #unwatch: (() => Promise<void>) | null = null;

  constructor(given: MemberOptions) {
    const options = { ...given, logger: guardedLogger(given.logger) };
    this.#options = options;
    this.events = guardedEvents(options.logger);
    this.backends = new BackendWatch({
      clock: options.clock,
      quietMs: Math.min(
        Math.max(options.settings.runnerLockRefreshIntervalMs, SHORTEST_QUIET_MS),
        LONGEST_QUIET_MS,
      ),
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
      throw new ClusterClosedError({ what: "A call", state: describeState(this.#state) });
    return this.#parts;
  }

  get partsIfAny(): Parts | null {
    return this.#parts;
  }

  /** @throws {DefinitionError} two registrations of one kind have one name, or what is given is no implementation */
  register(...registrations: readonly Registrable[]): void {
    const added = checkRegistrations(registrations, this.#registrations);
    this.#registrations.push(...added);
    if (this.#parts === null) return;
    for (const registration of added) this.#parts.registry.add(registration);
    void this.#parts.lease.publish();
    if (this.#state === "running") this.#tellUnhosted(added);
  }

  get registrations(): readonly Registration[] {
    return this.#registrations;
  }

  /** What of these is for shard groups that no runner hosts: it waits until one does. */
  unhosted(registrations: readonly Registration[] = this.#registrations): readonly UnhostedGroup[] {
    const router = this.#parts?.router;
    if (router === undefined || this.settings.role === "client") return [];
    return [...byShardGroup(registrations)]
      .filter(([shardGroup]) => !router.hosts(shardGroup))
      .map(([shardGroup, registered]) => ({ shardGroup, registered: registered.map(describeRegistration) }));
  }

  #tellUnhosted(registrations: readonly Registration[]): void {
    for (const unhosted of this.unhosted(registrations))
      this.#options.logger.warn("What is registered waits until a runner hosts its shard group", unhosted);
  }

  start(): Promise<void> {
    if (this.#stopping !== null)
      return Promise.reject(new ClusterClosedError({ what: "start()", state: describeState(this.#state) }));
    this.#starting ??= this.#start();
    this.#started ??= this.#starting.catch(async (error: unknown) => {
      // A shutdown ended it: a process that ends by this error is to have left by then.
      await this.#stopping;
      throw error;
    });
    return this.#started;
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
      const parts = await openParts(this.#options, {
        counters: this.counters,
        events: this.events,
        backends: this.backends,
        switchboard: this.#switchboard,
        state: () => this.#state,
        registrations: () => this.#registrations,
        closed: (fromInside) => this.#closedFor(fromInside),
      });
      this.#parts = parts;
      this.#checkStarting();
      // A client serves no shard, so it has nothing to look for.
      if (this.#options.settings.role === "runner") parts.host.start();
      // Before it joins: others would have to get along with it.
      await this.#checkRunners(parts);
      this.#checkStarting();
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
      this.#tellUnhosted(this.#registrations);
    } catch (error) {
      // A shutdown that began meanwhile waits for this, and cleans up, unless it has stopped waiting.
      if (this.#stopping === null || this.state === "stopped") await this.#giveUp();
      throw error;
    }
  }

  /** @throws {ClusterClosedError} a shutdown began while it started */
  #checkStarting(): void {
    if (this.state !== "starting")
      throw new ClusterClosedError({ what: "start()", state: describeState(this.#state) });
  }

  /**
   * What a member that counts shards differently has accepted is in shards that nobody owns, and an entity would be in two.
   * One that speaks another version of the protocol would be given shards, and be reached by nobody.
   *
   * @throws {ConfigError}
   */
  async #checkRunners({ runners, address }: Parts): Promise<void> {
    const { shardsPerGroup } = this.#options.settings;
    // A client that is wrong is told so itself. Who was at this very address is gone.
    const others = (await runners.listRunners()).filter(
      (member) => member.role === "runner" && member.address !== address,
    );
    const foreign = others.find(({ protocolVersion }) => protocolVersion !== PROTOCOL_VERSION);
    if (foreign !== undefined) {
      throw new ConfigError({
        option: "transport",
        got: `protocol version ${PROTOCOL_VERSION}`,
        takes: `the version that the cluster's runners speak, and ${foreign.address} speaks ${foreign.protocolVersion}`,
        hint: "That one is of another release of @holdfast/core: the changelog of the later one says how to upgrade.",
      });
    }
    const other = others.find((member) => member.shardsPerGroup !== shardsPerGroup);
    if (other === undefined) return;
    throw new ConfigError({
      option: "shardsPerGroup",
      got: shardsPerGroup,
      takes: `the same number on every member, and ${other.address} has ${other.shardsPerGroup}`,
      hint: "It decides which shard an entity is in, and cannot be changed while there are entities.",
    });
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
      // Nobody asks a client for anything.
      if (!isAlone && settings.role === "runner") await sleep(clock, LINGER_MS);
    }
    await this.#close();
  }

  /** A start failed: others are not to count on what it has taken by then, or may have, where it got no answer. */
  async #giveUp(): Promise<void> {
    const parts = this.#parts;
    if (parts !== null) {
      parts.owner.dropAll("the start failed");
      await within(this.#options.clock, parts.lease.leave(), CLOSE_TIMEOUT_MS);
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

/** An address that the memory transport chose by itself: other processes have the same ones. */
function isAutomatic(address: string): boolean {
  return address.startsWith("memory://");
}
