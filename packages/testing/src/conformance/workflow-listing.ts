import { CANCELLED_CODE, type ExecutionStatus, type Fence, type OpenStorage } from "@holdfast/core/adapter";
import {
  fail,
  listed,
  messageTo,
  order,
  ORDER,
  queryOf,
  recordOf,
  start,
  startOf,
} from "./execution-case.ts";
import type { StorageFactory } from "./storage-backend.ts";
import { failure, storageCases, succeeded, type StorageCase } from "./storage-case.ts";
import { vitest } from "./vitest-api.ts";

const NOW = 1_000_000;

/** Listing executions: in what order, and what is said of each. */
export function workflowListing(factory: StorageFactory): void {
  listing(factory);
  statuses(factory);
}

function listing(factory: StorageFactory): void {
  const { describe, expect, it } = vitest();
  const run = storageCases(factory);

  describe("a listing", () => {
    it(
      "is empty where there are no executions",
      run(async ({ workflows }) => {
        expect(await workflows.listExecutions(queryOf())).toEqual([]);
      }),
    );

    it(
      "has the newest first, by request ids and not by acceptance, in every session",
      run(async ({ messages }, context) => {
        const requests = ["a", "b", "c", "d", "e"].map((id) => startOf(context, order(id)));
        await context.save(messages, ...[3, 0, 4, 2, 1].map((index) => requests[index] ?? context.request()));
        const { workflows } = await context.open();
        expect(await listed(workflows)).toEqual(["e", "d", "c", "b", "a"]);
      }),
    );

    it(
      "gives pages that follow the last one seen, each execution on exactly one of them whatever comes meanwhile",
      run(async (session, context) => {
        for (let index = 0; index < 50; index += 1) await start(session, context, order(`e${index}`));
        const before = await listed(session.workflows);
        const seen: string[] = [];
        let after: string | null = null;
        for (let page = 0; page < 8; page += 1) {
          const records = await session.workflows.listExecutions(queryOf({ limit: 7, after }));
          expect(records.length).toBe(page < 7 ? 7 : 1);
          seen.push(...records.map(({ envelope }) => envelope.address.entityId));
          after = records.at(-1)?.envelope.requestId ?? null;
          await start(session, context, order(`new ${page}`));
        }
        expect(seen).toEqual(before);
        expect(await session.workflows.listExecutions(queryOf({ limit: 7, after }))).toEqual([]);
      }),
    );

    it(
      "goes on below an id that is no execution's",
      run(async (session, context) => {
        await start(session, context, order("old"));
        const after = context.id();
        await start(session, context, order("new"));
        expect(await listed(session.workflows, { after })).toEqual(["old"]);
      }),
    );

    it(
      "says of an execution what its request is, as it was sent",
      run(async (session, context) => {
        const request = await start(session, context, ORDER, {
          payload: '{"text":"ü 🚀 \\u0000"}',
          headers: { trace: "a'b\"c" },
          deliverAt: 5_000_000,
          expects: "acceptance",
          uninterruptible: true,
          fromInside: true,
          sender: "memory://other",
          readPendingFirst: true,
        });
        const [record] = await (await context.open()).workflows.listExecutions(queryOf());
        expect(record).toEqual({
          envelope: request,
          status: "suspended",
          endedAt: null,
          dueAt: 5_000_000,
          attributes: {},
        });
      }),
    );

    it(
      "has requests with a deduplication key, whichever it is, and none without",
      run(async (session, context) => {
        await start(session, context, order("keyed"), { deduplicationKey: "mine" });
        await start(session, context, order("empty"), { deduplicationKey: "" });
        await start(session, context, order("none"), { deduplicationKey: null });
        expect(await listed(session.workflows)).toEqual(["empty", "keyed"]);
        expect(await listed(session.workflows, { status: "pending" })).toEqual(["empty", "keyed"]);
        for (const executionId of ["keyed", "empty", "none"])
          expect(await listed(session.workflows, { executionId })).toEqual(
            executionId === "none" ? [] : [executionId],
          );
      }),
    );

    it(
      "has requests of the tag and of the type that are asked for, and nothing else that reaches executions",
      run(async (session, context) => {
        await start(session, context, ORDER);
        await start(session, context, { ...ORDER, entityType: "workflow:Orders" });
        await start(session, context, { entityType: "Counter", executionId: "a" });
        await context.save(session.messages, messageTo(context, ORDER), messageTo(context, order("order-2")));
        expect(await listed(session.workflows)).toEqual(["order-1"]);
        expect(await listed(session.workflows, { entityType: "Counter" })).toEqual(["a"]);
        expect(await listed(session.workflows, { entityType: "Counter", status: "pending" })).toEqual(["a"]);
        expect(await listed(session.workflows, { tag: "signal" })).toEqual(["order-2", "order-1"]);
        expect(await listed(session.workflows, { entityType: "workflow:Or" })).toEqual([]);
      }),
    );
  });
}

