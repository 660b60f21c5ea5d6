// Opens sessions on PGlite. All sessions of one adapter share one instance, which the first opens and the last closes.

import { HoldfastError, type AdapterServices, type OpenStorage } from "@holdfast/core/adapter";
import { failureOf, persistenceError } from "./errors.ts";
import { migrate } from "./migrations.ts";
import { importPeer, storageOn } from "./open-postgres.ts";
import type { PGliteInstance, PGliteSettings } from "./options.ts";
import { PGliteDriver } from "./pglite-driver.ts";
import { takeFolder } from "./pglite-folder.ts";
import { Turnstile } from "./turnstile.ts";

interface Shared {
  readonly instance: PGliteInstance;
  /** Gives up the instance, if it is the adapter's own. */
  readonly end: () => Promise<void>;
}

export class PGliteSessions {
  readonly #settings: PGliteSettings;
  readonly #turnstile = new Turnstile(1);
  #shared: Promise<Shared> | null = null;
  #users = 0;

  constructor(settings: PGliteSettings) {
    this.#settings = settings;
  }

  /** @throws {PersistenceError} @throws {ConfigError} @throws {AdapterNotInstalledError} */
  async open(services: AdapterServices): Promise<OpenStorage> {
    this.#users += 1;
    this.#shared ??= this.#start();
    const shared = this.#shared;
    try {
      const { instance } = await shared;
      const driver = new PGliteDriver(instance, this.#turnstile, this.#settings, () => this.#leave(shared));
      return storageOn(driver, this.#settings, services);
    } catch (error) {
      await this.#leave(shared);
      throw error;
    }
  }

  async #leave(shared: Promise<Shared>): Promise<void> {
    this.#users -= 1;
    if (this.#users > 0 || this.#shared !== shared) return;
    this.#shared = null;
    const started = await shared.catch(() => null);
    await started?.end();
  }

  async #start(): Promise<Shared> {
    const { instance: given, dataDir, schema } = this.#settings;
    if (given !== undefined) {
      await given.waitReady;
      await this.#migrate(given);
      return { instance: given, end: async () => undefined };
    }
    const { PGlite } = await importPeer(
      () => import("@electric-sql/pglite"),
      "@electric-sql/pglite",
      "pglite",
    );
    const giveBack = dataDir === undefined ? async (): Promise<void> => undefined : await takeFolder(dataDir);
    try {
      const instance = await PGlite.create({
        ...(dataDir === undefined ? {} : { dataDir }),
        relaxedDurability: false,
      });
      await this.#migrate(instance);
      // Nobody else can have this folder open: whoever held a lease in it is gone, however long the lease.
      await instance.exec(`DELETE FROM "${schema}".runners`);
      // PGlite has no background process that clears dead rows away.
      await instance.exec(`VACUUM (ANALYZE) "${schema}".pending`);
      return {
        instance,
        end: async () => {
          await instance.close();
          await giveBack();
        },
      };
    } catch (error) {
      await giveBack();
      throw error instanceof HoldfastError ? error : persistenceError("open", failureOf(error, false));
    }
  }

  async #migrate(instance: PGliteInstance): Promise<void> {
    const driver = new PGliteDriver(instance, this.#turnstile, this.#settings, async () => undefined);
    await migrate(driver, this.#settings.schema);
  }
}
