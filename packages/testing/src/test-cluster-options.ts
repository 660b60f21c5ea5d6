// What createTestCluster takes, checked once. What it takes of a cluster's own options is checked with them, by each member.

import { types } from "node:util";
import { ConfigError } from "@holdfast/core/adapter";
import { checkOptionNames, type OptionNames } from "@holdfast/core/internal";
import type { Tamper } from "./gated-storage.ts";
import type { RunnerOptions, TestRunner } from "./test-runner.ts";
import type { Tracer } from "./trace.ts";

/** What `createTestCluster` takes besides the options of a cluster; storage, runners and transport are in memory. */
export interface TestClusterOptions extends RunnerOptions {
  /** How many runners, 1 to 50. Default 1. */
  readonly runners?: number;
  /**
   * Decides all that is left to chance: ids, faults, the order in which a resumed process finds what piled up. A whole number of
   * 0 or more. Default 1.
   */
  readonly seed?: number;
  /** Wall time at the start, from 1970 to 9999. Default: the first moment of 2030. */
  readonly startAt?: Date;
  /**
   * Options that single runners have differently: weights, shard groups, another version of the code. `runner` is the one. Asked
   * for each of its processes as that starts, so that one which is restarted may have been upgraded.
   */
  readonly perRunner?: (index: number, runner: TestRunner) => RunnerOptions;
  /**
   * Whether chance decides which of several processes is first where timers of more than one are due at one moment. Default
   * false: the one that set its timer first.
   */
  readonly shuffle?: boolean;
  /** Whether time moves by itself for calls that are awaited. Default true. */
  readonly isPatient?: boolean;
  /** Is given each message, each call of a backend and each change of a process as it happens. */
  readonly trace?: Tracer;
  /** For tests of the library itself: takes a safeguard of storage away. */
  readonly tamper?: Tamper;
}

const OPTION_NAMES: OptionNames<TestClusterOptions> = {
  runners: true,
  seed: true,
  startAt: true,
  perRunner: true,
  shuffle: true,
  isPatient: true,
  trace: true,
  tamper: true,
  register: true,
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

/** A test cluster has these of its own. */
const NOT_GIVEN = ["storage", "transport", "role"] as const;

/** The first moment that takes more digits of a date than others: year 10000. */
const TOO_LATE = Date.UTC(10_000, 0);

/** @throws {ConfigError} names the option, what it got and what it takes */
export function checkTestClusterOptions(options: TestClusterOptions): void {
  if (typeof options === "object" && options !== null) refuse(options, NOT_GIVEN);
  checkOptionNames(options, OPTION_NAMES);
  const { runners = 1, seed = 1, startAt, register = [] } = options;
  if (!Number.isInteger(runners) || runners < 1 || runners > 50)
    throw new ConfigError({ option: "runners", got: runners, takes: "a whole number from 1 to 50" });
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw new ConfigError({ option: "seed", got: seed, takes: "a whole number of 0 or more" });
  if (startAt !== undefined) checkStart(startAt);
  if (!Array.isArray(register))
    throw new ConfigError({ option: "register", got: register, takes: "a list of implementations" });
  for (const option of ["shuffle", "isPatient"] as const) {
    const got = options[option];
    if (got !== undefined && typeof got !== "boolean")
      throw new ConfigError({ option, got, takes: "true or false" });
  }
  for (const option of ["perRunner", "trace", "tamper"] as const) {
    const got: unknown = options[option];
    if (got !== undefined && typeof got !== "function")
      throw new ConfigError({ option, got, takes: "a function" });
  }
}

/** What `perRunner` returned for runner `index`. @throws {ConfigError} it is no object of options, or says what the runner stands on */
export function checkRunnerOptions(given: RunnerOptions | undefined, index: number): RunnerOptions {
  const options = given ?? {};
  if (typeof options !== "object" || types.isPromise(options))
    throw new ConfigError({ option: `perRunner(${index})`, got: given, takes: "an object of options" });
  refuse(options, [...NOT_GIVEN, "runners"]);
  return options;
}

function refuse(options: object, names: readonly string[]): void {
  const option = names.find((name) => options[name as keyof typeof options] !== undefined);
  if (option === undefined) return;
  const takes =
    option === "role"
      ? "nothing: a test cluster is as many runners as its option runners says, and one client for the test's calls"
      : "nothing: a test cluster has all of it in memory";
  const hint =
    option === "storage" || option === "transport"
      ? {
          hint: 'For a storage of your own use createCluster({ storage: "pglite:" }), which runs on real time.',
        }
      : {};
  throw new ConfigError({ option, got: "given", takes, ...hint });
}

function checkStart(startAt: unknown): void {
  // Also one that was made before the test's framework exchanged the class.
  const at = types.isDate(startAt) ? startAt.getTime() : Number.NaN;
  if (at >= 0 && at < TOO_LATE) return;
  throw new ConfigError({
    option: "startAt",
    got: types.isDate(startAt) ? at : startAt,
    takes: "a valid Date from 1970 to 9999",
  });
}
