import { describe, expect, it } from "vitest";
import { VirtualClock } from "../clock/virtual-clock.ts";
import type { Envelope } from "../data/envelope.ts";
import type { Activation } from "./activation.ts";
import { Activations, type ActivationsOptions } from "./activations.ts";
import type { EntityBehavior } from "./behavior.ts";
import { Counters } from "./counters.ts";
import { Eviction, type EvictionOptions } from "./eviction.ts";
import type { HostedRequest } from "./hosted-request.ts";
import { HostedShards } from "./hosted-shards.ts";

const ADDRESS = { entityType: "Shop", entityId: "a", shardId: "default:1" } as const;

/** An entity with a request that runs, on a shard that has been read, where another one found no room meanwhile. */
function backlogged() {
  const clock = new VirtualClock();
  const shards = new HostedShards(() => true);
  shards.add({ shardId: "default:1", epoch: 1 }, 0);
  const shard = shards.get("default:1");
  if (shard === undefined) throw new Error("the shard is not here");
  const activations = new Activations({
    clock,
    shards,
    counters: new Counters(),
    mailboxCapacity: 1,
    concurrency: 1,
    run: () => undefined,
    activated: () => undefined,
    wake: () => undefined,
  } as unknown as ActivationsOptions);
  const behavior = { contract: { name: "Shop" }, handlers: {} } as unknown as EntityBehavior;
  const activation = activations.activate(shard, behavior, ADDRESS, "add");
  const request = { isAccepted: true } as HostedRequest;
  activation.admit(request);
  const read = shards.beginRead();
  activation.isBacklogged = true;
  read.caughtUp();
  return { clock, shard, activations, activation, request };
}

describe("an entity whose stored requests found no room", () => {
  it("has no call of its shard's handlers pass them once there is room, also where the shard is given up by then", () => {
    const { shard, activation, request } = backlogged();
    const call = { address: ADDRESS, persisted: true, readPendingFirst: false } as unknown as Envelope;
    shard.windDown([]);
    expect(shard.takesNested(call), "the mailbox refuses it").toBe(true);
    activation.end(request);
    expect(activation.isBacklogged).toBe(false);
    expect(shard.takesNested(call)).toBe(false);
  });

  it("stays in memory until they are read, also where its callbacks ran when they found none", async () => {
    const { clock, shard, activations, activation, request } = backlogged();
    activation.end(request);
    const eviction = new Eviction({
      clock,
      shards: () => [shard],
      terminationTimeoutMs: 1_000,
      maxIdleTimeMs: () => 1_000,
      shortestIdleTimeMs: () => 1_000,
      evict(leaving: Activation) {
        // A caller's, who has given up by the time at which they have run.
        leaving.isBacklogged = true;
        return activations.evict(leaving);
      },
    } as unknown as EvictionOptions);
    eviction.watch();
    await clock.advance(2_000);
    expect(activation.idleSince, "it was to leave").toBeNull();
    expect(shard.activations.size).toBe(1);
    eviction.stop();
  });
});
