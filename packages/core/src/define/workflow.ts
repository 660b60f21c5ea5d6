import type { StandardSchemaV1 } from "@standard-schema/spec";
import { milliseconds, type Duration } from "../contract/duration.ts";
import { checkName, type EntityContract } from "../contract/entity-contract.ts";
import { withFields, type Logger } from "../contract/logger.ts";
import type { AnyRpcs, ErrorClass } from "../contract/rpc.ts";
import type { SchemaInput, SchemaOutput } from "../contract/schema.ts";
import { TRANSACTION_SCOPE } from "../contract/transaction.ts";
import {
  executionContract,
  executionEntityType,
  type AnyWorkflowContract,
  type WorkflowContract,
  type WorkflowTypes,
} from "../contract/workflow-contract.ts";
import type { CallOptions, CallTarget } from "../client/caller.ts";
import type { EntityPeer, EntityPeers } from "../client/entity-client.ts";
import type { WorkflowClients } from "../client/workflow-handle.ts";
import type { Call, EntityBehavior } from "../entity/behavior.ts";
import { ConfigError, DefinitionError } from "../errors/config.ts";
import type { AttemptScope } from "../workflow/activity-attempt.ts";
import { DeterministicRandom } from "../workflow/deterministic-random.ts";
import type { Execution } from "../workflow/execution.ts";
import { executionBehavior, type ExecutionServices } from "../workflow/execution-behavior.ts";
import {
  activitySettings,
  checkActivities,
  type ActivityCalls,
  type ActivityContext,
  type ActivityOptions,
  type AnyActivities,
  type AnyActivity,
  type AnyActivityGroup,
  type ActivityGroup,
} from "./activity-group.ts";
import { checkRetention } from "../singleton/retention.ts";
import type { DefinitionMistake } from "./entity.ts";

/** What `execute` of a workflow is given. Whatever it does besides computing goes through here, and is journaled. */
export interface WorkflowContext<Activities extends AnyActivities = AnyActivities> {
  readonly executionId: string;
  /** The workflow's own activities and those of its groups. */
  readonly activities: ActivityCalls<Activities>;
  /** An inline activity. Its result is recorded under `name`. */
  run<Out>(name: string, body: (ctx: ActivityContext) => Out | Promise<Out>): Promise<Out>;
  run<Out>(
    name: string,
    options: ActivityOptions,
    body: (ctx: ActivityContext) => Out | Promise<Out>,
  ): Promise<Out>;
  /** A durable timer. An execution that waits for nothing else leaves memory meanwhile. */
  sleep(duration: Duration): Promise<void>;
  /** A durable timer. A date in the past is due at once. */
  sleepUntil(date: Date): Promise<void>;
  /** Clients of entities. A call is journaled: a persisted rpc is sent once, however often the code is replayed. */
  readonly entity: EntityPeers;
  /** The time of the step that asked first, in milliseconds since 1970. */
  now(): number;
  /** A number in [0, 1), the same in every replay. */
  random(): number;
  /** A UUID, the same in every replay. */
  uuid(): string;
  /** Silent while replaying. */
  readonly log: Logger;
  /** Whether what the code does now was recorded by an earlier run of it. */
  readonly isReplaying: boolean;
}

/** What `defineWorkflow` takes. */
export interface WorkflowOptions<Input> {
  readonly name: string;
  /** Names the execution of an input: the same key is the same execution. Default: the input itself. */
  readonly key?: (input: Input) => string;
  /** Whether the execution id is a SHA-256 hash of the key (default), or with false the key as it is. */
  readonly hashKey?: boolean;
  /** Default `"default"`. */
  readonly shardGroup?: string;
  /**
   * How long a finished execution is kept, with its result and its journal, 1 minute or more. After it the same key starts
   * a new execution. Default: for ever.
   */
  readonly retention?: Duration;
  /** Classes that arrive as themselves when an activity or the workflow throws them, and not as RemoteError. */
  readonly errors?: readonly ErrorClass[];
}

type ActivitiesOfGroups<Groups extends readonly AnyActivityGroup[]> = Groups extends readonly [
  ActivityGroup<infer First>,
  ...infer Rest extends readonly AnyActivityGroup[],
]
  ? First & ActivitiesOfGroups<Rest>
  : unknown;

/** The names that more than one activity has. Of a group whose names are not known as types nothing is said. */
type ActivityClashes<Own, Groups extends readonly AnyActivityGroup[]> = Groups extends readonly [
  ActivityGroup<infer First>,
  ...infer Rest extends readonly AnyActivityGroup[],
]
  ?
      | (string extends keyof First ? never : keyof First & (keyof Own | keyof ActivitiesOfGroups<Rest>))
      | ActivityClashes<Own, Rest>
  : never;

type WithoutClashes<Own, Groups extends readonly AnyActivityGroup[]> = [
  ActivityClashes<Own, Groups>,
] extends [never]
  ? unknown
  : DefinitionMistake<`Two activities are named "${ActivityClashes<Own, Groups> & string}": rename one of them`>;

