// Incarnation: names the history of data that a server has.

import { RedisFailure } from "./errors.ts";
import { infoField } from "./info-field.ts";

/**
 * From what a server says of itself: another one after each start of it, and after it took over from another one. It may have
 * forgotten then what it had answered before.
 *
 * @throws {RedisFailure} it does not say which start this is, or whose data: a loss could not be told
 */
export function incarnationOf(info: string): string {
  const run = infoField(info, "run_id");
  const data = infoField(info, "master_replid");
  if (run !== null && data !== null) return `${run}-${data}`;
  const message = "INFO does not tell run_id and master_replid, without which lost writes are not noticed";
  throw new RedisFailure({ outcome: "not-written", code: null, message });
}
