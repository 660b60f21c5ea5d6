import { describe, expect, it } from "vitest";
import { checkPrograms, MOST_PLACES } from "./check-programs.ts";
import { checkProgram } from "./crash-points.ts";
import type { RandomProgram } from "./random-program.ts";

const PROGRAMS = 2_000;

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
  // After and before each write; at the other places a sample, and at all of them by `npm run programs -- --places all`.
  it("comes to the same end, with the same effects and the same journal in the same order", async () => {
    const checked = await checkPrograms({ count: PROGRAMS, seed: 20_300_101, mostPlaces: MOST_PLACES });
    expect(checked.programs).toBe(PROGRAMS);
    expect(checked.left, "of few it is no fair demand").toBeLessThan(PROGRAMS / 4);
  }, 1_800_000);

  it("does not wait for ever for what a child that ended meanwhile was not told", async () => {
    const checked = await checkProgram(FAILS_BESIDE_A_CHILD, { mostPlaces: Infinity, seed: 0 });
    expect(checked).toMatchObject({ left: null });
  });
});