function statuses(factory: StorageFactory): void {
  const { describe, expect, it } = vitest();
  const run = storageCases(factory);

  describe("the status of an execution", () => {
    it(
      "is what its request says, and what it is found by",
      run(async (session, context) => {
        const { workflows } = session;
        const fence = await context.claim(session.messages);
        const expected = await oneOfEach(session, context, fence);
        const records = await workflows.listExecutions(queryOf({ now: NOW }));
        const said = records.map(({ envelope, status }) => [envelope.address.entityId, status]);
        expect(Object.fromEntries(said)).toEqual(expected);
        const all: readonly ExecutionStatus[] = [
          "pending",
          "running",
          "suspended",
          "completed",
          "failed",
          "cancelled",
        ];
        for (const status of all) {
          const found = await workflows.listExecutions(queryOf({ now: NOW, status }));
          expect([status, found]).toEqual([status, records.filter((record) => record.status === status)]);
          expect(found.length).toBeGreaterThan(0);
          const [first] = await workflows.listExecutions(queryOf({ now: NOW, status, limit: 1 }));
          expect(first).toEqual(found[0]);
        }
      }),
    );

    it(
      "comes with the time of its end, or the time for which a suspended one waits",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        await oneOfEach(session, context, fence);
        const records = await workflows.listExecutions(queryOf({ now: NOW }));
        for (const { envelope, status, endedAt, dueAt } of records) {
          const { entityId } = envelope.address;
          const isOver = ["completed", "failed", "cancelled"].includes(status);
          expect([entityId, endedAt !== null]).toEqual([entityId, isOver]);
          expect([entityId, dueAt]).toEqual([entityId, status === "suspended" ? NOW + 1 : null]);
        }
        const dead = records.find(({ envelope }) => envelope.address.entityId === "dead");
        expect(dead?.endedAt).toBe(123_456);
        // The time of an answer is the one by which retention goes.
        const completed = await recordOf(workflows, order("completed"));
        const endedAt = completed?.endedAt ?? 0;
        const query = { entityType: ORDER.entityType, limit: 100, executionTag: "execute" };
        await messages.forgetAnswered({ ...query, answeredBefore: endedAt });
        expect(await recordOf(workflows, order("completed"))).toEqual(completed);
        await messages.forgetAnswered({ ...query, answeredBefore: endedAt + 1 });
        expect(await recordOf(workflows, order("completed"))).toBeUndefined();
      }),
    );

    it(
      "changes with its request",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        const { requestId } = await start(session, context, ORDER);
        const status = async (now: number): Promise<string> => {
          const [record] = await workflows.listExecutions(queryOf({ now }));
          expect(await listed(workflows, { now, status: record?.status ?? null })).toEqual(["order-1"]);
          return record?.status ?? "not listed";
        };
        expect(await status(NOW)).toBe("pending");
        await messages.recordAttempt(requestId, 1, fence);
        expect(await status(NOW)).toBe("running");
        await messages.reschedule(requestId, { deliverAt: NOW + 1, attempts: 0 }, fence);
        expect(await status(NOW)).toBe("suspended");
        expect(await status(NOW + 1)).toBe("pending");
        await messages.recordAttempt(requestId, 1, fence);
        expect(await status(NOW + 1)).toBe("running");
        const letter = { error: failure("no"), attempts: 1, deadSince: 1 };
        await messages.saveDeadLetter(requestId, letter, fence);
        expect(await status(NOW)).toBe("failed");
        await messages.requeueDeadLetter(requestId, null);
        expect(await status(NOW)).toBe("pending");
        await messages.saveReply(succeeded(requestId), fence, null);
        expect(await status(NOW)).toBe("completed");
      }),
    );

    it(
      "is that of its end, whatever the error says",
      run(async ({ messages, workflows }, context) => {
        const fence = await context.claim(messages);
        const field = `"code":"${CANCELLED_CODE}"`;
        const texts = ["\0 \ud800 \\ \"'", `{${field},`, field, ""];
        const errors = texts.flatMap((text) => [
          { ...failure(text), stack: text, data: text, code: CANCELLED_CODE, className: text },
          { ...failure(text), name: text, stack: text, data: text, className: text },
          { ...failure(text), code: text, cause: { ...failure(text), code: CANCELLED_CODE } },
        ]);
        for (const [index, error] of errors.entries()) {
          const request = await start({ messages }, context, order(`e${index}`));
          await fail(messages, request, fence, error);
          expect(await messages.lookUp([request.requestId])).toMatchObject([{ reply: { exit: { error } } }]);
        }
        const cancelled = errors.flatMap(({ code }, index) => (code === CANCELLED_CODE ? [`e${index}`] : []));
        expect(await listed(workflows, { status: "cancelled" })).toEqual(cancelled.toReversed());
        expect(await listed(workflows, { status: "failed" })).toHaveLength(errors.length - cancelled.length);
        expect(await listed(workflows)).toHaveLength(errors.length);
      }),
    );
  });
}

