// Fleet: three runners in this process on one storage, replaced one after the other while work goes on, and a client.

import { createCluster, createMemoryBackend, type Cluster, type Registration } from "@holdfast/core";
import type { StorageAdapter } from "@holdfast/core/adapter";

const RUNNERS = 3;

export class Fleet implements AsyncDisposable {
  readonly client: Cluster;
  readonly #start: () => Promise<Cluster>;
  readonly #runners: Cluster[];
  #replacing: Promise<void> | null = null;
  #isOver = false;
  /** How often a runner left and another one came. */
  replaced = 0;

  private constructor(client: Cluster, runners: Cluster[], start: () => Promise<Cluster>) {
    this.client = client;
    this.#runners = runners;
    this.#start = start;
  }

  static async start(storage: StorageAdapter, register: readonly Registration[]): Promise<Fleet> {
    const backend = createMemoryBackend();
    const member = async (role: "runner" | "client"): Promise<Cluster> => {
      const cluster = await createCluster({
        role,
        storage,
        register: role === "client" ? [] : register,
        runners: backend.runners,
        transport: backend.transport(),
        shardsPerGroup: 30,
        shardRebalanceDebounce: "20ms",
        storagePollInterval: "200ms",
      });
      await cluster.start();
      return cluster;
    };
    const runners = await Promise.all(Array.from({ length: RUNNERS }, () => member("runner")));
    return new Fleet(await member("client"), runners, () => member("runner"));
  }

  /** Replaces one runner after the other, in order, until `settle` is called: shards move all the time. */
  keepMoving(): void {
    this.#replacing ??= (async () => {
      while (!this.#isOver) {
        await this.#runners.shift()?.shutdown();
        this.#runners.push(await this.#start());
        this.replaced += 1;
      }
    })();
  }

  async settle(): Promise<void> {
    this.#isOver = true;
    await this.#replacing;
    this.#replacing = null;
    this.#isOver = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.settle();
    await Promise.all([this.client, ...this.#runners].map((member) => member.shutdown()));
  }
}
