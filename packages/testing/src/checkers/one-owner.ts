import { Violation } from "../simulation/violation.ts";

/** A claim, or a write that took effect. `from` and `to` are moments of one observer: it happened between them. */
export interface OwnedWrite {
  readonly kind: "claim" | "write";
  /** What one owner at a time may write to: a shard, or something of your own that fencing tokens guard. */
  readonly resource: string;
  /** The epoch, or the fencing token, under which it was made. */
  readonly token: number;
  readonly from: number;
  readonly to: number;
  /** For the message. */
  readonly what: string;
}

/**
 * Checks that once something happened under a token, nothing that began later took effect under a lower one (INV-1), and
 * that no two claims gave one token. Where a resource's claims are listed, writes under tokens that nobody claimed are
 * found, too.
 *
 * @param writes of all resources, in any order
 * @throws {Violation} "one owner at a time"
 */
export function checkOneOwner(writes: readonly OwnedWrite[]): void {
  for (const [resource, events] of Map.groupBy(writes, (write) => write.resource)) {
    const claimed = new Set<number>();
    for (const { kind, token, what } of events) {
      if (kind !== "claim") continue;
      if (claimed.has(token)) fail(`${resource} was claimed twice under ${token}: ${what}`);
      claimed.add(token);
    }
    if (claimed.size > 0) {
      const stray = events.find(({ token }) => !claimed.has(token));
      if (stray !== undefined) fail(`${resource}: ${stray.what} under ${stray.token}, which nobody claimed`);
    }
    checkTokens(resource, events);
  }
}

/** Goes through what began, in order, with the highest token among what had ended by then. */
function checkTokens(resource: string, events: readonly OwnedWrite[]): void {
  const ends = events.toSorted((a, b) => a.to - b.to);
  let highest: OwnedWrite | null = null;
  let ended = 0;
  for (const event of events.toSorted((a, b) => a.from - b.from)) {
    for (let end = ends[ended]; end !== undefined && end.to < event.from; end = ends[ended]) {
      if (highest === null || end.token > highest.token) highest = end;
      ended += 1;
    }
    if (highest !== null && event.token < highest.token)
      fail(
        `${resource}: ${event.what} under ${event.token}, after ${highest.what} had been done under ${highest.token}`,
      );
  }
}

function fail(what: string): never {
  throw new Violation("one owner at a time", what);
}
