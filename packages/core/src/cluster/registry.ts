// Registry: what is registered on a member, and what it becomes: entities of the host, singletons of their host, crons
// seeded where their shard is.

import { setMaxListeners } from "node:events";
import type { Clock } from "../adapter/clock.ts";
import type { RequestState } from "../adapter/message-storage.ts";
import type { OpenStorage } from "../adapter/storage-adapter.ts";
import type { Random } from "../adapter/random.ts";
import type { Caller, ClusterCaller } from "../client/caller.ts";
import { callerOnShard } from "../client/caller-on-shard.ts";
import { entityClient, type EntityPeers } from "../client/entity-client.ts";
import type { HandlerContext, RunContext } from "../client/handler-context.ts";
import type { ExecutionAccess } from "../client/execution-access.ts";
import { patientCaller } from "../client/patient-caller.ts";
import { untypedTarget, workflowClients, type WorkflowClients } from "../client/workflow-client.ts";
import { sleep } from "../clock/sleep.ts";
import type { EntityContract } from "../contract/entity-contract.ts";
import { liveProperty, SOURCE } from "../contract/live-property.ts";
import { LazyLogger, withFields, type LogFields, type Logger } from "../contract/logger.ts";
import { TRANSACTION_SCOPE } from "../contract/transaction.ts";
import { EXECUTE, WAKE } from "../contract/workflow-contract.ts";
import { givenHeaders } from "../data/envelope.ts";
import { entityKey, type EntityAddress } from "../data/entity-address.ts";
import type { Fence } from "../data/epoch.ts";
import type { ShardId } from "../data/shard-id.ts";
import { bindCron, type CronDefinition } from "../define/cron.ts";
import { bindSingleton, type RunScope } from "../define/singleton.ts";
import type { WorkflowImplementation } from "../define/workflow.ts";
import type { Call, EntityBehavior } from "../entity/behavior.ts";
import type { EntityHost } from "../entity/entity-host.ts";
import type { Router } from "../sharding/router.ts";
import { CronRunner, TICK, tickOf } from "../singleton/cron-runner.ts";
import { retentionSingleton } from "../singleton/retention.ts";
import { SingletonHost } from "../singleton/singleton-host.ts";
import type { ClusterSettings } from "./config.ts";
import type { Registration } from "./registration.ts";

/** A handler's signal is made when it is asked for. */
const SIGNAL = liveProperty((call: Call) => call.signal);
const logFieldsOf = ({ envelope: { address, tag, requestId } }: Call): LogFields => ({
  entity: entityKey(address),
  rpc: tag,
  requestId,
});
/** How many old ticks of a cron are deleted at a time: more than a cron by the second makes in between. */
const FORGET_AT_ONCE = 500;
const MEND_EVERY_MS = 60_000;
/** How many requests of the shards that a cron may have been in are looked at for an overdue tick. */
const LOOKED_FOR_TICK = 1_000;

export interface RegistryOptions {
  readonly settings: ClusterSettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly storage: OpenStorage;
  readonly caller: ClusterCaller;
  readonly executions: ExecutionAccess;
  readonly host: EntityHost;
  readonly router: Router;
  readonly leaseIsHeld: () => boolean;
}

export class Registry {
  readonly #options: RegistryOptions;
  readonly #contracts = new Map<string, EntityContract>();
  readonly #singletons: SingletonHost;
  readonly #crons = new Map<ShardId, CronRunner[]>();
  /** What ends the seeding of a shard's crons when the shard leaves. */
  readonly #seeding = new Map<ShardId, AbortController>();
  readonly #peers: EntityPeers;
  readonly #workflows: WorkflowClients;
  /** What handlers call with, by the shard on which they run. */
  readonly #onShards = new Map<ShardId, Pick<HandlerContext, "entity" | "workflow">>();

