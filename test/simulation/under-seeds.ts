import { simulate, type Scenario } from "@holdfast/testing";
import { describe, expect, it } from "vitest";

/** How many seeds each scenario is run under: `SIMULATION_SEEDS`, or 500. */
const SEEDS = Number(process.env["SIMULATION_SEEDS"] ?? 500);
const AT_ONCE = 100;

/** Defines the cases of a scenario: each file has one, so that they are run side by side. */
export function holdsUnderSeeds(scenario: Scenario): void {
  const parts = Array.from({ length: Math.ceil(SEEDS / AT_ONCE) }, (_, part) => ({
    from: part * AT_ONCE + 1,
    to: Math.min((part + 1) * AT_ONCE, SEEDS),
  }));
  describe(`the scenario "${scenario.name}"`, () => {
    it.each(parts)(
      "holds under seeds $from to $to",
      async ({ from, to }) => {
        const seeds = to - from + 1;
        await expect(simulate(scenario, { seed: from, seeds })).resolves.toMatchObject({ seeds });
      },
      600_000,
    );
  });
}
