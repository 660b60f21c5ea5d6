import { holdsUnderSeeds } from "../under-seeds.ts";
import { storms } from "./storms.ts";

holdsUnderSeeds(storms);
