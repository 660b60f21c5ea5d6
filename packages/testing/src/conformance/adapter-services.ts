import type { AdapterServices } from "@holdfast/core/adapter";
import { SystemClock, SystemRandom } from "@holdfast/core/internal";

/** What a cluster gives its adapters, for a test that opens one by itself: the real time, and real chance. */
export function adapterServices(): AdapterServices {
  return { clock: new SystemClock(), random: new SystemRandom() };
}
