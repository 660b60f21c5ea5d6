import type { StandardSchemaV1 } from "@standard-schema/spec";
import { checkBoolean } from "../contract/boolean.ts";
import type { Duration } from "../contract/duration.ts";
import { checkName } from "../contract/entity-contract.ts";
import type { ErrorClass } from "../contract/rpc.ts";
import { checkOptionNames, type OptionNames } from "../contract/option-names.ts";
import { encodeBoundedPayload } from "../contract/payload.ts";
import {
  checkSchema,
  parse,
  type DefinedSchemas,
  type SchemaInput,
  type SchemaOutput,
} from "../contract/schema.ts";
import { readable } from "../contract/thrown.ts";
import { checkWholeNumber } from "../contract/whole-number.ts";
import {
  executionContract,
  executionEntityType,
  type AnyQueries,
  type AnySignals,
  type AnyWorkflowContract,
  type SignalSchemas,
  type WorkflowContract,
  type WorkflowTypes,
} from "../contract/workflow-contract.ts";
import type { Call, EntityBehavior } from "../entity/behavior.ts";
import { DefinitionError } from "../errors/config.ts";
import { checkRetention } from "../singleton/retention.ts";
import { Children } from "../workflow/children.ts";
import { Compensations } from "../workflow/compensation.ts";
import type { Execution } from "../workflow/execution.ts";
import { executionBehavior } from "../workflow/execution-behavior.ts";
import {
  checkActivities,
  type AnyActivities,
  type AnyActivity,
  type AnyActivityGroup,
  type ActivityGroup,
} from "./activity-group.ts";
import type { DefinitionMistake } from "./entity.ts";
import { inheritedChild } from "./child-workflow.ts";
import type { NamedActivities, WorkflowServices } from "./context-parts.ts";
import { checkGivenGroups } from "./given-groups.ts";
import { workflowContext, type WorkflowContext } from "./workflow-context.ts";

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
  /**
   * Names the code that new executions begin with: change it where old ones must go on with the code that began them, which
   * `implement` then takes under `versions`. An execution of a version that a runner does not have waits there, visibly.
   */
  readonly version?: string;
  /** Steps that one execution may ask for, before it fails with JournalFullError; 1 or more. Default 10,000. */
  readonly maxSteps?: number;
  /** Classes that arrive as themselves when an activity or the workflow throws them, and not as RemoteError. */
  readonly errors?: readonly ErrorClass[];
}

/** The functions that answer queries: each is given the state, undefined before `ctx.setState`, and the query's input. */
export type QueryHandlers<Queries extends AnyQueries> = {
  readonly [Name in keyof Queries]: (
    // oxlint-disable-next-line no-explicit-any -- the state is whatever the code says it is
    state: any,
    input: NonNullable<Queries[Name]["types"]>["handlerInput"],
  ) => QueryReturn<Queries[Name]>;
};
type QueryReturn<Q extends AnyQueries[string]> =
  | NonNullable<Q["types"]>["handlerOutput"]
  | Promise<NonNullable<Q["types"]>["handlerOutput"]>;

type ActivitiesOfGroups<Groups extends readonly AnyActivityGroup[]> = Groups extends readonly [
  ActivityGroup<infer First>,
  ...infer Rest extends readonly AnyActivityGroup[],
]
  ? First & ActivitiesOfGroups<Rest>
  : unknown;

/** The names that more than one activity has. Of activities whose names are not known as types nothing is said. */
type ActivityClashes<Own, Groups extends readonly AnyActivityGroup[]> = Groups extends readonly [
  ActivityGroup<infer First>,
  ...infer Rest extends readonly AnyActivityGroup[],
]
  ? (KnownNames<First> & KnownNames<Own & ActivitiesOfGroups<Rest>>) | ActivityClashes<Own, Rest>
  : never;
type KnownNames<Activities> = keyof {
  [Name in keyof Activities as Name extends string ? (string extends Name ? never : Name) : never]: true;
};

type WithoutClashes<Own, Groups extends readonly AnyActivityGroup[]> = [
  ActivityClashes<Own, Groups>,
] extends [never]
  ? unknown
  : DefinitionMistake<`Two activities are named "${ActivityClashes<Own, Groups> & string}": rename one of them`>;

/** Own activities are those that are given: not those of a context that the code names by hand. */
type ContextOfCode<
  T extends WorkflowTypes,
  Own extends AnyActivities,
  Groups extends readonly AnyActivityGroup[],
> = WorkflowContext<NoInfer<Own> & ActivitiesOfGroups<Groups>, T["signals"], T["callerInput"]>;

