// Config: the options of a cluster, their units, defaults and ranges, checked once.

import type { RunnersAdapter, StorageAdapter, TransportAdapter } from "../adapter/storage-adapter.ts";
import { checkBoolean } from "../contract/boolean.ts";
import { milliseconds, type Duration } from "../contract/duration.ts";
import type { Logger } from "../contract/logger.ts";
import { checkOptionNames, type OptionNames } from "../contract/option-names.ts";
import { DEFAULT_MAX_PAYLOAD_BYTES } from "../contract/payload.ts";
import { ConfigError } from "../errors/config.ts";
import { checkRetention } from "../singleton/retention.ts";
import type { Registrable } from "./registration.ts";

/** What `createCluster` takes. Every option has a default. */
export interface ClusterOptions {
  /** Where requests and journals are kept: an adapter, or a URL such as `"postgres://..."`, `"pglite:./data"`, `"memory:"` (the default). */
  readonly storage?: StorageAdapter | string;
  /** Where members find each other and hold leases: an adapter or a URL. Default: the storage's own, else `"memory:"`. */
  readonly runners?: RunnersAdapter | string;
  /** How members reach each other: an adapter or a URL. Default `"memory:"`, which reaches nobody but itself. */
  readonly transport?: TransportAdapter | string;
  /** Implementations to host: entities, workflows, singletons, crons. `cluster.register()` adds more. */
  readonly register?: readonly Registrable[];
  /** `"client"` sends and hosts nothing. Default `"runner"`. */
  readonly role?: "runner" | "client";
  /** Shards in each group, 1 to 65,536. The same on every member, for good. Default 300. */
  readonly shardsPerGroup?: number;
  /** The shard groups that this runner hosts. Default `["default"]`. */
  readonly shardGroups?: readonly string[];
  /** Its share of the shards relative to other runners, 0 to 1,000; 0 hosts nothing. Default 1. */
  readonly runnerWeight?: number;
  /** How long an entity without a request stays in memory. Default 60s. */
  readonly entityMaxIdleTime?: Duration;
  /** How many requests wait for one entity, 1 or more. Default 100. */
  readonly entityMailboxCapacity?: number;
  /** How many requests one entity handles at a time; 0 is unbounded. Default 1. */
  readonly entityMaxConcurrentRequests?: number;
  /**
   * How long handlers may go on when their shard moves or the cluster shuts down, before they are aborted; at a shutdown also
   * how long the calls of this process have to end. Default 15s.
   */
  readonly entityTerminationTimeout?: Duration;
  /** How often pending work and replies are looked for although nothing announced them, 10ms or more. Default 500ms. */
  readonly storagePollInterval?: Duration;
  /** How often a persisted request is attempted again before it becomes a dead letter. Default 10. */
  readonly storageMessageMaxRetries?: number;
  /** How long a runner's lease lasts without a refresh, 100ms or more. Default 30s. */
  readonly runnerLockTtl?: Duration;
  /** How often the lease is refreshed; at most half of `runnerLockTtl`. Default 10s, or a third of it if that is less. */
  readonly runnerLockRefreshInterval?: Duration;
  /** How long to wait for more changes before shards move. Default 3s. */
  readonly shardRebalanceDebounce?: Duration;
  /**
   * How often a request that found no owner is sent again. Default 3. What live runners turn away because its shard moves
   * from one to the other does not count: it is sent again for as long as a move can take.
   */
  readonly sendRetryCount?: number;
  /**
   * How long answered persisted requests of entities are kept, with their replies and keys, 1 minute or more: within it a
   * duplicate gets the recorded reply, after it it is a new request. Workflows have their own. Default: for ever.
   */
  readonly requestRetention?: Duration;
  /** The wait before a singleton that crashed is started again; doubled with each crash in a row. Default 1s. */
  readonly singletonCrashBackoffBase?: Duration;
  /**
   * Whether a runner gives its shards up when storage or the lease store gave it no answer for 5 s, so that others who can
   * reach them take the shards, and takes shards again after both answered for 2 s; for longer each time it was soon again,
   * up to a minute. Without it a runner keeps its shards while its lease lasts. Default false.
   */
  readonly detachmentEnabled?: boolean;
  /** Whether the stack of a handler's error reaches its caller. Default true. */
  readonly exposeStacks?: boolean;
  /** The most that one payload may take, encoded, 1,024 or more. Default 4 MiB. */
  readonly maxPayloadBytes?: number;
  /** Where the cluster and its handlers log. Default: warnings and errors to the console. */
  readonly logger?: Logger;
}

/** The options, checked, in milliseconds. Adapters are resolved apart. */
export interface ClusterSettings {
  readonly role: "runner" | "client";
  readonly shardsPerGroup: number;
  readonly shardGroups: readonly string[];
  readonly runnerWeight: number;
  readonly entityMaxIdleTimeMs: number;
  readonly entityMailboxCapacity: number;
  readonly entityMaxConcurrentRequests: number;
  readonly entityTerminationTimeoutMs: number;
  readonly storagePollIntervalMs: number;
  readonly storageMessageMaxRetries: number;
  readonly runnerLockTtlMs: number;
  readonly runnerLockRefreshIntervalMs: number;
  readonly shardRebalanceDebounceMs: number;
  readonly sendRetryCount: number;
  /** Null: for ever. */
  readonly requestRetentionMs: number | null;
  readonly singletonCrashBackoffBaseMs: number;
  readonly detachmentEnabled: boolean;
  readonly exposeStacks: boolean;
  readonly maxPayloadBytes: number;
}

