import { holdsUnderSeeds } from "../under-seeds.ts";
import { letters } from "./letters.ts";

holdsUnderSeeds(letters);