/** A workflow as callers import it. */
export interface WorkflowDefinition<T extends WorkflowTypes> extends WorkflowContract<T> {
  readonly kind: "workflow-definition";
  /** Gives the definition its code. @throws {DefinitionError} two activities have one name, or `execute` is missing */
  implement<
    const Own extends AnyActivities = Record<never, never>,
    const Groups extends readonly AnyActivityGroup[] = readonly [],
  >(code: {
    readonly groups?: Groups & WithoutClashes<Own, Groups>;
    readonly activities?: Own;
    execute(ctx: WorkflowContext<Own & ActivitiesOfGroups<Groups>>, input: T["input"]): Promise<T["output"]>;
  }): WorkflowImplementation;
}

/** A workflow as runners register it. */
export interface WorkflowImplementation {
  readonly kind: "workflow";
  readonly contract: AnyWorkflowContract;
  /** The hidden entity type of its executions. */
  readonly entityType: string;
  /** Made into what the runtime runs. */
  bind(services: WorkflowServices): EntityBehavior;
}

/** What the cluster gives a workflow. */
export interface WorkflowServices extends ExecutionServices {
  readonly entity: EntityPeers;
  readonly workflow: WorkflowClients;
  readonly callEntity: (target: CallTarget, input: unknown, options: CallOptions) => Promise<unknown>;
  readonly notifyEntity: (target: CallTarget, input: unknown, options: CallOptions) => Promise<void>;
}

/** Defines a workflow: its name, its types, and what names its executions. Callers import it; runners implement it. */
export function defineWorkflow<
  I extends StandardSchemaV1 | undefined = undefined,
  O extends StandardSchemaV1 | undefined = undefined,
>(
  options: { readonly input?: I; readonly output?: O } & WorkflowOptions<SchemaOutput<I>>,
): WorkflowDefinition<{
  callerInput: SchemaInput<I>;
  input: SchemaOutput<I>;
  output: SchemaInput<O>;
  callerOutput: SchemaOutput<O>;
}>;
/** Types given as type arguments, nothing checked at run time. */
export function defineWorkflow<In, Out>(
  options: WorkflowOptions<In>,
): WorkflowDefinition<{ callerInput: In; input: In; output: Out; callerOutput: Out }>;
export function defineWorkflow(
  options: {
    readonly input?: StandardSchemaV1 | undefined;
    readonly output?: StandardSchemaV1 | undefined;
  } & WorkflowOptions<never>,
): WorkflowDefinition<WorkflowTypes> {
  const name = checkName("a workflow", options.name);
  checkName(`the entity type of workflow "${name}"`, executionEntityType(name));
  const shardGroup = checkName(`the shard group of workflow "${name}"`, options.shardGroup ?? "default");
  if (options.key === undefined && options.hashKey === false) {
    throw new DefinitionError(
      `The workflow "${name}" has hashKey: false but no key. Give it a key, or leave hashKey out.`,
    );
  }
  const contract: WorkflowContract = {
    name,
    input: options.input,
    output: options.output,
    key: options.key ?? null,
    hashKey: options.hashKey ?? true,
    retentionMs:
      options.retention === undefined ? null : checkRetention(options.retention, `retention of ${name}`),
    entity: executionContract(name, shardGroup, options.errors ?? []),
  };
  return Object.freeze({
    ...contract,
    kind: "workflow-definition",
    implement: (code: WorkflowCode) => implement(contract, code),
  }) as WorkflowDefinition<WorkflowTypes>;
}

interface WorkflowCode {
  readonly groups?: readonly AnyActivityGroup[];
  readonly activities?: AnyActivities;
  execute(ctx: WorkflowContext, input: unknown): Promise<unknown>;
}

function implement(contract: WorkflowContract, code: WorkflowCode): WorkflowImplementation {
  const of = `the workflow "${contract.name}"`;
  if (typeof code?.execute !== "function")
    throw new DefinitionError(`The implementation of ${of} has no execute(ctx, input).`);
  const activities = namedActivities(of, checkActivities(of, code.activities ?? {}), code.groups ?? []);
  return Object.freeze({
    kind: "workflow",
    contract,
    entityType: contract.entity.name,
    bind: (services) =>
      executionBehavior(contract, services, (execution, call, input) =>
        code.execute(workflowContext(execution, call, activities, services), input),
      ),
  } satisfies WorkflowImplementation);
}

/** The activities as the code calls them, each with its name in the journal. */
function namedActivities(
  of: string,
  own: AnyActivities,
  groups: readonly AnyActivityGroup[],
): ReadonlyMap<string, { readonly journalName: string; readonly activity: AnyActivity }> {
  const named = new Map<string, { journalName: string; activity: AnyActivity }>();
  for (const [name, each] of Object.entries(own)) named.set(name, { journalName: name, activity: each });
  for (const group of groups) {
    for (const [name, each] of Object.entries<AnyActivity>(group.activities)) {
      const other = named.get(name);
      if (other !== undefined) {
        throw new DefinitionError(
          `Two activities of ${of} are named "${name}": "${other.journalName}" and "${group.name}.${name}". Rename one of them.`,
        );
      }
      named.set(name, { journalName: `${group.name}.${name}`, activity: each });
    }
  }
  return named;
}

