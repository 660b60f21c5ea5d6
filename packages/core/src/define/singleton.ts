import { checkName } from "../contract/entity-contract.ts";
import type { LogFields } from "../contract/logger.ts";
import { checkOptionNames, type OptionNames } from "../contract/option-names.ts";
import type { RunContext } from "../client/handler-context.ts";
import type { Fence } from "../data/epoch.ts";
import { DefinitionError } from "../errors/config.ts";
import type { Singleton } from "../singleton/singleton-host.ts";

/** What `run` of a singleton is given. */
export interface SingletonContext extends RunContext {
  /** The singleton's name. */
  readonly name: string;
}

/** Options of `defineSingleton()`. */
export interface SingletonOptions {
  /** Unique among the cluster's singletons: it names the shard whose owner runs it. */
  readonly name: string;
  /** Default `"default"`. */
  readonly shardGroup?: string | undefined;
  /**
   * Runs on one runner of the shard group, and on another one when that one leaves or dies. Is to end soon after
   * `ctx.signal` is aborted: the shard waits for it at most `entityTerminationTimeout`, and then it may run elsewhere too.
   *
   * When it returns before that it is started again after `singletonCrashBackoffBase`. When it throws, too, and the pause
   * doubles with each crash in a row, up to a minute.
   */
  run(ctx: SingletonContext): unknown;
}

/** A task that runs on exactly one runner. Goes into `register`. */
export interface SingletonDefinition {
  readonly kind: "singleton";
  readonly name: string;
  readonly shardGroup: string;
  readonly run: (ctx: SingletonContext) => unknown;
}

/** What a context is made from, for one run of a singleton or one tick of a cron. */
export interface RunScope {
  readonly signal: AbortSignal;
  readonly fence: Fence;
  /** What each line of the context's log says. */
  readonly logFields: LogFields;
}

/** Makes the context of one run: an object of its own, which the caller completes. The cluster knows the clients. */
export type MakeRunContext = (scope: RunScope) => RunContext;

const OPTION_NAMES: OptionNames<SingletonOptions> = { name: true, shardGroup: true, run: true };

/**
 * Defines a task that runs on exactly one runner.
 *
 * @throws {DefinitionError} a name is malformed, or `run` is missing
 * @throws {ConfigError} there is no such option
 */
export function defineSingleton(options: SingletonOptions): SingletonDefinition {
  checkOptionNames(options, OPTION_NAMES);
  const name = checkName("a singleton", options.name);
  if (typeof options.run !== "function") {
    throw new DefinitionError(
      `The singleton "${name}" has no function "run". Give it one: run(ctx) { ... }.`,
    );
  }
  return Object.freeze({
    kind: "singleton",
    name,
    shardGroup: checkName(`the shard group of singleton "${name}"`, options.shardGroup ?? "default"),
    run: (ctx: SingletonContext) => options.run(ctx),
  } satisfies SingletonDefinition);
}

/** What a SingletonHost runs. */
export function bindSingleton(definition: SingletonDefinition, makeContext: MakeRunContext): Singleton {
  const { name, shardGroup } = definition;
  return {
    name,
    shardGroup,
    run: ({ signal, fence }) =>
      definition.run({ ...makeContext({ signal, fence, logFields: { singleton: name } }), name }),
  };
}
