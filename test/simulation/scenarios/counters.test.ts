import { holdsUnderSeeds } from "../under-seeds.ts";
import { counters } from "./counters.ts";

holdsUnderSeeds(counters);
