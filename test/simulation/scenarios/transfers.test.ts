import { holdsUnderSeeds } from "../under-seeds.ts";
import { transfers } from "./transfers.ts";

holdsUnderSeeds(transfers);
