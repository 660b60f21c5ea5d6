import { disregard } from "../contract/call-back.ts";
import { milliseconds, type Duration } from "../contract/duration.ts";
import { checkName, type EntityContract } from "../contract/entity-contract.ts";
import { liveProperty, SOURCE } from "../contract/live-property.ts";
import { checkOptionNames, type OptionNames } from "../contract/option-names.ts";
import type { AnyRpcs } from "../contract/rpc.ts";
import { checkWholeNumber } from "../contract/whole-number.ts";
import type { HandlerContext } from "../client/handler-context.ts";
import type { ActivationScope, Call, EntityBehavior, Handler } from "../entity/behavior.ts";
import { DefinitionError } from "../errors/config.ts";
import { checkGivenGroups } from "./given-groups.ts";
import { checkHandlers, checkObject, checkRpcs, type EntityScope, type HandlersOf } from "./handlers.ts";
import type { AnyRpcGroup, RpcGroupDefinition, RpcGroupImplementation } from "./rpc-group.ts";

/** What `defineEntity` takes. */
export interface EntityOptions<Rpcs extends AnyRpcs, Groups extends readonly AnyRpcGroup[]> {
  /** The entity type on the wire and in storage. */
  readonly name: string;
  /** Default `"default"`. Runners say which groups they host. */
  readonly shardGroup?: string;
  /** How long without a request until it leaves memory. Default: the cluster's `entityMaxIdleTime`. */
  readonly maxIdleTime?: Duration;
  /** How many requests wait at the most, 1 or more. Default: the cluster's `entityMailboxCapacity`. */
  readonly mailboxCapacity?: number;
  /** Requests handled at a time per entity; 0 is unbounded. Default: the cluster's `entityMaxConcurrentRequests`. */
  readonly concurrency?: number;
  readonly groups?: Groups;
  readonly rpcs: Rpcs;
}

/** The rpcs of a list of groups, as one object. */
export type RpcsOfGroups<Groups extends readonly AnyRpcGroup[]> = Groups extends readonly [
  RpcGroupDefinition<infer First>,
  ...infer Rest extends readonly AnyRpcGroup[],
]
  ? First & RpcsOfGroups<Rest>
  : unknown;

/** The names that more than one member has. */
type Clashes<Rpcs, Groups extends readonly AnyRpcGroup[]> = Groups extends readonly [
  RpcGroupDefinition<infer First>,
  ...infer Rest extends readonly AnyRpcGroup[],
]
  ? (keyof First & (keyof Rpcs | keyof RpcsOfGroups<Rest>)) | Clashes<Rpcs, Rest>
  : never;

/** A sentence where a wrong type would be. */
export interface DefinitionMistake<Message extends string> {
  readonly mistake: Message;
}

type GroupImplementations<Groups extends readonly AnyRpcGroup[]> = {
  readonly [Index in keyof Groups]: Groups[Index] extends RpcGroupDefinition<infer Rpcs>
    ? RpcGroupImplementation<Rpcs>
    : never;
};

type ImplementArguments<Own extends AnyRpcs, Groups extends readonly AnyRpcGroup[]> = [
  Clashes<Own, Groups>,
] extends [never]
  ? Groups extends readonly []
    ? [
        handlers: HandlersOf<Own> | ((entity: EntityScope) => HandlersOf<Own>),
        options?: { readonly groups?: readonly [] },
      ]
    : [
        handlers: HandlersOf<Own> | ((entity: EntityScope) => HandlersOf<Own>),
        options: { readonly groups: GroupImplementations<Groups> },
      ]
  : [
      mistake: DefinitionMistake<`Two members are named "${Clashes<Own, Groups> & string}": rename one of them`>,
      options?: unknown,
    ];

/** An entity type as callers import it. */
export interface EntityDefinition<
  Rpcs extends AnyRpcs,
  Own extends AnyRpcs,
  Groups extends readonly AnyRpcGroup[],
> extends EntityContract<Rpcs> {
  readonly kind: "entity-definition";
  /**
   * Gives the definition its handlers: an object, or a function that makes one for each entity that comes into memory.
   *
   * @throws {DefinitionError} a handler or a group is missing, or two members have one name
   */
  implement(...args: ImplementArguments<Own, Groups>): EntityImplementation;
}

/** An entity type as runners register it. */
export interface EntityImplementation {
  readonly kind: "entity";
  readonly contract: EntityContract;
  /** Made into what the runtime runs, with the contexts that handlers get. */
  bind(makeContext: (call: Call) => HandlerContext): EntityBehavior;
}

type AnyHandlers = Readonly<Record<string, (input: unknown, ctx: HandlerContext) => unknown>>;
type HandlersSource = AnyHandlers | ((entity: EntityScope) => AnyHandlers);

interface ImplementOptions {
  readonly groups?: readonly RpcGroupImplementation[];
}

const OPTION_NAMES: OptionNames<EntityOptions<AnyRpcs, readonly AnyRpcGroup[]>> = {
  name: true,
  shardGroup: true,
  maxIdleTime: true,
  mailboxCapacity: true,
  concurrency: true,
  groups: true,
  rpcs: true,
};
const IMPLEMENT_OPTION_NAMES: OptionNames<ImplementOptions> = { groups: true };
const RESERVED_PREFIXES = ["workflow:", "cron:"];

/** Defines an entity type: its name, its rpcs, and how it behaves in memory. Callers import it; runners implement it. */
export function defineEntity<
  const Rpcs extends AnyRpcs,
  const Groups extends readonly AnyRpcGroup[] = readonly [],
