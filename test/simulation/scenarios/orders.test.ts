import { holdsUnderSeeds } from "../under-seeds.ts";
import { orders } from "./orders.ts";

holdsUnderSeeds(orders);
