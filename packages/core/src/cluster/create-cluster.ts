// createCluster: options, a config file and the environment become one member, its adapters resolved, nothing started.

import { importFromUser } from "../clock/system-environment.ts";
import { SystemClock } from "../clock/system-clock.ts";
import { environment } from "../clock/system-environment.ts";
import { SystemRandom } from "../clock/system-random.ts";
import type { Clock } from "../adapter/clock.ts";
import type { Random } from "../adapter/random.ts";
import type { Logger } from "../contract/logger.ts";
import { ConfigError } from "../errors/config.ts";
import { describeCopies } from "../errors/copies.ts";
import { memoryRunners } from "../memory/memory-backend.ts";
import { resolveAdapter, type AdapterKinds, type ImportModule } from "./adapter-url.ts";
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
 * so that a deployment swaps backends without a change of code. Where an option is given more than once, the environment
 * comes first, then what stands beside `config`, then the file, then the default.
 *
 * It installs no signal handlers. A program that is to drain when it is asked to stop says so itself:
 * `process.once("SIGTERM", () => void cluster.shutdown())`. In a container the first process is not ended by a signal
 * that nothing handles.
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

/**
 * Options kept in a file, which exports what `defineConfig` returns as its default. Options beside it override the file's,
 * one by one.
 */
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
  const { importModule } = services;
  const options = await withFile(given, importModule);
  const settings = checkOptions(options);
  for (const option of ["storage", "runners", "transport"] as const) {
    // It would be the memory of this process, of which each has its own.
    if ((options[option] as unknown) === null)
      throw new ConfigError({
        option,
        got: null,
        takes: "an adapter or a URL; leave it out for its default",
      });
  }
  const resolve = <Option extends AdapterOption>(option: Option, otherwise: string) =>
    resolveOption(option, options, otherwise, services);
  const storage = await resolve("storage", "memory:");
  const isWithoutRunners = options.runners === undefined && overrideOf("runners", services) === null;
  const runners = isWithoutRunners ? null : await resolve("runners", "memory:");
  const transport = await resolve("transport", "memory:");
  const logger = options.logger ?? consoleLogger;
  const copies = describeCopies();
  if (copies !== null) logger.warn(copies);
  return new Member({
    settings,
    storage,
    runners,
    defaultRunners: memoryRunners(),
    transport,
    clock: services.clock,
    random: services.random,
    logger,
    registrations: options.register ?? [],
  });
}

async function withFile(
  given: ClusterOptions | ConfigFile,
  importModule: ImportModule,
): Promise<ClusterOptions> {
  if (typeof given !== "object" || given === null || !("config" in given)) return given;
  const { config, ...options }: ClusterOptions & { readonly config: string | undefined } = given;
  if (config === undefined) return options;
  if (typeof config !== "string" || config === "")
    throw new ConfigError({ option: "config", got: config, takes: "the path of a config file" });
  const fromFile = await readFile(config, importModule);
  // An option that is there without a value does not hide the file's.
  const stated = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  return { ...fromFile, ...stated };
}

async function readFile(config: string, importModule: ImportModule): Promise<ClusterOptions> {
  const path = /^(\/|\.|file:)/u.test(config) ? config : `./${config}`;
  let module: { readonly default?: unknown };
  try {
    module = (await importModule(path)) as typeof module;
  } catch (cause) {
    throw new ConfigError({ option: "config", got: config, ...whyUnreadable(config, cause) }, { cause });
  }
  if (typeof module.default !== "object" || module.default === null) {
    throw new ConfigError({
      option: "config",
      got: config,
      takes: "a file whose default export is what defineConfig() returns",
    });
  }
  return module.default;
}

/** What a file threw may hold anything: it is the cause, and not in the message. */
function whyUnreadable(config: string, cause: unknown): { takes: string; hint?: string } {
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
  const name = config.split("/").at(-1) ?? config;
  // What the file itself imports may be missing, too.
  const isMissing =
    code === "ERR_MODULE_NOT_FOUND" && String(cause).split(" imported from ")[0]?.includes(name);
  if (isMissing === true)
    return { takes: "the path of a file that exists, relative to the working directory" };
  const what = cause instanceof Error ? cause.name : typeof cause;
  const takes = `a file that can be loaded; it ended with a ${what}, which is this error's cause`;
  if (code !== "ERR_UNKNOWN_FILE_EXTENSION") return { takes };
  return {
    takes,
    hint: "Node.js reads TypeScript from 22.18 on; write the file in JavaScript for an older one.",
  };
}

type AdapterOption = "storage" | "runners" | "transport";

const OVERRIDES: Readonly<Record<AdapterOption, string>> = {
  storage: "HOLDFAST_STORAGE",
  runners: "HOLDFAST_RUNNERS",
  transport: "HOLDFAST_TRANSPORT",
};

/** What the environment says of an option. An empty variable says nothing. */
function overrideOf(option: AdapterOption, { environment: env }: ClusterServices): string | null {
  const value = env[OVERRIDES[option]];
  return value === undefined || value === "" ? null : value;
}

function resolveOption<Option extends AdapterOption>(
  option: Option,
  options: ClusterOptions,
  otherwise: string,
  services: ClusterServices,
): Promise<AdapterKinds[Option]> {
  const override = overrideOf(option, services);
  const given = override ?? (options[option] as AdapterKinds[Option] | string | undefined) ?? otherwise;
  return resolveAdapter(option, given, services.importModule, override === null ? null : OVERRIDES[option]);
}

/** Warnings and errors to the console; the rest is dropped. */
const consoleLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: (message, fields) => console.warn(`[holdfast] ${message}`, fields ?? ""),
  error: (message, fields) => console.error(`[holdfast] ${message}`, fields ?? ""),
};
