import { Violation } from "../simulation/violation.ts";

/** A request that was handled. `number` counts a sender's requests, each of which was accepted before the next was sent. */
export interface Handled {
  readonly sender: string;
  readonly entity: string;
  readonly number: number;
}

/**
 * Checks that the requests of one sender to one entity took effect in the order of their acceptance (INV-4). One that took
 * effect again counts where it did so first.
 *
 * @param handled in the order of their effects
 * @throws {Violation} "order"
 */
export function checkOrder(handled: readonly Handled[]): void {
  const lastOf = new Map<string, number>();
  const seen = new Set<string>();
  for (const { sender, entity, number } of handled) {
    const lane = JSON.stringify([sender, entity]);
    const request = `${lane} ${number}`;
    if (seen.has(request)) continue;
    seen.add(request);
    const last = lastOf.get(lane);
    if (last !== undefined && number < last)
      throw new Violation("order", `request ${number} of ${sender} to ${entity} came after ${last}`);
    lastOf.set(lane, number);
  }
}
