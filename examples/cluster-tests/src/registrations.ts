import type { Registration } from "@holdfast/core";
import { whereaboutsOf } from "@holdfast/example-cluster/whereabouts.ts";
import type { Database } from "@holdfast/example-orders/database.ts";
import { transfer } from "./accounts.ts";
import { counterOf, statelessCounter } from "./counters.ts";
import { messengerOf } from "./messages.ts";
import { order } from "./order-workflow.ts";
import { tickerOf } from "./ticker.ts";
import { timersOf, timerWorkflow } from "./timers.ts";
import { userOf } from "./user.ts";
import { longWorkflow, retryWorkflow, simpleWorkflow } from "./workflows.ts";

/** What each runner hosts. @param self its name, and where it is reached once it is started */
export function registrations(
  database: Database,
  self: { name: string; address: () => string | null },
): readonly Registration[] {
  return [
    counterOf(database),
    statelessCounter,
    userOf(database),
    simpleWorkflow,
    longWorkflow,
    retryWorkflow,
    order,
    timerWorkflow,
    timersOf(database),
    messengerOf(database),
    transfer,
    tickerOf(database, self.name),
    whereaboutsOf(self),
  ];
}
