import type { Cluster } from "@holdfast/core";
import type { OrderBook } from "./northwind.ts";
import { OrderWorkflow } from "./order-workflow.ts";

export interface PlaceOrdersOptions {
  /** How many orders are under way at once. */
  readonly inFlight: number;
  /** Called as each order is done. */
  readonly done: (orderId: number) => void;
}

/**
 * Sees every order through, as one execution each. Orders that were placed before, by an earlier start of this command,
 * are joined and not placed again: the order's number names the execution.
 */
export async function placeOrders(
  cluster: Pick<Cluster, "workflow">,
  { orders }: OrderBook,
  { inFlight, done }: PlaceOrdersOptions,
): Promise<void> {
  const workflow = cluster.workflow(OrderWorkflow);
  const waiting = [...orders];
  const place = async (): Promise<void> => {
    for (let order = waiting.shift(); order !== undefined; order = waiting.shift()) {
      const result = await workflow.execute({ ...order, lines: [...order.lines] });
      done(result.orderId);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, place));
}
