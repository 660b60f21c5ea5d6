import type { Scenario } from "@holdfast/testing";
import { children } from "./scenarios/children.ts";
import { counters } from "./scenarios/counters.ts";
import { deploys } from "./scenarios/deploys.ts";
import { failover } from "./scenarios/failover.ts";
import { letters } from "./scenarios/letters.ts";
import { orders } from "./scenarios/orders.ts";
import { payments } from "./scenarios/payments.ts";
import { signals } from "./scenarios/signals.ts";
import { storms } from "./scenarios/storms.ts";
import { streams } from "./scenarios/streams.ts";
import { timers } from "./scenarios/timers.ts";
import { transfers } from "./scenarios/transfers.ts";

/** All that `npm run simulate` runs. */
export const SCENARIOS: readonly Scenario[] = [
  counters,
  transfers,
  orders,
  storms,
  deploys,
  failover,
  streams,
  signals,
  timers,
  children,
  payments,
  letters,
];
