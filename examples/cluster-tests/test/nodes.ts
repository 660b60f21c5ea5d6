// Nodes: the three runner processes by name, and which of them own shards as the front sees it.

import { setTimeout as wait } from "node:timers/promises";
import type { ChildProgram } from "@holdfast/example-cluster/child-program.ts";
import type { Fleet } from "@holdfast/example-cluster/fleet.ts";
import type { HttpClient } from "./http-client.ts";
import { until } from "./soon.ts";

const NAMES = ["node1", "node2", "node3"];

export class Nodes {
  readonly fleet: Fleet;
  readonly #client: HttpClient;

  constructor(fleet: Fleet, client: HttpClient) {
    this.fleet = fleet;
    this.#client = client;
  }

  get(name: string): ChildProgram {
    const found = this.fleet.running.find((runner) => runner.name === name);
    if (found === undefined) throw new Error(`${name} does not run`);
    return found;
  }

  /** Starts whichever of the three is not there. Resolves when each has a share of the shards. */
  async all(): Promise<void> {
    const there = new Set(this.fleet.running.map(({ name }) => name));
    for (const name of NAMES) if (!there.has(name)) await this.fleet.add(name).ready;
    await until(
      "each node with a share of the shards",
      () => this.owners(),
      (owners) => owners.join() === NAMES.join(),
    );
  }

  /** The names of those who own shards, sorted; "nobody" among them while a shard has no owner, or a dead one. */
  async owners(): Promise<readonly string[]> {
    const { body } = await this.#client.get("/shards");
    const owners: ({ runner: string; pid: number } | null)[] = Object.values(body.owners);
    const alive = new Set(this.fleet.running.map(({ pid }) => pid));
    const names = owners.map((owner) => (owner !== null && alive.has(owner.pid) ? owner.runner : "nobody"));
    return [...new Set(names)].toSorted();
  }

  /** Replaces one runner after the other, until the signal. Resolves, with how many it replaced, when all are there again. */
  async roll(signal: AbortSignal): Promise<number> {
    let replaced = 0;
    for (; !signal.aborted; replaced += 1) {
      await this.get(NAMES[replaced % NAMES.length] ?? "").stop();
      await this.all();
      await wait(100, undefined, { signal }).catch(() => undefined);
    }
    return replaced;
  }
}
