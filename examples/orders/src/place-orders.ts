import { setTimeout as wait } from "node:timers/promises";
import type { Cluster } from "@holdfast/core";
import type { OrderBook } from "./northwind.ts";
import { OrderWorkflow } from "./order-workflow.ts";

export interface PlaceOrdersOptions {
  /** How many orders are under way at once. */
  readonly inFlight: number;
  /** How many are begun in a second at the most. Default: no bound. */
  readonly perSecond?: number;
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
  { inFlight, perSecond, done }: PlaceOrdersOptions,
): Promise<void> {
  const workflow = cluster.workflow(OrderWorkflow);
  const waiting = [...orders];
  const turn = pacer(perSecond);
  const place = async (): Promise<void> => {
    for (let order = waiting.shift(); order !== undefined; order = waiting.shift()) {
      await turn();
      const result = await workflow.execute({ ...order, lines: [...order.lines] });
      done(result.orderId);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, place));
}

/** Each call resolves a fixed time after the one before. */
function pacer(perSecond: number | undefined): () => Promise<void> {
  if (perSecond === undefined) return () => Promise.resolve();
  let next = performance.now();
  return async () => {
    const at = next;
    next = Math.max(next, performance.now()) + 1_000 / perSecond;
    await wait(Math.max(0, at - performance.now()));
  };
}
