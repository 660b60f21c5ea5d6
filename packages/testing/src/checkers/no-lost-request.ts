import { Violation } from "../simulation/violation.ts";

/** What `checkNoLostRequest()` looks at. */
export interface AcceptedHistory {
  /** Keys of requests that were accepted: a call or `notify` came back. */
  readonly accepted: readonly string[];
  /** Keys of those that a handler ran for, as often as it did. */
  readonly handled: readonly string[];
  /** Keys of those that are dead letters now. */
  readonly deadLettered?: readonly string[];
}

/**
 * Checks that each accepted request was handled or is a dead letter (INV-2). To be asked once everything has come to rest.
 *
 * @throws {Violation} "no lost request"
 */
export function checkNoLostRequest({ accepted, handled, deadLettered = [] }: AcceptedHistory): void {
  const known = new Set([...handled, ...deadLettered]);
  const lost = accepted.find((key) => !known.has(key));
  if (lost !== undefined)
    throw new Violation("no lost request", `${lost} was accepted, and never handled nor dead-lettered`);
}
