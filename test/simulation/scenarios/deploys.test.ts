import { holdsUnderSeeds } from "../under-seeds.ts";
import { deploys } from "./deploys.ts";

holdsUnderSeeds(deploys);
