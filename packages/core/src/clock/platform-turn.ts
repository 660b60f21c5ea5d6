import { setImmediate } from "node:timers";

/** The platform's own, also after a test's framework exchanged it for one that waits to be told: vi.useFakeTimers() does. */
export const platformTurn: typeof setImmediate = setImmediate;
