// Expectations: what must hold of a scenario's result besides the invariants. Each returns a sentence for what does not.

import { TTL_MS } from "./settings.ts";
import type { Result } from "./world.ts";

/** The longest time that a shard may have no owner after a kill -9. */
export const KILL_LIMIT_MS = TTL_MS + 2_000;

export function gapWithin(limitMs: number): (result: Result) => readonly string[] {
  return ({ longestGapMs }) =>
    longestGapMs <= limitMs
      ? []
      : [
          `A shard had no owner for ${Math.round(longestGapMs)} ms, more than ${limitMs} (the lease is ${TTL_MS})`,
        ];
}

/** While the database is there, what is persisted is answered, whatever else is not. */
export function noFailedPersisted({ failedPersisted, failures }: Result): readonly string[] {
  if (failedPersisted === 0) return [];
  return [`${failedPersisted} calls of persisted requests failed at their callers`, ...failures];
}

export function noFailedCall({ failed, failures }: Result): readonly string[] {
  return failed === 0 ? [] : [`${failed} calls failed at their callers`, ...failures];
}