/** Starts executions in every state, and returns the status of each by its id. */
async function oneOfEach(
  session: OpenStorage,
  context: StorageCase,
  fence: Fence,
): Promise<Readonly<Record<string, ExecutionStatus>>> {
  const { messages } = session;
  const begin = (id: string): Promise<{ readonly requestId: string }> => start(session, context, order(id));
  const put = async (id: string, deliverAt: number | null, attempts: number): Promise<void> =>
    messages.reschedule((await begin(id)).requestId, { deliverAt, attempts }, fence);
  const kill = async (id: string): Promise<string> => {
    const { requestId } = await begin(id);
    const letter = { error: { ...failure("no"), code: CANCELLED_CODE }, attempts: 3, deadSince: 123_456 };
    await messages.saveDeadLetter(requestId, letter, fence);
    return requestId;
  };
  await begin("new");
  await put("woken", NOW, 0);
  await put("woken now", null, 0);
  await put("begun", null, 1);
  await put("begun again", NOW, 3);
  await put("asleep", NOW + 1, 0);
  await put("asleep again", NOW + 1, 2);
  await messages.saveReply(succeeded((await begin("completed")).requestId), fence, null);
  await fail(messages, await start(session, context, order("failed")), fence, { code: "E1" });
  await fail(messages, await start(session, context, order("cancelled")), fence, { code: CANCELLED_CODE });
  const cause = { ...failure("why"), code: CANCELLED_CODE };
  await fail(messages, await start(session, context, order("failed for a cancelled one")), fence, { cause });
  await kill("dead");
  await messages.requeueDeadLetter(await kill("requeued"), null);
  return {
    new: "pending",
    woken: "pending",
    "woken now": "pending",
    begun: "running",
    "begun again": "running",
    asleep: "suspended",
    "asleep again": "suspended",
    completed: "completed",
    failed: "failed",
    cancelled: "cancelled",
    "failed for a cancelled one": "failed",
    dead: "failed",
    requeued: "pending",
  };
}
