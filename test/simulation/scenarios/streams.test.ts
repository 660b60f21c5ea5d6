import { holdsUnderSeeds } from "../under-seeds.ts";
import { streams } from "./streams.ts";

holdsUnderSeeds(streams);