  constructor(options: RegistryOptions) {
    this.#options = options;
    this.#singletons = new SingletonHost({
      clock: options.clock,
      random: options.random,
      logger: options.logger,
      shardsPerGroup: options.settings.shardsPerGroup,
      crashBackoffBaseMs: options.settings.singletonCrashBackoffBaseMs,
      terminationTimeoutMs: options.settings.entityTerminationTimeoutMs,
      leaseIsHeld: options.leaseIsHeld,
    });
    this.#peers = peersOf(options.caller);
    this.#workflows = workflowClients(patientCaller(options.caller), options.executions);
  }

  /** What is known of an entity type here: its schemas and shard group. */
  contractOf(entityType: string): EntityContract | undefined {
    return this.#contracts.get(entityType);
  }

  get runningSingletons(): readonly string[] {
    return this.#singletons.running;
  }

  add(registration: Registration): void {
    switch (registration.kind) {
      case "entity":
        this.#addBehavior(registration.bind((call) => this.#handlerContext(call)));
        return this.#keep(registration.contract, this.#options.settings.requestRetentionMs, null);
      case "workflow":
        this.#addBehavior(this.#bindWorkflow(registration));
        return this.#keep(registration.contract.entity, registration.contract.retentionMs, EXECUTE);
      case "singleton":
        return this.#singletons.register(bindSingleton(registration, (scope) => this.#runContext(scope)));
      case "cron":
        return this.#addCron(registration);
    }
  }

  take(fence: Fence): void {
    this.#singletons.shardAcquired(fence.shardId, fence);
    this.#seed(fence.shardId, this.#crons.get(fence.shardId) ?? []);
  }

  async drain(shardId: ShardId): Promise<void> {
    this.#stopSeeding(shardId);
    await this.#singletons.shardDropping(shardId);
  }

  drop(shardIds: readonly ShardId[]): void {
    for (const shardId of shardIds) {
      this.#stopSeeding(shardId);
      void this.#singletons.shardDropping(shardId);
    }
  }

  /** Whether what was dropped or drained there has not ended, and is waited for. */
  isEnding(shardId: ShardId): boolean {
    return this.#singletons.isStopping(shardId);
  }

  #addBehavior(behavior: EntityBehavior): void {
    this.#contracts.set(behavior.contract.name, behavior.contract);
    this.#options.host.register(behavior);
  }

  /** Answers of this type are kept for so long, or for ever. */
  #keep({ name, shardGroup }: EntityContract, retentionMs: number | null, executionTag: string | null): void {
    if (retentionMs === null) return;
    const { clock, random, logger, storage } = this.#options;
    const policy = { entityType: name, shardGroup, retentionMs, executionTag };
    this.#singletons.register(
      retentionSingleton(policy, { clock, random, logger, messages: storage.messages }),
    );
  }

  #bindWorkflow(implementation: WorkflowImplementation): EntityBehavior {
    const { settings, clock, random, logger, storage, caller, host } = this.#options;
    const { messages } = storage;
    const lookUp = (entityType: string, executionId: string): Promise<RequestState | null> =>
      messages.lookUpByKey({ entityType, entityId: executionId }, EXECUTE, EXECUTE);
    return implementation.bind({
      storage: storage.workflows,
      clock,
      random,
      logger,
      exposeStacks: settings.exposeStacks,
      maxPayloadBytes: settings.maxPayloadBytes,
      beginTransaction: messages.beginTransaction?.bind(messages),
      lookUp,
      isHosted: (requestId) => host.hosts(requestId),
      hasten: (request, fence) => host.hasten(request, fence),
      wake: async (watcher) => {
        // Who has ended is not woken: no retention would forget what is sent to one that is gone.
        if ((await lookUp(watcher.entityType, watcher.executionId))?.state !== "pending") return;
        // While its type is served by nobody it is stored.
        await caller.notify({ ...untypedTarget(watcher, WAKE), isKept: true }, null);
      },
      callEntity: (target, input, options) => caller.call(target, input, options),
      notifyEntity: (target, input, options) => caller.notify(target, input, options),
      entity: this.#peers,
      workflow: this.#workflows,
    });
  }

  #addCron(definition: CronDefinition): void {
    const { clock, logger, caller, router, storage } = this.#options;
    const runner: CronRunner = new CronRunner(
      bindCron(definition, (scope) => this.#runContext(scope)),
      {
        clock,
        logger,
        forgetTicks: async (answeredBefore) => {
          const entityType = runner.behavior.contract.name;
          await storage.messages.forgetAnswered({
            entityType,
            answeredBefore,
            limit: FORGET_AT_ONCE,
          });
        },
        isWaiting: async (instant) => {
          const address = { entityType: runner.behavior.contract.name, entityId: runner.entityId };
          const { scheduledTime } = tickOf(instant);
          const state = await storage.messages.lookUpByKey(address, TICK, scheduledTime);
          if (state?.state !== "pending") return false;
          // It may have been put off since.
          const overdueMs = clock.now() - (state.deliverAt ?? instant);
          if (overdueMs < MEND_EVERY_MS || (await this.#isHandedOut(address, state.requestId))) return true;
          logger.warn("A cron goes on without a tick: it waits in a shard group that nobody serves", {
            cron: definition.name,
            scheduledTime,
          });
          return false;
        },
        scheduleTick: (instant) => {
          const target = {
            contract: runner.behavior.contract,
            entityId: runner.entityId,
            tag: TICK,
            fromInside: true,
          };
          const tick = tickOf(instant);
          return caller.notify(target, tick, {
            idempotencyKey: tick.scheduledTime,
            deliverAt: new Date(instant),
          });
        },
      },
    );
    this.#addBehavior(runner.behavior);
    const shardId = router.shardOf(definition.shardGroup, runner.entityId);
    this.#crons.set(shardId, [...(this.#crons.get(shardId) ?? []), runner]);
    if (this.#options.host.serves(shardId)) this.#seed(shardId, [runner]);
  }

  /**
   * Whether some live runner has a due request of an entity, or will: here, or in another shard group that it had before, as
   * while a new release is rolled out.
   */
  async #isHandedOut(
    { entityType, entityId }: Pick<EntityAddress, "entityType" | "entityId">,
    requestId: string,
  ): Promise<boolean> {
    const { host, router, storage, clock } = this.#options;
    if (host.hosts(requestId)) return true;
    const groups = router.groupsServing(entityType);
    const { requests, more } = await storage.messages.readPending({
      shardIds: groups.map((group) => router.shardOf(group, entityId)),
      now: clock.now(),
      limit: LOOKED_FOR_TICK,
      excludingSequences: [],
      excludingEntities: [],
    });
    return more || requests.some(({ envelope }) => envelope.requestId === requestId);
  }

  #seed(shardId: ShardId, crons: readonly CronRunner[]): void {
    if (crons.length === 0) return;
    const abort = this.#seeding.get(shardId) ?? new AbortController();
    // Node 22 warns of more than ten crons that sleep until it is aborted.
    setMaxListeners(0, abort.signal);
    this.#seeding.set(shardId, abort);
    for (const cron of crons) void this.#keepSeeded(cron, abort.signal);
  }

  /** As long as the shard is here. Never rejects. */
  async #keepSeeded(cron: CronRunner, signal: AbortSignal): Promise<void> {
    await cron.seed(signal);
    for (;;) {
      await sleep(this.#options.clock, MEND_EVERY_MS, signal);
      if (signal.aborted) return;
      await cron.mend(signal);
    }
  }

  #stopSeeding(shardId: ShardId): void {
    this.#seeding.get(shardId)?.abort();
    this.#seeding.delete(shardId);
  }

  #handlerContext(call: Call): HandlerContext {
    const { envelope } = call;
    const { entity, workflow } = this.#clientsOn(call.fence.shardId);
    const context = {
      [SOURCE]: call,
      entityId: envelope.address.entityId,
      address: envelope.address,
      requestId: envelope.requestId,
      attempt: call.attempt,
      headers: givenHeaders(envelope),
      deliverAt: envelope.deliverAt === null ? undefined : new Date(envelope.deliverAt),
      fencingToken: call.fence.epoch,
      log: new LazyLogger(this.#options.logger, call, logFieldsOf),
      entity,
      workflow,
      [TRANSACTION_SCOPE]: call.transactions,
    };
    return Object.defineProperty(context, "signal", SIGNAL) as typeof context &
      Pick<HandlerContext, "signal">;
  }

  #clientsOn(shardId: ShardId): Pick<HandlerContext, "entity" | "workflow"> {
    const known = this.#onShards.get(shardId);
    if (known !== undefined) return known;
    const caller = callerOnShard(this.#options.caller, shardId);
    const clients = {
      entity: peersOf(caller),
      workflow: workflowClients(patientCaller(caller), this.#options.executions),
    };
    this.#onShards.set(shardId, clients);
    return clients;
  }

  #runContext(scope: RunScope): RunContext {
    return {
      signal: scope.signal,
      log: withFields(this.#options.logger, scope.logFields),
      fencingToken: scope.fence.epoch,
      entity: this.#peers,
      workflow: this.#workflows,
    };
  }
}

function peersOf(caller: Caller): EntityPeers {
  return ((definition, entityId) => entityClient(caller, definition, entityId, true)) as EntityPeers;
}