>(options: EntityOptions<Rpcs, Groups>): EntityDefinition<Rpcs & RpcsOfGroups<Groups>, Rpcs, Groups> {
  checkOptionNames(options, OPTION_NAMES);
  const name = checkName("an entity", options.name);
  if (RESERVED_PREFIXES.some((prefix) => name.startsWith(prefix))) {
    throw new DefinitionError(
      `The entity name "${name}" begins with a prefix that is kept for the library: ${RESERVED_PREFIXES.join(", ")}.`,
    );
  }
  const of = `the entity "${name}"`;
  const own = checkRpcs(of, options.rpcs);
  const groups: readonly AnyRpcGroup[] = options.groups ?? [];
  checkGivenGroups(of, "rpc-group", groups);
  const contract: EntityContract = {
    name,
    shardGroup: checkName(`the shard group of ${of}`, options.shardGroup ?? "default"),
    maxIdleTimeMs:
      options.maxIdleTime === undefined ? null : milliseconds(options.maxIdleTime, `${name}.maxIdleTime`),
    mailboxCapacity: count(options.mailboxCapacity, `${name}.mailboxCapacity`, 1),
    concurrency: count(options.concurrency, `${name}.concurrency`, 0),
    rpcs: Object.freeze(Object.assign({}, ...groups.map((group) => group.rpcs), own)),
  };
  const definition = {
    ...contract,
    kind: "entity-definition",
    implement(handlers: HandlersSource, given: ImplementOptions = {}): EntityImplementation {
      checkOptionNames(given, IMPLEMENT_OPTION_NAMES);
      checkClashes(of, own, groups);
      if (typeof handlers !== "function") checkHandlers(of, own, handlers);
      const sources = [handlers, ...groupSources(of, groups, given.groups ?? [])];
      return Object.freeze({
        kind: "entity",
        contract,
        bind: (makeContext) => bind(of, contract, sources, makeContext),
      } satisfies EntityImplementation);
    },
  };
  return Object.freeze(definition) as unknown as EntityDefinition<Rpcs & RpcsOfGroups<Groups>, Rpcs, Groups>;
}

function bind(
  of: string,
  contract: EntityContract,
  sources: readonly HandlersSource[],
  makeContext: (call: Call) => HandlerContext,
): EntityBehavior {
  const wrap = (handlers: AnyHandlers): Readonly<Record<string, Handler>> =>
    Object.fromEntries(
      Object.keys(contract.rpcs)
        .filter((tag) => typeof handlers[tag] === "function")
        .map((tag): [string, Handler] => [tag, (input, call) => handlers[tag]?.(input, makeContext(call))]),
    );
  const shared = Object.assign(
    {},
    ...sources.map((source) => (typeof source === "function" ? {} : wrap(source))),
  );
  const factories = sources.filter((source) => typeof source === "function");
  // Without a factory all entities of the type share one set of handlers: an idle one costs no closures.
  if (factories.length === 0) return { contract, handlers: shared, mayRunAhead: true };
  return {
    contract,
    mayRunAhead: true,
    handlers(scope) {
      const made = factories.map((factory) => factory(entityScope(scope)));
      made.forEach(disregard);
      for (const each of made) checkObject(of, each);
      const handlers = Object.assign({}, shared, ...made.map(wrap));
      checkHandlers(of, contract.rpcs, handlers);
      return handlers;
    },
  };
}

const SIGNAL = liveProperty((scope: ActivationScope) => scope.signal);

function entityScope(scope: ActivationScope): EntityScope {
  const given = {
    [SOURCE]: scope,
    entityId: scope.address.entityId,
    address: scope.address,
    fencingToken: scope.fence.epoch,
    onEvict: (callback: () => void | Promise<void>) => scope.onEvict(callback),
  };
  return Object.defineProperty(given, "signal", SIGNAL) as typeof given & Pick<EntityScope, "signal">;
}

function checkClashes(of: string, own: AnyRpcs, groups: readonly AnyRpcGroup[]): void {
  const seen = new Map(Object.keys(own).map((tag) => [tag, of]));
  for (const group of groups) {
    for (const tag of Object.keys(group.rpcs)) {
      const other = seen.get(tag);
      if (other !== undefined) {
        throw new DefinitionError(
          `Two members of ${of} are named "${tag}": of ${other} and of the rpc group "${group.name}". Rename one of them.`,
        );
      }
      seen.set(tag, `the rpc group "${group.name}"`);
    }
  }
}

function groupSources(
  of: string,
  groups: readonly AnyRpcGroup[],
  given: readonly RpcGroupImplementation[],
): readonly HandlersSource[] {
  const definitions = Array.isArray(given)
    ? given.map((implementation) => implementation?.definition)
    : given;
  checkGivenGroups(`the implementation of ${of}`, "rpc-group", definitions);
  const missing = groups.filter(
    (group) => !given.some((implementation) => implementation.definition === group),
  );
  if (missing.length > 0) {
    throw new DefinitionError(
      `The implementation of ${of} lacks its rpc groups: ${missing.map((group) => group.name).join(", ")}. Give them in { groups: [...] }.`,
    );
  }
  const extra = given.filter((implementation) => !groups.includes(implementation.definition));
  if (extra.length > 0) {
    throw new DefinitionError(
      `The implementation of ${of} has rpc groups that its definition does not list: ${extra.map((implementation) => implementation.definition.name).join(", ")}.`,
    );
  }
  return given.map((implementation) => implementation.handlers as HandlersSource);
}

/** Null: the cluster's. */
function count(given: number | undefined, option: string, least: number): number | null {
  return given === undefined ? null : checkWholeNumber(given, option, least);
}
