// Planted bugs of ownership: leases, epochs, and shards on their way from one runner to another.

import type { PlantedBug } from "../planted-bug.ts";

export const OWNERSHIP: readonly PlantedBug[] = [
  {
    name: "no epoch check",
    breaks: "INV-1",
    file: "memory/memory-epochs.ts",
    find: "if (current !== fence.epoch) {",
    replace: "if (current === undefined) {",
    scenarios: ["storms", "counters"],
  },
  {
    name: "a claim does not raise the epoch",
    breaks: "INV-1",
    file: "memory/memory-epochs.ts",
    find: "const epoch = (this.#epochs.get(shardId) ?? 0) + 1;",
    replace: "const epoch = this.#epochs.get(shardId) ?? 1;",
    scenarios: ["counters"],
  },
  {
    name: "a shard that was here before is not claimed again",
    breaks: "INV-1",
    file: "sharding/shard-owner.ts",
    find: "const epochs = await this.#unlessDropped(messages.claimShards(leased));",
    replace:
      "const known = (this.known ??= new Map());\n" +
      "        const fresh = leased.filter((shardId) => !known.has(shardId));\n" +
      "        const claimed = await this.#unlessDropped(messages.claimShards(fresh));\n" +
      "        claimed?.forEach((epoch, index) => known.set(fresh[index], epoch));\n" +
      "        const epochs = claimed && leased.map((shardId) => known.get(shardId));",
    scenarios: ["transfers"],
  },
  {
    name: "the lease counts from when its refresh came back",
    breaks: "INV-5",
    file: "sharding/lease-keeper.ts",
    find: "else if (this.isHeld()) this.#extend(sentAt);",
    replace: "else if (this.isHeld()) this.#extend(this.#options.clock.monotonic());",
    scenarios: ["slow leases"],
  },
  {
    name: "a runner serves until after its lease is over",
    breaks: "INV-5",
    file: "sharding/lease-keeper.ts",
    find: "return sentAt + this.#options.ttlMs * (1 - MARGIN);",
    replace: "return sentAt + this.#options.ttlMs * (1 + 2 * MARGIN);",
    scenarios: ["slow leases"],
  },
  {
    name: "whether the lease is held is asked of a timer only",
    breaks: "INV-5",
    file: "cluster/parts.ts",
    find: "const leaseIsHeld = (): boolean => lease.isHeld() && !backends.isDetached;",
    replace: "const leaseIsHeld = (): boolean => !backends.isDetached;",
    scenarios: ["stopped runners"],
  },
  {
    name: "shards are kept over the loss of the lease",
    breaks: "INV-5",
    file: "cluster/parts.ts",
    find: "lost: (reason) => owner.dropAll(reason),",
    replace: "lost: () => undefined,",
    scenarios: ["stopped runners"],
  },
  {
    name: "a lease is taken from a runner that holds it",
    breaks: "INV-5",
    file: "memory/memory-runner-storage.ts",
    find: "if (holder !== undefined) return holder === runnerId;",
    replace: "if (holder === runnerId) return true;",
    scenarios: ["failover"],
  },
  {
    name: "a drain does not wait for handlers",
    breaks: "INV-5",
    file: "entity/shard-departure.ts",
    find: "await this.#letEnd(shard);",
    replace: "void this.#letEnd(shard);",
    scenarios: ["deploys"],
  },
  {
    name: "a shard that is about to move takes nothing that its handlers call",
    breaks: "nothing hangs",
    file: "entity/hosted-shard.ts",
    find: "return this.#isWindingDown && ",
    replace: "return false && ",
    scenarios: ["deploys"],
  },
  {
    name: "a shard is freed before it is drained",
    breaks: "INV-5",
    file: "sharding/shard-owner.ts",
    find: "    await guest.drain(shardId);\n",
    replace:
      "    await this.#options.runners.releaseShards(runnerId, [shardId]);\n    await guest.drain(shardId);\n",
    scenarios: ["deploys"],
  },
  {
    name: "a shard moves before its entities have written down what they hold",
    breaks: "INV-5",
    file: "entity/shard-departure.ts",
    find: "    if (!(await within(this.#options.clock, evicted, this.#options.terminationTimeoutMs))) {",
    replace:
      "    if (!(await within(this.#options.clock, Promise.resolve(), this.#options.terminationTimeoutMs))) {",
    scenarios: ["deploys"],
  },
];
