import { describe, expect, it } from "vitest";
import { comesToTheSameEnd } from "./comes-to-the-same-end.ts";
import { checkProgram } from "./crash-points.ts";
import type { RandomProgram } from "./random-program.ts";

/** Its code fails while a child of it goes on, and the child ends while its compensation runs. */
const FAILS_BESIDE_A_CHILD: RandomProgram = {
  plans: [
    {
      type: "try",
      plan: { type: "broken", ms: 0 },
      rescue: {
        type: "meanwhile",
        plan: { type: "sleep", ms: 0 },
        other: { type: "compensated", by: "commit", ms: 30_000 },
      },
      cleanup: {
        type: "race",
        plans: [
          {
            type: "child",
            does: "execute",
            isNamed: false,
            isDetached: false,
            isStubborn: false,
            ending: "completed",
            wakesMsBefore: 0,
            ms: 25,
          },
          { type: "generator", plans: [{ type: "broken", ms: 0 }], taken: 1, cleanup: null },
        ],
      },
    },
  ],
  next: null,
  isTolerant: true,
  failsAtItsEnd: true,
  signals: [],
  cancelAtMs: 1,
  watchAtMs: null,
  latencyTurns: 0,
};

describe("any program, wherever it crashes", () => {
  comesToTheSameEnd(20_300_101);

  it("does not wait for ever for what a child that ended meanwhile was not told", async () => {
    const checked = await checkProgram(FAILS_BESIDE_A_CHILD, { mostPlaces: Infinity, seed: 0 });
    expect(checked).toMatchObject({ left: null });
  });
});
