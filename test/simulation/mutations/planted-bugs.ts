// The list of planted bugs. `npm run mutations` plants each in turn and asks the simulation to find it.

import { OWNERSHIP } from "./bugs/ownership.ts";
import { REQUESTS } from "./bugs/requests.ts";
import { STREAMS } from "./bugs/streams.ts";
import { TIMERS } from "./bugs/timers.ts";
import { WORKFLOWS } from "./bugs/workflows.ts";
import type { PlantedBug } from "./planted-bug.ts";

export const PLANTED_BUGS: readonly PlantedBug[] = [
  ...OWNERSHIP,
  ...REQUESTS,
  ...STREAMS,
  ...WORKFLOWS,
  ...TIMERS,
];