function workflowContext(
  execution: Execution,
  call: Call,
  activities: ReadonlyMap<string, { readonly journalName: string; readonly activity: AnyActivity }>,
  services: WorkflowServices,
): WorkflowContext {
  const random = new DeterministicRandom(execution.id);
  const logger = withFields(services.logger, { executionId: execution.id });
  const quiet: Logger = {
    debug: (message, fields) => (execution.isReplaying ? undefined : logger.debug(message, fields)),
    info: (message, fields) => (execution.isReplaying ? undefined : logger.info(message, fields)),
    warn: (message, fields) => (execution.isReplaying ? undefined : logger.warn(message, fields)),
    error: (message, fields) => (execution.isReplaying ? undefined : logger.error(message, fields)),
  };
  const attemptContext = (scope: AttemptScope): ActivityContext => activityContext(scope, call, services);
  return {
    executionId: execution.id,
    activities: Object.fromEntries(
      [...activities].map(
        ([
          name,
          {
            journalName,
            activity: { settings, body },
          },
        ]) => [
          name,
          (...args: unknown[]) =>
            execution.activity("activity", journalName, settings, (scope) =>
              body(attemptContext(scope), ...args),
            ),
        ],
      ),
    ) as WorkflowContext["activities"],
    run(name: string, first: unknown, second?: unknown) {
      const [options, body] = typeof first === "function" ? [{}, first] : [first as ActivityOptions, second];
      if (typeof body !== "function") throw new DefinitionError(`ctx.run("${name}") needs a function.`);
      return execution.activity("run", name, activitySettings(options), (scope) =>
        body(attemptContext(scope)),
      ) as Promise<never>;
    },
    async sleep(duration) {
      const delayMs = milliseconds(duration, "sleep");
      await execution.sleep("sleep", () => services.clock.now() + delayMs);
    },
    async sleepUntil(date) {
      const dueAt = date instanceof Date ? date.getTime() : Number.NaN;
      if (Number.isNaN(dueAt))
        throw new ConfigError({ option: "sleepUntil", got: date, takes: "a valid Date" });
      await execution.sleep("sleepUntil", () => dueAt);
    },
    entity: ((definition: EntityContract, entityId: string) =>
      journaledPeer(execution, services, definition, entityId)) as EntityPeers,
    now: () => execution.value("now", () => services.clock.now()),
    random: () => random.next(),
    uuid: () => random.uuid(),
    log: quiet,
    get isReplaying() {
      return execution.isReplaying;
    },
  };
}

function activityContext(scope: AttemptScope, call: Call, services: WorkflowServices): ActivityContext {
  const { entityType } = call.envelope.address;
  const id = `${entityType}/${scope.executionId}/${scope.position}`;
  return {
    executionId: scope.executionId,
    activityId: id,
    attempt: scope.attempt,
    idempotencyKey: id,
    signal: scope.signal,
    fencingToken: call.fence.epoch,
    heartbeat: (details) => scope.heartbeat(details),
    lastHeartbeat: scope.lastHeartbeat,
    log: withFields(services.logger, {
      executionId: scope.executionId,
      activity: scope.name,
      attempt: scope.attempt,
    }),
    entity: services.entity,
    workflow: services.workflow,
    [TRANSACTION_SCOPE]: scope.transactions,
  };
}

/** An entity's client whose calls are steps of the execution. */
function journaledPeer(
  execution: Execution,
  services: WorkflowServices,
  contract: EntityContract,
  entityId: string,
): EntityPeer<AnyRpcs> {
  const peer: Record<string, unknown> = {};
  for (const [tag, rpc] of Object.entries(contract.rpcs)) {
    const target: CallTarget = { contract, entityId, tag, fromInside: true };
    const name = `${contract.name}.${tag}`;
    const step =
      (send: WorkflowServices["callEntity"]) =>
      (input: unknown, options: CallOptions = {}) =>
        execution.rpc(name, rpc.persisted, async (key, signal) => {
          const idempotencyKey = rpc.persisted && rpc.primaryKey === undefined ? { idempotencyKey: key } : {};
          // An execution that leaves memory must not interrupt the call: the reply would be its error, for ever.
          const uninterruptible = rpc.persisted || rpc.uninterruptible;
          return send(target, input, { ...idempotencyKey, uninterruptible, ...options, signal });
        });
    peer[tag] = rpc.stream
      ? () => {
          throw new DefinitionError(
            `${name} streams its reply, which a workflow cannot journal. Call it in an activity, and return what you need of it.`,
          );
        }
      : Object.assign(step(services.callEntity), { notify: step(services.notifyEntity) });
  }
  return Object.freeze(peer) as EntityPeer<AnyRpcs>;
}
