import { setImmediate } from "node:timers";

/** The platform's own, also after a test's framework exchanged it. */
export const afterTurn: typeof setImmediate = setImmediate;
