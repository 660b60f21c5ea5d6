import { holdsUnderSeeds } from "../under-seeds.ts";
import { children } from "./children.ts";

holdsUnderSeeds(children);
