import {
  InvalidInputError,
  isHoldfastError,
  RemoteError,
  TimeoutError,
  UnknownExecutionError,
  WorkflowFailedError,
  type Cluster,
} from "@holdfast/core";
import type { ShardWatch } from "@holdfast/example-cluster/shard-watch.ts";
import type { Database } from "@holdfast/example-orders/database.ts";
import { Hono, type Context } from "hono";
import { Transfer } from "./accounts.ts";
import { Counter, StatelessCounter } from "./counters.ts";
import { readStoredRows } from "./database.ts";
import { Messenger } from "./messages.ts";
import { Order } from "./order-workflow.ts";
import { readTicks, resetTicks } from "./ticker.ts";
import { Timers } from "./timers.ts";
import { User } from "./user.ts";
import { LongWorkflow, RetryWorkflow, SimpleWorkflow } from "./workflows.ts";

export interface RoutesOptions {
  readonly cluster: Cluster;
  readonly database: Database;
  readonly shards: ShardWatch;
}

/** How long a caller of the front waits at the most. */
const WITHIN = { timeout: "30s" };

/** One route for each thing that the suite asks. Bodies and answers are JSON. */
export function routes({ cluster, database, shards }: RoutesOptions): Hono {
  const app = new Hono();
  app.onError(answerError);
  const counter = (id: string) => cluster.entity(Counter, id);
  const user = (id: string) => cluster.entity(User, id);

  app.post("/counters/:id", async (c) => {
    const { amount, key } = await c.req.json<{ amount: number; key: string }>();
    return c.json({ value: await counter(c.req.param("id")).increment({ amount, key }, WITHIN) });
  });
  app.get("/counters/:id", async (c) =>
    c.json({ value: await counter(c.req.param("id")).get(undefined, WITHIN) }),
  );
  app.get("/counters/:id/evictions", async (c) =>
    c.json({ evictions: (await rowsOf(c, "select 1 from suite.evictions where id = $1")).length }),
  );
  app.get("/counters/:id/increments", async (c) =>
    c.json(await rowsOf(c, "select key, amount from suite.increments where id = $1")),
  );

  app.post("/stateless/:id", async (c) => {
    const input = await c.req.json<{ a: number; b: number }>();
    return c.json({ sum: await cluster.entity(StatelessCounter, c.req.param("id")).add(input, WITHIN) });
  });
  app.get("/stateless/:id", async (c) =>
    c.json({ calls: await cluster.entity(StatelessCounter, c.req.param("id")).count(undefined, WITHIN) }),
  );

  app.put("/users/:id/email", async (c) => {
    const input = await c.req.json<{ email: string }>();
    return c.json({ version: await user(c.req.param("id")).updateEmail(input, WITHIN) });
  });
  app.get("/users/:id", async (c) => {
    const one = user(c.req.param("id"));
    const [email, version] = await Promise.all([
      one.getEmail(undefined, WITHIN),
      one.getVersion(undefined, WITHIN),
    ]);
    return c.json({ email, version });
  });
  app.post("/users/:id/actions", async (c) => {
    await user(c.req.param("id")).logAction(await c.req.json<{ action: string }>(), WITHIN);
    return c.body(null, 204);
  });
  app.get("/users/:id/actions", async (c) =>
    c.json(await user(c.req.param("id")).getAuditLog(undefined, WITHIN)),
  );

  app.post("/workflows/simple", async (c) => {
    const input = await c.req.json<{ id: string; name: string }>();
    return c.json({ result: await cluster.workflow(SimpleWorkflow).execute(input, WITHIN) });
  });
  app.post("/workflows/long", async (c) => {
    const input = await c.req.json<{ id: string; pauseMs: number }>();
    const { executionId } = await cluster.workflow(LongWorkflow).start(input, WITHIN);
    return c.json({ executionId }, 202);
  });
  app.get("/workflows/long/:id", async (c) => {
    const result = await cluster.workflow(LongWorkflow).poll(c.req.param("id"));
    return c.json(result === undefined ? { state: "unfinished" } : { state: "completed", result });
  });
  app.get("/workflows/long/:id/result", async (c) =>
    c.json({ result: await cluster.workflow(LongWorkflow).get(c.req.param("id")).result(WITHIN) }),
  );
  app.post("/workflows/retry", async (c) => {
    const input = await c.req.json<{ id: string; failures: number }>();
    return c.json({ attempts: await cluster.workflow(RetryWorkflow).execute(input, WITHIN) });
  });
  app.get("/activities/:id", async (c) =>
    c.json(
      await rowsOf(c, "select activity, attempt from suite.activity_log where execution_id = $1 order by n"),
    ),
  );

  app.post("/orders", async (c) => {
    const input = await c.req.json<{ orderId: string; cents: number }>();
    return c.json(await cluster.workflow(Order).execute(input, WITHIN));
  });
  app.get("/orders/:id/effects", async (c) =>
    c.json(
      (await rowsOf(c, "select effect from suite.orders where order_id = $1 order by effect")).map(
        ({ effect }) => effect,
      ),
    ),
  );

  app.post("/timers/:id", async (c) => {
    const input = await c.req.json<{ name: string; delayMs: number }>();
    await cluster.entity(Timers, c.req.param("id")).start(input, WITHIN);
    return c.body(null, 202);
  });
  app.delete("/timers/:id/:name", async (c) => {
    const timers = cluster.entity(Timers, c.req.param("id"));
    return c.json({ cancelled: await timers.cancel({ name: c.req.param("name") }, WITHIN) });
  });
  app.get("/timers/:id", async (c) =>
    c.json(await cluster.entity(Timers, c.req.param("id")).list(undefined, WITHIN)),
  );

  app.post("/messengers/:id/messages", async (c) => {
    const input = await c.req.json<{ to: string; text: string }>();
    await cluster.entity(Messenger, c.req.param("id")).sendTo(input, WITHIN);
    return c.body(null, 204);
  });
  app.get("/messengers/:id/messages", async (c) =>
    c.json(await cluster.entity(Messenger, c.req.param("id")).inbox(undefined, WITHIN)),
  );
  app.post("/messengers/:id/games", async (c) => {
    const input = await c.req.json<{ with: string; rounds: number }>();
    return c.json({ hits: await cluster.entity(Messenger, c.req.param("id")).play(input, WITHIN) });
  });

  app.post("/transfers", async (c) =>
    c.json(await cluster.workflow(Transfer).execute(await c.req.json(), WITHIN)),
  );
  app.get("/accounts/:id", async (c) => {
    const [account] = await rowsOf(c, "select transfers, total from suite.accounts where id = $1");
    const rows = await rowsOf(c, "select recipient, amount from suite.transfers where id = $1 order by n");
    return c.json({ transfers: 0, total: 0, ...account, rows });
  });

  app.get("/ticker", async (c) => c.json(await readTicks(database)));
  app.delete("/ticker", async (c) => {
    await resetTicks(database);
    return c.body(null, 204);
  });

  app.get("/members", (c) => c.json(cluster.status().runners));
  app.get("/shards", (c) =>
    c.json({
      owners: Object.fromEntries(shards.owners),
      longestWithoutOwnerMs: Math.round(shards.longestWithoutOwnerMs),
    }),
  );
  app.get("/storage/:type/:id", async (c) =>
    c.json(await readStoredRows(database, c.req.param("type"), c.req.param("id"))),
  );

  const rowsOf = async (c: Context, text: string): Promise<Record<string, unknown>[]> =>
    (await database.query(text, [c.req.param("id")])).rows;
  return app;
}

/** What a caller may do about it is in the status: 503 and 504 may be tried again, the others may not. */
function answerError(error: Error, c: Context): Response {
  const cause =
    error.cause instanceof Error ? { name: error.cause.name, message: error.cause.message } : null;
  const body = { error: error.name, message: error.message, cause };
  if (error instanceof InvalidInputError) return c.json(body, 400);
  if (error instanceof WorkflowFailedError || error instanceof RemoteError) return c.json(body, 422);
  if (error instanceof UnknownExecutionError) return c.json(body, 404);
  if (error instanceof TimeoutError) return c.json(body, 504);
  if (error instanceof SyntaxError) return c.json(body, 400);
  return c.json(body, isHoldfastError(error) ? 503 : 500);
}
