// The scenarios that planted bugs are looked for with, by name: those of `npm run simulate`, and some that are here because
// only a planted bug needs them.

import type { Scenario } from "@holdfast/testing";
import { SCENARIOS } from "../scenarios.ts";
import { bursts } from "./scenarios/bursts.ts";
import { cutSenders } from "./scenarios/cut-senders.ts";
import { draws } from "./scenarios/draws.ts";
import { failingCrons } from "./scenarios/failing-crons.ts";
import { families } from "./scenarios/families.ts";
import { keptStreams } from "./scenarios/kept-streams.ts";
import { poison } from "./scenarios/poison.ts";
import { races } from "./scenarios/races.ts";
import { setClocks } from "./scenarios/set-clocks.ts";
import { signalBursts } from "./scenarios/signal-bursts.ts";
import { slowLeases } from "./scenarios/slow-leases.ts";
import { stoppedRunners } from "./scenarios/stopped-runners.ts";
import { stubbornSingleton } from "./scenarios/stubborn-singleton.ts";

const ALL: readonly Scenario[] = [
  ...SCENARIOS,
  bursts,
  cutSenders,
  draws,
  failingCrons,
  families,
  keptStreams,
  poison,
  races,
  setClocks,
  signalBursts,
  slowLeases,
  stoppedRunners,
  stubbornSingleton,
];

/** @throws {Error} there is none of this name */
export function scenarioNamed(name: string): Scenario {
  const found = ALL.find((scenario) => scenario.name === name);
  if (found === undefined)
    throw new Error(`No scenario is named "${name}". There are ${ALL.map((each) => each.name).join(", ")}`);
  return found;
}
