import { EventEmitter } from "node:events";
import { callBack } from "../contract/call-back.ts";
import type { Logger } from "../contract/logger.ts";
import type { EntityAddress } from "../data/entity-address.ts";
import type { ShardId } from "../data/shard-id.ts";
import { describeThrown } from "../contract/thrown.ts";

/** What `cluster.events` emits, and with what. */
export interface ClusterEvents {
  /** This runner serves the shard now. */
  shardAcquired: [shard: { shardId: ShardId }];
  /** This runner serves the shard no more. */
  shardLost: [shard: { shardId: ShardId; reason: string }];
  runnerJoined: [runner: { runnerId: string; address: string; role: "runner" | "client" }];
  runnerLeft: [runner: { runnerId: string; address: string; role: "runner" | "client" }];
  /** This runner gave up its shards because storage or leases are out of reach. */
  detached: [detachment: { reason: string }];
  /** This runner takes shards again. */
  attached: [];
  deadLettered: [letter: { requestId: string; address: EntityAddress; tag: string }];
}

/** An emitter whose listeners keep neither each other nor who emits from going on. What one throws is logged. */
export function guardedEvents(logger: Logger): EventEmitter<ClusterEvents> {
  const events = new EventEmitter<ClusterEvents>();
  const emit = (event: keyof ClusterEvents, ...args: readonly unknown[]): boolean => {
    const listeners = events.rawListeners(event);
    const failed = (error: unknown): void =>
      logger.error("A listener of cluster.events threw", { event, error: describeThrown(error) });
    for (const listener of listeners) callBack(() => Reflect.apply(listener, events, args), failed);
    return listeners.length > 0;
  };
  return Object.assign(events, { emit });
}
