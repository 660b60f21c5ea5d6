import { holdsUnderSeeds } from "../under-seeds.ts";
import { payments } from "./payments.ts";

holdsUnderSeeds(payments);
