// createCluster: options, a config file and the environment become one member, its adapters resolved, nothing started.

import { importFromUser } from "../clock/system-environment.ts";
import { SystemClock } from "../clock/system-clock.ts";
import { environment } from "../clock/system-environment.ts";
import { SystemRandom } from "../clock/system-random.ts";
import type { Clock } from "../adapter/clock.ts";
import type { Random } from "../adapter/random.ts";
import type { Logger } from "../contract/logger.ts";
import { ConfigError } from "../errors/config.ts";
import { memoryRunners } from "../memory/memory-backend.ts";
import { resolveAdapter, type ImportModule } from "./adapter-url.ts";
import { clusterOf, type Cluster } from "./cluster.ts";
import { checkOptions, type ClusterOptions } from "./config.ts";
import { Member } from "./member.ts";

/** The ambient things that a cluster stands on. A simulation gives its own. */
export interface ClusterServices {
  readonly clock: Clock;
  readonly random: Random;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly importModule: ImportModule;
}

/**
 * Makes a member of a cluster. Nothing is connected before `start()`.
 *
 * `HOLDFAST_STORAGE`, `HOLDFAST_RUNNERS` and `HOLDFAST_TRANSPORT` in the environment override the options of these names,
 * so that a deployment swaps backends without a change of code.
 *
 * @throws {ConfigError} an option is unknown or out of range; it says what it got and what it takes
 * @throws {AdapterNotInstalledError} a URL names an adapter whose package is not installed
 * @throws {DefinitionError} what is registered contradicts itself
 */
export async function createCluster(options: ClusterOptions | ConfigFile = {}): Promise<Cluster> {
  const member = await createMember(options, {
    clock: new SystemClock(),
    random: new SystemRandom(),
    environment,
    importModule: importFromUser,
  });
  return clusterOf(member);
}

/** Options kept in a file, which exports what `defineConfig` returns as its default. Options beside it override the file's. */
export interface ConfigFile extends ClusterOptions {
  /** The file's path, relative to the working directory: `"holdfast.config.ts"`. */
  readonly config: string;
}

/** The options of a config file, checked by the editor. */
export function defineConfig(options: ClusterOptions): ClusterOptions {
  return options;
}

/** What stands behind `createCluster`, with the services given. */
export async function createMember(
  given: ClusterOptions | ConfigFile,
  services: ClusterServices,
): Promise<Member> {
  const options = withEnvironment(await withFile(given, services.importModule), services.environment);
  const settings = checkOptions(options);
  const { importModule } = services;
  const storage = await resolveAdapter("storage", options.storage ?? "memory:", importModule);
  const runners =
    options.runners === undefined ? null : await resolveAdapter("runners", options.runners, importModule);
  const transport = await resolveAdapter("transport", options.transport ?? "memory:", importModule);
  return new Member({
    settings,
    storage,
    runners,
    defaultRunners: memoryRunners(),
    transport,
    clock: services.clock,
    random: services.random,
    logger: options.logger ?? consoleLogger,
    registrations: options.register ?? [],
  });
}

async function withFile(
  given: ClusterOptions | ConfigFile,
  importModule: ImportModule,
): Promise<ClusterOptions> {
  if (!("config" in given)) return given;
  const { config, ...options } = given;
  if (typeof config !== "string" || config === "")
    throw new ConfigError({ option: "config", got: config, takes: "the path of a config file" });
  const path =
    config.startsWith("/") || config.startsWith("file:") ? config : `./${config.replace(/^\.\//u, "")}`;
  const module = (await importModule(path)) as { readonly default?: unknown };
  if (typeof module.default !== "object" || module.default === null) {
    throw new ConfigError({
      option: "config",
      got: config,
      takes: "a file whose default export is what defineConfig() returns",
    });
  }
  return { ...module.default, ...options };
}

function withEnvironment(
  options: ClusterOptions,
  env: Readonly<Record<string, string | undefined>>,
): ClusterOptions {
  const storage = env["HOLDFAST_STORAGE"];
  const runners = env["HOLDFAST_RUNNERS"];
  const transport = env["HOLDFAST_TRANSPORT"];
  return {
    ...options,
    ...(storage === undefined || storage === "" ? {} : { storage }),
    ...(runners === undefined || runners === "" ? {} : { runners }),
    ...(transport === undefined || transport === "" ? {} : { transport }),
  };
}

/** Warnings and errors to the console; the rest is dropped. */
const consoleLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: (message, fields) => console.warn(`[holdfast] ${message}`, fields ?? ""),
  error: (message, fields) => console.error(`[holdfast] ${message}`, fields ?? ""),
};
