import type { ShardId } from "./shard-id.ts";

/** Where a request goes: one entity of one type, and the shard that its id falls into. */
export interface EntityAddress {
  readonly entityType: string;
  readonly entityId: string;
  readonly shardId: ShardId;
}

/** One string for an entity, for maps and logs. The type is a checked name without `/`, so no two entities share one. */
export function entityKey(address: Pick<EntityAddress, "entityType" | "entityId">): string {
  return `${address.entityType}/${address.entityId}`;
}
