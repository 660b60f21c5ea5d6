import { isDeepStrictEqual } from "node:util";
import { Violation } from "../simulation/violation.ts";

/** What somebody was told of a request: by a call, a repeated one, or a look into storage. */
export interface Told {
  /** The request, by its id or by its entity, rpc and idempotency key. */
  readonly request: string;
  /** Plain data: the value, or what stands for the error. */
  readonly reply: unknown;
}

/**
 * Checks that everybody was told the same of one request (INV-6).
 *
 * @throws {Violation} "replies never change"
 */
export function checkReplies(told: readonly Told[]): void {
  const first = new Map<string, unknown>();
  for (const { request, reply } of told) {
    if (!first.has(request)) first.set(request, reply);
    else if (!isDeepStrictEqual(first.get(request), reply))
      throw new Violation(
        "replies never change",
        `${request} was answered ${JSON.stringify(first.get(request))}, and then ${JSON.stringify(reply)}`,
      );
  }
}
