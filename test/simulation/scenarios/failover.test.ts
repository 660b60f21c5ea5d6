import { holdsUnderSeeds } from "../under-seeds.ts";
import { failover } from "./failover.ts";

holdsUnderSeeds(failover);
