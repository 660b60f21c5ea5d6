import { milliseconds, type Duration } from "../contract/duration.ts";
import { checkErrorClasses } from "../contract/error-classes.ts";
import { checkName } from "../contract/entity-contract.ts";
import type { Logger } from "../contract/logger.ts";
import { checkOptionNames, type OptionNames } from "../contract/option-names.ts";
import type { TRANSACTION_SCOPE, TransactionScope } from "../contract/transaction.ts";
import { checkWholeNumber } from "../contract/whole-number.ts";
import type { RunContext } from "../client/handler-context.ts";
import { ConfigError, DefinitionError } from "../errors/config.ts";
import { DEFAULT_ACTIVITY_SETTINGS, type ActivitySettings } from "../workflow/activity-attempt.ts";

/** What the first argument of an activity is. */
export interface ActivityContext extends Omit<RunContext, "log"> {
  readonly executionId: string;
  /** Names this step of this execution; the same for every attempt. */
  readonly activityId: string;
  /** 1 for the first. */
  readonly attempt: number;
  /** The same for every attempt: pass it to systems that take one, so that an attempt repeated after a crash does no harm. */
  readonly idempotencyKey: string;
  /**
   * Says that the attempt is alive, for `heartbeatTimeout`, and leaves `details` to the next attempt. Without details,
   * those given before stay.
   *
   * @throws {SerializationError} the details cannot be stored
   */
  heartbeat(details?: unknown): void;
  /**
   * The details that the last heartbeat of an earlier attempt left, or undefined. They are recorded with the attempt's
   * failure, so one whose process ended before it did leaves none.
   */
  readonly lastHeartbeat: unknown;
  readonly log: Logger;
  readonly [TRANSACTION_SCOPE]: TransactionScope;
}

/** How an activity is tried. */
export interface ActivityOptions {
  /** Attempts after the first, 0 or more. Default 0. */
  readonly retries?: number;
  /** How the pauses between attempts grow. Default `"exponential"`: they double. */
  readonly backoff?: "exponential" | "constant";
  /** The pause after the first failed attempt. Default 1s. */
  readonly initialInterval?: Duration;
  /** No pause is longer. Default 1m. */
  readonly maxInterval?: Duration;
  /** The most that one attempt may take. Then its signal is aborted and it failed with ActivityTimeoutError. Default: no bound. */
  readonly timeout?: Duration;
  /** The most between two heartbeats of an attempt. Default: none is awaited. */
  readonly heartbeatTimeout?: Duration;
  /** Errors of these classes are not tried again. */
  readonly nonRetryable?: readonly (abstract new (...args: never[]) => Error)[];
}

/** A journaled side effect of a workflow. Made by `activity()`. */
export interface Activity<Args extends readonly unknown[] = readonly unknown[], Out = unknown> {
  readonly kind: "activity";
  readonly settings: ActivitySettings;
  readonly body: (ctx: ActivityContext, ...args: Args) => Out | Promise<Out>;
}

/** An activity, whatever its arguments and its result. */
// oxlint-disable-next-line no-explicit-any -- any activity at all; `unknown` would not be assignable both ways
export type AnyActivity = Activity<any, any>;
/** Activities, by name. */
export type AnyActivities = Readonly<Record<string, AnyActivity>>;

/** Activities as a workflow calls them: without their context. */
export type ActivityCalls<Activities extends AnyActivities> = {
  readonly [Name in keyof Activities]: Activities[Name] extends Activity<infer Args, infer Out>
    ? (...args: Args) => Promise<Out>
    : never;
};

const OPTION_NAMES: OptionNames<ActivityOptions> = {
  retries: true,
  backoff: true,
  initialInterval: true,
  maxInterval: true,
  timeout: true,
  heartbeatTimeout: true,
  nonRetryable: true,
};

/** Defines a side effect that a workflow may have, and how it is tried. */
export function activity<Args extends readonly unknown[], Out>(
  body: (ctx: ActivityContext, ...args: Args) => Out | Promise<Out>,
): Activity<Args, Out>;
export function activity<Args extends readonly unknown[], Out>(
  options: ActivityOptions,
  body: (ctx: ActivityContext, ...args: Args) => Out | Promise<Out>,
): Activity<Args, Out>;
export function activity(
  first: ActivityOptions | AnyActivity["body"],
  second?: AnyActivity["body"],
): AnyActivity {
  const [options, body] = optionsAndBody(first, second, "activity(options, async (ctx, ...args) => { ... })");
  return Object.freeze({ kind: "activity", settings: activitySettings(options), body } satisfies AnyActivity);
}

