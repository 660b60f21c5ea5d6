import type { MessageStorage } from "./message-storage.ts";
import type { RunnerStorage } from "./runner-storage.ts";
import type { Transport } from "./transport.ts";
import type { WorkflowStorage } from "./workflow-storage.ts";
import type { Clock } from "./clock.ts";
import type { Random } from "./random.ts";

/** What a cluster gives its adapters: all time and all chance come from here, so that a simulation can replay them. */
export interface AdapterServices {
  readonly clock: Clock;
  readonly random: Random;
}

/** What the option `storage` takes: made by an adapter package, opened and closed by the cluster. */
export interface StorageAdapter {
  readonly kind: "storage";
  /** The kind of server that it is on, such as `"postgres"`, if runners may share it that name no server of their own. */
  readonly backend?: string;
  /**
   * Connects and migrates. Each call gives one more session on the same data, with an end of its own: several members of one
   * process may have the same adapter object. @throws {PersistenceError} @throws {ConfigError}
   */
  open(services: AdapterServices): Promise<OpenStorage>;
}

export interface OpenStorage {
  readonly messages: MessageStorage;
  readonly workflows: WorkflowStorage;
  /** Members and leases on the same backend, for who sets no `runners`. Null where it has none worth having. */
  readonly runners: RunnerStorage | null;
  /**
   * Resolves when everything accepted is written and every connection is closed. Calls after it are refused, with nothing
   * written. A transaction that is still open is a handler's that was left behind: it is rolled back. May be called twice.
   */
  close(): Promise<void>;
}

/** What the option `runners` takes. */
export interface RunnersAdapter {
  readonly kind: "runners";
  /** It names no server: where the storage is on this backend, the storage's own members and leases are taken in its place. */
  readonly sharedBackend?: string;
  open(services: AdapterServices): Promise<OpenRunners>;
}

export interface OpenRunners {
  readonly runners: RunnerStorage;
  close(): Promise<void>;
}

/** What the option `transport` takes. */
export interface TransportAdapter {
  readonly kind: "transport";
  open(services: AdapterServices): Promise<Transport>;
}

/** What an adapter package exports so that a URL can name it. Each is present where the package serves that option. */
export interface AdapterModule {
  readonly storageFromUrl?: (url: string) => StorageAdapter;
  readonly runnersFromUrl?: (url: string) => RunnersAdapter;
  readonly transportFromUrl?: (url: string) => TransportAdapter;
}