/** Every option's name, so that a misspelt one is found. */
const OPTION_NAMES: OptionNames<ClusterOptions> = {
  storage: true,
  runners: true,
  transport: true,
  register: true,
  role: true,
  shardsPerGroup: true,
  shardGroups: true,
  runnerWeight: true,
  entityMaxIdleTime: true,
  entityMailboxCapacity: true,
  entityMaxConcurrentRequests: true,
  entityTerminationTimeout: true,
  storagePollInterval: true,
  storageMessageMaxRetries: true,
  runnerLockTtl: true,
  runnerLockRefreshInterval: true,
  shardRebalanceDebounce: true,
  sendRetryCount: true,
  requestRetention: true,
  singletonCrashBackoffBase: true,
  detachmentEnabled: true,
  exposeStacks: true,
  maxPayloadBytes: true,
  logger: true,
};

/** @throws {ConfigError} names the option, what it got and what it takes */
export function checkOptions(options: ClusterOptions): ClusterSettings {
  checkOptionNames(options, OPTION_NAMES);
  if (options.register !== undefined && !Array.isArray(options.register))
    throw new ConfigError({ option: "register", got: options.register, takes: "a list of implementations" });
  if (options.logger !== undefined) checkLogger(options.logger);
  const runnerLockTtlMs = duration(options.runnerLockTtl ?? "30s", "runnerLockTtl", 100);
  const runnerLockRefreshIntervalMs = duration(
    // A shorter lease than the default one asks for shorter refreshes too, unless they are given.
    options.runnerLockRefreshInterval ?? Math.min(10_000, runnerLockTtlMs / 3),
    "runnerLockRefreshInterval",
    10,
  );
  if (runnerLockRefreshIntervalMs * 2 > runnerLockTtlMs) {
    throw new ConfigError({
      option: "runnerLockRefreshInterval",
      got: `${runnerLockRefreshIntervalMs} ms`,
      takes: `at most half of runnerLockTtl, ${runnerLockTtlMs / 2} ms`,
      hint: "A lease that is refreshed once in its term is lost with one lost refresh.",
    });
  }
  return {
    role: oneOf(options.role ?? "runner", "role", ["runner", "client"]),
    shardsPerGroup: whole(options.shardsPerGroup ?? 300, "shardsPerGroup", 1, 65_536),
    shardGroups: groups(options.shardGroups ?? ["default"]),
    runnerWeight: whole(options.runnerWeight ?? 1, "runnerWeight", 0, 1_000),
    entityMaxIdleTimeMs: duration(options.entityMaxIdleTime ?? "60s", "entityMaxIdleTime", 1),
    entityMailboxCapacity: whole(options.entityMailboxCapacity ?? 100, "entityMailboxCapacity", 1, 1_000_000),
    entityMaxConcurrentRequests: whole(
      options.entityMaxConcurrentRequests ?? 1,
      "entityMaxConcurrentRequests",
      0,
      1_000_000,
    ),
    entityTerminationTimeoutMs: duration(
      options.entityTerminationTimeout ?? "15s",
      "entityTerminationTimeout",
      0,
    ),
    storagePollIntervalMs: duration(options.storagePollInterval ?? "500ms", "storagePollInterval", 10),
    storageMessageMaxRetries: whole(
      options.storageMessageMaxRetries ?? 10,
      "storageMessageMaxRetries",
      0,
      1_000_000,
    ),
    runnerLockTtlMs,
    runnerLockRefreshIntervalMs,
    shardRebalanceDebounceMs: duration(options.shardRebalanceDebounce ?? "3s", "shardRebalanceDebounce", 0),
    sendRetryCount: whole(options.sendRetryCount ?? 3, "sendRetryCount", 0, 20),
    requestRetentionMs:
      options.requestRetention === undefined
        ? null
        : checkRetention(options.requestRetention, "requestRetention"),
    singletonCrashBackoffBaseMs: duration(
      options.singletonCrashBackoffBase ?? "1s",
      "singletonCrashBackoffBase",
      1,
    ),
    detachmentEnabled: checkBoolean(options.detachmentEnabled ?? false, "detachmentEnabled"),
    exposeStacks: checkBoolean(options.exposeStacks ?? true, "exposeStacks"),
    maxPayloadBytes: whole(
      options.maxPayloadBytes ?? DEFAULT_MAX_PAYLOAD_BYTES,
      "maxPayloadBytes",
      1_024,
      1_073_741_824,
    ),
  };
}

function checkLogger(logger: Logger): void {
  const levels = ["debug", "info", "warn", "error"] as const;
  const given: Partial<Logger> | null = logger;
  if (levels.every((level) => typeof given?.[level] === "function")) return;
  throw new ConfigError({
    option: "logger",
    got: logger,
    takes: "an object with the functions debug, info, warn and error",
  });
}

function duration(value: Duration, option: string, leastMs: number): number {
  const result = milliseconds(value, option);
  if (result < leastMs) throw new ConfigError({ option, got: value, takes: `${leastMs} ms or more` });
  return result;
}

function whole(value: number, option: string, least: number, most: number): number {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new ConfigError({ option, got: value, takes: `a whole number from ${least} to ${most}` });
  }
  return value;
}

function oneOf<Value extends string>(value: Value, option: string, values: readonly Value[]): Value {
  if (!values.includes(value))
    throw new ConfigError({
      option,
      got: value,
      takes: `one of ${values.map((each) => `"${each}"`).join(", ")}`,
    });
  return value;
}

function groups(value: readonly string[]): readonly string[] {
  const isList =
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((group) => typeof group === "string" && /^[\w.:-]{1,128}$/u.test(group));
  if (!isList || new Set(value).size !== value.length) {
    throw new ConfigError({
      option: "shardGroups",
      got: value,
      takes: "a list of one or more different names",
    });
  }
  return [...value];
}
