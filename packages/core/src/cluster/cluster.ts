// Cluster: what users hold. A face over one member; it holds no state of its own.

import type { EventEmitter } from "node:events";
import { Elements, laterElements } from "../client/elements.ts";
import { entityClient, type EntityClients } from "../client/entity-client.ts";
import { untypedClient, type UntypedEntityClient } from "../client/untyped-client.ts";
import type { ExecutionAccess } from "../client/execution-access.ts";
import { workflowClients, type WorkflowClients } from "../client/workflow-client.ts";
import type { Caller, CallTarget } from "../client/caller.ts";
import { copyOf } from "../contract/copy-of.ts";
import { checkKey } from "../contract/key.ts";
import { checkOptionNames, type OptionNames } from "../contract/option-names.ts";
import { EXECUTE, executionTagOf } from "../contract/workflow-contract.ts";
import { ConfigError } from "../errors/config.ts";
import { deadLetters, type DeadLetters } from "./dead-letters.ts";
import type { ClusterEvents } from "./events.ts";
import type { Member } from "./member.ts";
import type { Registrable } from "./registration.ts";
import {
  healthOf,
  metricsOf,
  statusOf,
  type ClusterHealth,
  type ClusterMetrics,
  type ClusterStatus,
} from "./status.ts";

/** Options of an untyped client. */
export interface EntityClientOptions {
  /** Default `"default"`. */
  readonly shardGroup?: string;
}

const ENTITY_CLIENT_OPTION_NAMES: OptionNames<EntityClientOptions> = { shardGroup: true };

/** One member of a cluster. Made by `createCluster`. */
export interface Cluster extends AsyncDisposable {
  /** The typed client of one entity. Nothing is sent yet. */
  readonly entity: EntityClients;
  /**
   * The untyped client of an entity type. `shardGroup` is needed where the type is not registered here and not in "default".
   *
   * @throws {ConfigError} the type is that of a workflow's executions
   */
  entityClient(entityType: string, options?: EntityClientOptions): UntypedEntityClient;
  /** The typed client of a workflow. */
  readonly workflow: WorkflowClients;
  /** Adds implementations, also while it runs. @throws {DefinitionError} */
  register(...registrations: readonly Registrable[]): void;
  /** Resolves when this runner is a member and holds its shards. @throws {PersistenceError} a backend cannot be reached */
  start(): Promise<void>;
  /**
   * Drains: lets handlers end, hands its shards over, then leaves. Takes no new calls from outside of handlers; calls under
   * way end first. Where nothing runs it takes a fraction of a second, else `entityTerminationTimeout` and a few seconds at
   * most, whatever is out of reach. May be called at any time, and often; a `start()` under way then rejects. Never rejects.
   */
  shutdown(): Promise<void>;
  /** What this member knows of itself and the others, at this moment. Asks nobody. */
  status(): ClusterStatus;
  /** Whether this member is alive and ready, and why. Asks nobody: what it says of backends and peers is seconds old. */
  health(): ClusterHealth;
  readonly events: EventEmitter<ClusterEvents>;
  readonly deadLetters: DeadLetters;
  readonly metrics: ClusterMetrics;
}

/**
 * Awaits a call of an entity, or the start of an execution; a test cluster lets time pass meanwhile. The end of an execution
 * may take days: `isLong`.
 */
export type Attend = <Result>(
  call: () => Promise<Result>,
  target: CallTarget,
  isLong: boolean,
) => Promise<Result>;

/** @param attend null: nobody does anything while calls are under way */
export function clusterOf(member: Member, attend: Attend | null = null): Cluster {
  const started = <Result>(call: (parts: Member["parts"]) => Promise<Result>): Promise<Result> => {
    try {
      return call(member.parts);
    } catch (error) {
      return Promise.reject(error);
    }
  };
  // Calls find the caller when they are made: clients may be taken before the cluster is started.
  const caller: Caller = {
    call: (target, input, options) => started((parts) => parts.caller.call(target, input, options)),
    notify: (target, input, options) => started((parts) => parts.caller.notify(target, input, options)),
    stream(target, input, options) {
      // What it was given counts as it is now.
      const [ownInput, ownOptions] = [copyOf(input), copyOf(options)];
      return laterElements(() => member.parts.caller.stream(target, ownInput, ownOptions));
    },
    lookUpByKey: (target, key, limits) => started((parts) => parts.caller.lookUpByKey(target, key, limits)),
  };
  const attended = (isLong: (target: CallTarget) => boolean): Caller =>
    attend === null ? caller : attendedCaller(caller, attend, isLong);
  const ofEntities = attended(() => false);
  return {
    entity: ((definition, entityId) =>
      entityClient(ofEntities, definition, entityId, false)) as EntityClients,
    entityClient(entityType, options = {}) {
      checkOptionNames(options, ENTITY_CLIENT_OPTION_NAMES);
      if (typeof entityType !== "string" || entityType === "" || executionTagOf(entityType) !== null)
        throw new ConfigError({
          option: "entityType",
          got: entityType,
          takes: "the type of an entity",
          hint: "Executions are started, signalled and queried with cluster.workflow(Definition).",
        });
      const known = member.registrations.find(
        (each) => each.kind === "entity" && each.contract.name === entityType,
      );
      const contract =
        known?.kind === "entity"
          ? known.contract
          : {
              name: entityType,
              shardGroup: checkKey(options.shardGroup ?? "default", "shardGroup"),
              rpcs: {},
            };
      return untypedClient(ofEntities, contract);
    },
    workflow: workflowClients(
      attended(({ tag }) => tag === EXECUTE),
      executionsOf(member),
    ),
    register: (...registrations) => member.register(...registrations),
    start: () => member.start(),
    shutdown: () => member.shutdown(),
    status: () => statusOf(member),
    health: () => healthOf(member),
    events: member.events,
    deadLetters: deadLetters(
      () => member.parts.messages,
      (shardId) => member.parts.delivery.wakeOwner(shardId),
    ),
    metrics: metricsOf(member),
    [Symbol.asyncDispose]: () => member.shutdown(),
  };
}

/** @param isLong whether the call of this target may take days */
function attendedCaller(caller: Caller, attend: Attend, isLong: (target: CallTarget) => boolean): Caller {
  return {
    call: (target, input, options) =>
      attend(() => caller.call(target, input, options), target, isLong(target)),
    notify: (target, input, options) => attend(() => caller.notify(target, input, options), target, false),
    stream(target, input, options) {
      const elements = caller.stream(target, input, options);
      return new Elements(
        () => attend(() => elements.next(), target, false),
        async () => elements.return?.(),
      );
    },
    lookUpByKey: (target, key, limits) =>
      attend(() => caller.lookUpByKey(target, key, limits), target, false),
  };
}

/** Found when it is asked for, as the caller is. */
function executionsOf(member: Member): ExecutionAccess {
  return {
    workflows: () => member.parts.executions.workflows(),
    messages: () => member.parts.executions.messages(),
    wakeOwner: (shardId) => member.parts.executions.wakeOwner(shardId),
    now: () => member.parts.executions.now(),
    clock: () => member.parts.executions.clock(),
    newId: () => member.parts.executions.newId(),
  };
}