/** A workflow as callers import it. */
export interface WorkflowDefinition<T extends WorkflowTypes> extends WorkflowContract<T> {
  readonly kind: "workflow-definition";
  /** Gives the definition its code. @throws {DefinitionError} two activities have one name, or `execute` is missing */
  implement<
    const Own extends AnyActivities = Record<never, never>,
    const Groups extends readonly AnyActivityGroup[] = readonly [],
  >(
    code: {
      readonly groups?: Groups & WithoutClashes<Own, Groups>;
      readonly activities?: Own;
      /** A property and no method: TypeScript lets a method take an input that has more than there is. */
      readonly execute: (ctx: ContextOfCode<T, Own, Groups>, input: T["input"]) => Promise<T["output"]>;
      /** The code of earlier versions, for executions that began with it; `""` for those that began before there were any. */
      readonly versions?: Readonly<
        Record<string, (ctx: ContextOfCode<T, Own, Groups>, input: T["input"]) => Promise<T["output"]>>
      >;
    } & QueriesOf<T["queries"]>,
  ): WorkflowImplementation;
}

/** Left out where the workflow defines no queries. */
type QueriesOf<Queries extends AnyQueries> = [keyof Queries] extends [never]
  ? { readonly queries?: Readonly<Record<string, never>> }
  : string extends keyof Queries
    ? { readonly queries?: QueryHandlers<Queries> }
    : { readonly queries: QueryHandlers<Queries> };

/** What the code of a workflow is given, for functions of its own that take it: `ContextOf<typeof Order, typeof activities>`. */
export type ContextOf<
  Definition extends AnyWorkflowContract,
  Activities extends AnyActivities = Record<never, never>,
> = WorkflowContext<
  Activities,
  NonNullable<Definition["types"]>["signals"],
  NonNullable<Definition["types"]>["callerInput"]
>;

/** A workflow as runners register it. */
export interface WorkflowImplementation {
  readonly kind: "workflow";
  readonly contract: AnyWorkflowContract;
  /** The hidden entity type of its executions. */
  readonly entityType: string;
  /** Made into what the runtime runs. */
  bind(services: WorkflowServices): EntityBehavior;
}

interface Messages<Signals extends SignalSchemas, Queries extends AnyQueries> {
  /** What executions can be sent while they run, by name: the schema of each. */
  readonly signals?: Signals;
  /** What executions can be asked, by name. */
  readonly queries?: Queries;
}

type AnyWorkflowOptions = DefinedSchemas & WorkflowOptions<never> & Messages<SignalSchemas, AnyQueries>;

const OPTION_NAMES: OptionNames<AnyWorkflowOptions> = {
  name: true,
  input: true,
  output: true,
  key: true,
  hashKey: true,
  shardGroup: true,
  retention: true,
  version: true,
  maxSteps: true,
  errors: true,
  signals: true,
  queries: true,
};
const DEFAULT_MAX_STEPS = 10_000;

/** Defines a workflow: its name, its types, and what names its executions. Callers import it; runners implement it. */
export function defineWorkflow<
  I extends StandardSchemaV1 | undefined = undefined,
  O extends StandardSchemaV1 | undefined = undefined,
  const Signals extends SignalSchemas = Record<never, never>,
  const Queries extends AnyQueries = Record<never, never>,
>(
  options: { readonly input?: I; readonly output?: O } & WorkflowOptions<SchemaOutput<I>> &
    Messages<Signals, Queries>,
): WorkflowDefinition<{
  callerInput: SchemaInput<I>;
  input: SchemaOutput<I>;
  output: SchemaInput<O>;
  callerOutput: SchemaOutput<O>;
  signals: Signals;
  queries: Queries;
}>;
/** Types given as type arguments, nothing checked at run time but signals and queries that have schemas. */
export function defineWorkflow<
  In,
  Out,
  Signals extends SignalSchemas = AnySignals,
  Queries extends AnyQueries = AnyQueries,
>(
  options: WorkflowOptions<In> & Messages<Signals, Queries>,
): WorkflowDefinition<{
  callerInput: In;
  input: In;
  output: Out;
  callerOutput: Out;
  signals: Signals;
  queries: Queries;
}>;
export function defineWorkflow(options: AnyWorkflowOptions): WorkflowDefinition<WorkflowTypes> {
  checkOptionNames(options, OPTION_NAMES);
  const name = checkName("a workflow", options.name);
  checkName(`the entity type of workflow "${name}"`, executionEntityType(name));
  const shardGroup = checkName(`the shard group of workflow "${name}"`, options.shardGroup ?? "default");
  const hashKey = checkBoolean(options.hashKey ?? true, "hashKey");
  if (options.key === undefined && !hashKey) {
    throw new DefinitionError(
      `The workflow "${name}" has hashKey: false but no key. Give it a key, or leave hashKey out.`,
    );
  }
  const key: unknown = options.key ?? null;
  if (key !== null && typeof key !== "function") {
    throw new DefinitionError(
      `The key of the workflow "${name}" is no function. Give it one that takes the key out of an input: (input) => input.id.`,
    );
  }
  checkSchema(`The input of workflow "${name}"`, options.input);
  checkSchema(`The output of workflow "${name}"`, options.output);
  for (const [signal, schema] of Object.entries(options.signals ?? {}))
    checkSchema(`The signal "${signal}" of workflow "${name}"`, schema);
  const contract: WorkflowContract = {
    name,
    input: options.input,
    output: options.output,
    signals: options.signals ?? null,
    queries: options.queries ?? {},
    key: options.key ?? null,
    hashKey,
    retentionMs:
      options.retention === undefined ? null : checkRetention(options.retention, `retention of ${name}`),
    version:
      options.version === undefined ? null : checkName(`the version of workflow "${name}"`, options.version),
    maxSteps: checkWholeNumber(options.maxSteps ?? DEFAULT_MAX_STEPS, "maxSteps", 1),
    entity: executionContract(name, shardGroup, options.errors ?? []),
  };
  return Object.freeze({
    ...contract,
    kind: "workflow-definition",
    implement: (code: GivenCode) => implement(contract, code),
  }) as WorkflowDefinition<WorkflowTypes>;
}

