// Registry: what is registered on a member, and what has it run: the host of entities, that of singletons, or that of crons. Makes
// the contexts that their code is given.

import type { Clock } from "../adapter/clock.ts";
import type { RequestState } from "../adapter/message-storage.ts";
import type { OpenStorage } from "../adapter/storage-adapter.ts";
import type { Random } from "../adapter/random.ts";
import type { Caller, ClusterCaller } from "../client/caller.ts";
import { callerOnShard } from "../client/caller-on-shard.ts";
import { entityClient, type EntityPeers } from "../client/entity-client.ts";
import type { HandlerContext, RunContext } from "../client/handler-context.ts";
import type { ExecutionAccess } from "../client/execution-access.ts";
import { untypedTarget } from "../client/execution-target.ts";
import { patientCaller } from "../client/patient-caller.ts";
import { workflowClients, type WorkflowClients } from "../client/workflow-client.ts";
import type { EntityContract } from "../contract/entity-contract.ts";
import { liveProperty, SOURCE } from "../contract/live-property.ts";
import { LazyLogger, withFields, type LogFields, type Logger } from "../contract/logger.ts";
import { TRANSACTION_SCOPE } from "../contract/transaction.ts";
import { EXECUTE, WAKE } from "../contract/workflow-contract.ts";
import { givenHeaders } from "../data/envelope.ts";
import { entityKey } from "../data/entity-address.ts";
import type { Fence } from "../data/epoch.ts";
import type { ShardId } from "../data/shard-id.ts";
import { bindSingleton, type RunScope } from "../define/singleton.ts";
import type { WorkflowImplementation } from "../define/workflow.ts";
import type { Call, EntityBehavior } from "../entity/behavior.ts";
import type { EntityHost } from "../entity/entity-host.ts";
import type { Router } from "../sharding/router.ts";
import { retentionSingleton } from "../singleton/retention.ts";
import { SingletonHost } from "../singleton/singleton-host.ts";
import type { ClusterSettings } from "./config.ts";
import { CronHost } from "./cron-host.ts";
import type { Registration } from "./registration.ts";

/** A handler's signal is made when it is asked for. */
const SIGNAL = liveProperty((call: Call) => call.signal);
const logFieldsOf = ({ envelope: { address, tag, requestId } }: Call): LogFields => ({
  entity: entityKey(address),
  rpc: tag,
  requestId,
});

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
  readonly #singletons: SingletonHost;
  readonly #crons: CronHost;
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
    this.#crons = new CronHost({
      clock: options.clock,
      logger: options.logger,
      messages: options.storage.messages,
      caller: options.caller,
      host: options.host,
      router: options.router,
      makeContext: (scope) => this.#runContext(scope),
    });
    this.#peers = peersOf(options.caller);
    this.#workflows = workflowClients(patientCaller(options.caller), options.executions);
  }

  get runningSingletons(): readonly string[] {
    return this.#singletons.running;
  }

  add(registration: Registration): void {
    switch (registration.kind) {
      case "entity":
        this.#options.host.register(registration.bind((call) => this.#handlerContext(call)));
        return this.#keep(registration.contract, this.#options.settings.requestRetentionMs, null);
      case "workflow":
        this.#options.host.register(this.#bindWorkflow(registration));
        return this.#keep(registration.contract.entity, registration.contract.retentionMs, EXECUTE);
      case "singleton":
        return this.#singletons.register(bindSingleton(registration, (scope) => this.#runContext(scope)));
      case "cron":
        return this.#crons.register(registration);
    }
  }

  take(fence: Fence): void {
    this.#singletons.take(fence);
    this.#crons.take(fence.shardId);
  }

  async drain(shardId: ShardId): Promise<void> {
    this.#crons.drop(shardId);
    await this.#singletons.drain(shardId);
  }

  drop(shardIds: readonly ShardId[]): void {
    for (const shardId of shardIds) {
      this.#crons.drop(shardId);
      void this.#singletons.drain(shardId);
    }
  }

  /** Whether what was dropped or drained there has not ended, and is waited for. */
  isEnding(shardId: ShardId): boolean {
    return this.#singletons.isStopping(shardId);
  }

  /** Resolves when all that was dropped or drained and must not go on beside its successor has ended, or is waited for no more. */
  ended(): Promise<void> {
    return this.#singletons.ended();
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
      replayOnly: false,
      entity: this.#peers,
      workflow: this.#workflows,
    });
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
