// The least that a call within a process can cost: a function that returns a promise, found in a Map.

import type { OpenContestant } from "../contestant.ts";
import { PAYLOAD } from "../definitions.ts";

export const open: OpenContestant = () => {
  const handlers = new Map([["volatile", (text: string) => Promise.resolve(text)]]);
  return Promise.resolve({
    workloads: {
      "volatile rpc": {
        kind: "closed loop",
        call: () => handlers.get("volatile")?.(PAYLOAD) ?? Promise.resolve(),
      },
    },
    close: () => Promise.resolve(),
  });
};