/**
 * The options, which may be left out, and the function that follows them.
 *
 * @param usage how it is written, for the error. @throws {DefinitionError} there is no function, or something follows it
 */
export function optionsAndBody<Body extends (...args: never[]) => unknown>(
  first: ActivityOptions | Body,
  second: Body | undefined,
  usage: string,
): [ActivityOptions, Body] {
  const [options, body] = typeof first === "function" ? [{}, first] : [first, second];
  if (typeof body !== "function") throw new DefinitionError(`An activity needs a function: ${usage}.`);
  if (body === first && second !== undefined)
    throw new DefinitionError(`The options of an activity go before its function: ${usage}.`);
  return [options, body];
}

/** @throws {ConfigError} there is no such option, or one is out of range */
export function activitySettings(options: ActivityOptions): ActivitySettings {
  checkOptionNames(options, OPTION_NAMES);
  const {
    retries = 0,
    backoff = "exponential",
    initialInterval,
    maxInterval,
    timeout,
    heartbeatTimeout,
    nonRetryable = [],
  } = options;
  checkWholeNumber(retries, "retries", 0);
  if (backoff !== "exponential" && backoff !== "constant") {
    throw new ConfigError({ option: "backoff", got: backoff, takes: '"exponential" or "constant"' });
  }
  checkErrorClasses(nonRetryable, "nonRetryable", "AddressError");
  return {
    retries,
    backoff,
    initialIntervalMs:
      initialInterval === undefined
        ? DEFAULT_ACTIVITY_SETTINGS.initialIntervalMs
        : milliseconds(initialInterval, "initialInterval"),
    maxIntervalMs:
      maxInterval === undefined
        ? DEFAULT_ACTIVITY_SETTINGS.maxIntervalMs
        : milliseconds(maxInterval, "maxInterval"),
    timeoutMs: timeout === undefined ? null : milliseconds(timeout, "timeout"),
    heartbeatTimeoutMs:
      heartbeatTimeout === undefined ? null : milliseconds(heartbeatTimeout, "heartbeatTimeout"),
    nonRetryable,
  };
}

/** A bundle of activities that several workflows have in common. The journal records `group.activity`. */
export interface ActivityGroup<Activities extends AnyActivities = AnyActivities> {
  readonly kind: "activity-group";
  readonly name: string;
  readonly activities: Activities;
}

/** An activity group, whatever its activities. */
// oxlint-disable-next-line no-explicit-any -- any group at all
export type AnyActivityGroup = ActivityGroup<any>;

const GROUP_OPTION_NAMES: OptionNames<Pick<ActivityGroup, "name" | "activities">> = {
  name: true,
  activities: true,
};

/** Defines a bundle of activities. */
export function defineActivityGroup<const Activities extends AnyActivities>(options: {
  readonly name: string;
  readonly activities: Activities;
}): ActivityGroup<Activities> {
  checkOptionNames(options, GROUP_OPTION_NAMES);
  const name = checkName("an activity group", options.name);
  return Object.freeze({
    kind: "activity-group",
    name,
    activities: checkActivities(`the activity group "${name}"`, options.activities),
  });
}

/** @throws {DefinitionError} something was not made by `activity()` */
export function checkActivities<Activities extends AnyActivities>(
  of: string,
  activities: Activities,
): Activities {
  if (typeof activities !== "object" || activities === null)
    throw new DefinitionError(`The activities of ${of} are no object of what activity() makes.`);
  for (const [name, each] of Object.entries<unknown>(activities)) {
    if (typeof each !== "object" || each === null || !("kind" in each) || each.kind !== "activity") {
      throw new DefinitionError(`The activity "${name}" of ${of} was not made by activity().`);
    }
    if (name === "then")
      throw new DefinitionError(`An activity of ${of} is named "then", which no object of calls can have.`);
  }
  return Object.freeze({ ...activities });
}
