import { holdsUnderSeeds } from "../under-seeds.ts";
import { signals } from "./signals.ts";

holdsUnderSeeds(signals);
