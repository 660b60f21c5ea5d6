import { holdsUnderSeeds } from "../under-seeds.ts";
import { timers } from "./timers.ts";

holdsUnderSeeds(timers);
