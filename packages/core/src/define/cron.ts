import { milliseconds, type Duration } from "../contract/duration.ts";
import { checkName } from "../contract/entity-contract.ts";
import { checkOptionNames, type OptionNames } from "../contract/option-names.ts";
import { TRANSACTION_SCOPE, type TransactionScope } from "../contract/transaction.ts";
import type { RunContext } from "../client/handler-context.ts";
import { DefinitionError } from "../errors/config.ts";
import { CronSchedule } from "../singleton/cron-schedule.ts";
import { tickOf, type Cron } from "../singleton/cron-runner.ts";
import type { MakeRunContext } from "./singleton.ts";

/** What `run` of a cron is given besides its instant. */
export interface CronContext extends RunContext {
  /** The cron's name. */
  readonly name: string;
  /** 1, unless a runner died under an earlier attempt to run this instant. */
  readonly attempt: number;
  readonly [TRANSACTION_SCOPE]: TransactionScope;
}

/** Options of `defineCron()`. */
export interface CronOptions {
  /** Unique among the cluster's crons. */
  readonly name: string;
  /** Default `"default"`. */
  readonly shardGroup?: string | undefined;
  /**
   * Five fields (minute, hour, day of month, month, day of week), six with seconds first, or `@yearly`, `@monthly`,
   * `@weekly`, `@daily` or `@midnight`, `@hourly`, `@minutely`, `@secondly`, `@weekdays`, `@weekends`. `H` in a field stands
   * for a number made of the name. With both days given, either one will do.
   */
  readonly schedule: string;
  /**
   * A name of the IANA database. Default `"UTC"`. Where clocks change: a time that is skipped runs as much later, 03:30
   * for 02:30; a time that comes twice runs the first time; a schedule for every hour goes by elapsed time.
   */
  readonly timeZone?: string | undefined;
  /**
   * Whether instants that passed while the cluster was down, or while `run` took long, are run one after the other
   * (true), or left out but for the first (false). Default false. One that comes while they do runs when it is due.
   */
  readonly calculateNextFromPrevious?: boolean | undefined;
  /** An instant that is longer ago is not run any more. Default `"1 day"`. */
  readonly skipIfOlderThan?: Duration | undefined;
  /**
   * Runs once for each instant, on one runner, and never twice at a time. When it throws, the error is logged and recorded,
   * and the next instant is next. When the runner dies under it, another one runs it again; what it writes through the
   * storage's transaction happens once all the same.
   */
  run(scheduledTime: Date, ctx: CronContext): unknown;
}

/** A function that runs at the instants of a schedule. Goes into `register`. */
export interface CronDefinition {
  readonly kind: "cron";
  readonly name: string;
  readonly shardGroup: string;
  readonly schedule: string;
  readonly timeZone: string;
  readonly calculateNextFromPrevious: boolean;
  readonly skipIfOlderThanMs: number;
  readonly run: (scheduledTime: Date, ctx: CronContext) => unknown;
}

const OPTION_NAMES: OptionNames<CronOptions> = {
  name: true,
  shardGroup: true,
  schedule: true,
  timeZone: true,
  calculateNextFromPrevious: true,
  skipIfOlderThan: true,
  run: true,
};

/**
 * Defines a function that runs by a schedule.
 *
 * @throws {DefinitionError} an option is malformed, or `run` is missing
 * @throws {ConfigError} there is no such option
 */
export function defineCron(options: CronOptions): CronDefinition {
  checkOptionNames(options, OPTION_NAMES);
  const name = checkName("a cron", options.name);
  // Its entity type is the name with "cron:" before it, and takes as many characters as any.
  checkName(`the entity type of cron "${name}"`, `cron:${name}`);
  if (typeof options.run !== "function") {
    throw new DefinitionError(
      `The cron "${name}" has no function "run". Give it one: run(scheduledTime, ctx) { ... }.`,
    );
  }
  const calculateNextFromPrevious = options.calculateNextFromPrevious ?? false;
  if (typeof calculateNextFromPrevious !== "boolean") {
    throw new DefinitionError(`Option "calculateNextFromPrevious" of cron "${name}" takes true or false.`);
  }
  const definition: CronDefinition = {
    kind: "cron",
    name,
    shardGroup: checkName(`the shard group of cron "${name}"`, options.shardGroup ?? "default"),
    schedule: options.schedule,
    timeZone: options.timeZone ?? "UTC",
    calculateNextFromPrevious,
    skipIfOlderThanMs: durationOf(name, options.skipIfOlderThan ?? "1 day"),
    run: (scheduledTime, ctx) => options.run(scheduledTime, ctx),
  };
  scheduleOf(definition);
  return Object.freeze(definition);
}

/** What a CronRunner runs. */
export function bindCron(definition: CronDefinition, makeContext: MakeRunContext): Cron {
  const { name, shardGroup, calculateNextFromPrevious, skipIfOlderThanMs } = definition;
  return {
    name,
    shardGroup,
    schedule: scheduleOf(definition),
    calculateNextFromPrevious,
    skipIfOlderThanMs,
    run: (scheduledTime, { signal, fence, attempt, transactions }) => {
      const logFields = { cron: name, ...tickOf(scheduledTime.getTime()), attempt };
      const context = makeContext({ signal, fence, logFields });
      return definition.run(scheduledTime, { ...context, name, attempt, [TRANSACTION_SCOPE]: transactions });
    },
  };
}

function scheduleOf(definition: CronDefinition): CronSchedule {
  return new CronSchedule(definition);
}

function durationOf(cron: string, duration: Duration): number {
  try {
    return milliseconds(duration, "skipIfOlderThan");
  } catch (cause) {
    throw new DefinitionError(
      `Option "skipIfOlderThan" of cron "${cron}" takes a duration of 0 or more: milliseconds, or a string such as "1 hour".`,
      { cause },
    );
  }
}
