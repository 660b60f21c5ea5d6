// Adapter URL: which package serves a scheme, imported only when it is named.

import type {
  AdapterModule,
  RunnersAdapter,
  StorageAdapter,
  TransportAdapter,
} from "../adapter/storage-adapter.ts";
import { AdapterNotInstalledError, ConfigError } from "../errors/config.ts";
import { HoldfastError } from "../errors/holdfast-error.ts";
import { memoryRunners, memoryStorage } from "../memory/memory-backend.ts";
import { memoryTransport } from "../memory/memory-transport.ts";

export interface AdapterKinds {
  storage: StorageAdapter;
  runners: RunnersAdapter;
  transport: TransportAdapter;
}

type Kind = keyof AdapterKinds;

/** The package behind each scheme, for each option. */
const PACKAGES: { readonly [Option in Kind]: Readonly<Record<string, string>> } = {
  storage: {
    pglite: "@holdfast/storage-postgres",
    postgres: "@holdfast/storage-postgres",
    postgresql: "@holdfast/storage-postgres",
    redis: "@holdfast/storage-redis",
    rediss: "@holdfast/storage-redis",
  },
  runners: {
    postgres: "@holdfast/storage-postgres",
    postgresql: "@holdfast/storage-postgres",
    etcd: "@holdfast/runners-etcd",
    redis: "@holdfast/runners-redis",
    rediss: "@holdfast/runners-redis",
  },
  transport: { grpc: "@holdfast/transport-grpc", nats: "@holdfast/transport-nats" },
};

const MEMORY: { readonly [Option in Kind]: () => AdapterKinds[Option] } = {
  storage: memoryStorage,
  runners: memoryRunners,
  transport: memoryTransport,
};

/** Imports a package. Given, so that tests can stand in for packages that are not there. */
export type ImportModule = (packageName: string) => Promise<unknown>;

/**
 * Turns what an option was given into its adapter.
 *
 * @param variable the environment variable that gave it, for messages; null: the program did
 * @throws {ConfigError} no adapter and no URL with a scheme that this option takes
 * @throws {AdapterNotInstalledError} the scheme's package is not installed
 */
export async function resolveAdapter<Option extends Kind>(
  option: Option,
  given: AdapterKinds[Option] | string,
  importModule: ImportModule,
  variable: string | null = null,
): Promise<AdapterKinds[Option]> {
  const origin = variable === null ? "" : `It comes from ${variable} in the environment.`;
  const refuse = (got: unknown, more: string = ""): ConfigError => {
    const hint = [more, origin].filter((part) => part !== "").join(" ");
    return new ConfigError({ option, got, takes: takes(option), ...(hint === "" ? {} : { hint }) });
  };
  if (typeof given !== "string") {
    if (typeof given !== "object" || given === null) throw refuse(given);
    if (given.kind === option) return given;
    throw refuse(Object.hasOwn(PACKAGES, given.kind) ? `an adapter for ${given.kind}` : given);
  }
  const scheme = /^([a-z][a-z0-9+.-]*):/u.exec(given)?.[1];
  if (scheme === "memory") return MEMORY[option]();
  const packageName = scheme === undefined ? undefined : PACKAGES[option][scheme];
  // The rest of a URL may hold a password: only its scheme is shown.
  if (scheme === undefined || packageName === undefined) {
    if (scheme !== undefined) throw refuse(`${scheme}:`);
    throw refuse(
      "without a scheme",
      option === "storage" ? 'A folder of this machine is given as "pglite:./folder".' : "",
    );
  }
  const fromUrl = factory(option, await load(option, scheme, packageName, importModule));
  if (fromUrl === undefined) throw refuse(`${scheme}:`, `${packageName} is too old for it.`);
  try {
    return fromUrl(given);
  } catch (error) {
    // An error that is not ours may quote the URL, password and all.
    if (error instanceof HoldfastError) throw error;
    throw refuse(`a ${scheme}: URL that ${packageName} cannot read`);
  }
}

async function load(
  option: Kind,
  scheme: string,
  packageName: string,
  importModule: ImportModule,
): Promise<AdapterModule> {
  try {
    return (await importModule(packageName)) as AdapterModule;
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
    // Another module missing inside the package is the package's own fault, and is shown as it is.
    if (code === "ERR_MODULE_NOT_FOUND" && String(cause).includes(packageName)) {
      throw new AdapterNotInstalledError({ option, scheme, packageName }, { cause });
    }
    throw cause;
  }
}

function factory<Option extends Kind>(
  option: Option,
  module: AdapterModule,
): ((url: string) => AdapterKinds[Option]) | undefined {
  const factories: { readonly [Each in Kind]: ((url: string) => AdapterKinds[Each]) | undefined } = {
    storage: module.storageFromUrl,
    runners: module.runnersFromUrl,
    transport: module.transportFromUrl,
  };
  return factories[option];
}

function takes(option: Kind): string {
  return `an adapter, or a URL that begins with ${["memory", ...Object.keys(PACKAGES[option])].map((scheme) => `"${scheme}:"`).join(", ")}`;
}