type QueryFunction = (state: unknown, input: unknown) => unknown;

/** What `implement` takes. */
interface GivenCode {
  readonly groups?: readonly AnyActivityGroup[];
  readonly activities?: AnyActivities;
  readonly queries?: Readonly<Record<string, QueryFunction>>;
  readonly versions?: Readonly<Record<string, GivenCode["execute"]>>;
  execute(ctx: WorkflowContext, input: unknown): Promise<unknown>;
}

const CODE_NAMES: OptionNames<GivenCode> = {
  groups: true,
  activities: true,
  queries: true,
  versions: true,
  execute: true,
};

function implement(contract: WorkflowContract, code: GivenCode): WorkflowImplementation {
  const of = `the workflow "${contract.name}"`;
  if (typeof code !== "object" || code === null)
    throw new DefinitionError(`The implementation of ${of} is no object with execute(ctx, input).`);
  checkOptionNames(code, CODE_NAMES);
  if (typeof code.execute !== "function")
    throw new DefinitionError(`The implementation of ${of} has no execute(ctx, input).`);
  const activities = namedActivities(of, checkActivities(of, code.activities ?? {}), code.groups ?? []);
  const queries = new Map(Object.entries<QueryFunction>(code.queries ?? {}));
  for (const name of Object.keys(contract.queries)) {
    if (typeof queries.get(name) !== "function")
      throw new DefinitionError(`The implementation of ${of} has no function for its query "${name}".`);
  }
  const unknown = [...queries.keys()].filter((name) => !Object.hasOwn(contract.queries, name));
  if (unknown.length > 0)
    throw new DefinitionError(
      `The implementation of ${of} has functions without a query: ${unknown.join(", ")}.`,
    );
  const versions = new Map<string | null, GivenCode["execute"]>();
  for (const [version, execute] of Object.entries(code.versions ?? {})) {
    if (typeof execute !== "function")
      throw new DefinitionError(`The version "${version}" of ${of} is no function (ctx, input).`);
    versions.set(version === "" ? null : version, execute);
  }
  versions.set(contract.version, (ctx, input) => code.execute(ctx, input));
  return Object.freeze({
    kind: "workflow",
    contract,
    entityType: contract.entity.name,
    bind: (services) =>
      executionBehavior(contract, services, {
        queries,
        versions: new Map(
          [...versions].map(([version, execute]) => [
            version,
            (execution, call, seed, input) =>
              perform({ execution, call, contract, activities, services, seed }, execute, input),
          ]),
        ),
      }),
  } satisfies WorkflowImplementation);
}

/** Runs the code of one execution to its end, its compensations included. */
async function perform(
  of: {
    readonly execution: Execution;
    readonly call: Call;
    readonly contract: WorkflowContract;
    readonly activities: NamedActivities;
    readonly services: WorkflowServices;
    readonly seed: string;
  },
  execute: GivenCode["execute"],
  input: unknown,
): Promise<unknown> {
  const { execution } = of;
  const compensations = new Compensations(execution);
  const children = new Children(execution.scope, () => execution.isToldOfCancellation);
  for (const address of execution.inheritedChildren) children.started(inheritedChild(of.services, address));
  execution.begin((reason) => children.cancel(reason));
  try {
    const ctx = workflowContext({ ...of, compensations, children });
    const output = await new Promise<unknown>((resolve, reject) => {
      execution.whenOverflowing(reject);
      Promise.resolve(execute(ctx, input)).then((value) => {
        // Where it asked for another run, and returned instead of awaiting that, it is over all the same.
        if (!execution.isContinued) resolve(value);
      }, reject);
    });
    await checkOutput(of, output);
    return output;
  } catch (error) {
    children.codeFailed();
    return await compensations.run(readable(error));
  } finally {
    await children.told();
  }
}

/** A result that cannot be kept fails the execution, and what it did is compensated. @throws {HoldfastError} */
async function checkOutput(
  { contract, services }: { readonly contract: WorkflowContract; readonly services: WorkflowServices },
  output: unknown,
): Promise<void> {
  const what = `The result of ${contract.name}`;
  await parse(contract.output, output, what);
  encodeBoundedPayload(output, what, services.maxPayloadBytes);
}

/** The activities as the code calls them, each with its name in the journal. */
function namedActivities(
  of: string,
  own: AnyActivities,
  groups: readonly AnyActivityGroup[],
): NamedActivities {
  checkGivenGroups(`the implementation of ${of}`, "activity-group", groups);
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
