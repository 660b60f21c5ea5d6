import { CANCELLED_CODE, type PendingQuery } from "@holdfast/core/adapter";
import {
  attributes,
  fail,
  FUTURE,
  journalOf,
  listed,
  messageTo,
  order,
  ORDER,
  recordOf,
  resumed,
  start,
  TAGS,
} from "./execution-case.ts";
import type { StorageFactory } from "./storage-backend.ts";
import { completed, failure, storageCases, succeeded } from "./storage-case.ts";
import { vitest } from "./vitest-api.ts";

const DUE: PendingQuery = {
  shardIds: ["default:1"],
  now: 1_000,
  limit: 100,
  excludingSequences: [],
  excludingEntities: [],
};

/** Taking back the error with which an execution ended. */
export function workflowReopening(factory: StorageFactory): void {
  const { describe, expect, it } = vitest();
  const run = storageCases(factory);

  describe("reopening", () => {
    it.each([null, "E1", CANCELLED_CODE])(
      "makes an execution that ended with the error %s pending and due, with no attempts, and tells its address",
      async (code) => {
        await run(async (session, context) => {
          const { messages, workflows } = session;
          const fence = await context.claim(messages);
          const request = await start(session, context, ORDER, { deliverAt: 5_000_000 });
          const { requestId, address } = request;
          await messages.recordAttempt(requestId, 3, fence);
          await fail(messages, request, fence, { code });
          const other = await context.open();
          const changes = { forget: [], entry: resumed(0) };
          expect(await other.workflows.reopenExecution(ORDER, requestId, changes)).toEqual(address);

          const state = { state: "pending", requestId, deliverAt: null, attempts: 0 } as const;
          expect(await messages.lookUp([requestId])).toEqual([state]);
          expect(await messages.lookUpByKey(address, "execute", "execute")).toEqual(state);
          expect((await messages.readPending(DUE)).requests).toMatchObject([
            { envelope: request, attempts: 0 },
          ]);
          expect(await recordOf(workflows, ORDER)).toEqual({
            envelope: request,
            status: "pending",
            endedAt: null,
            dueAt: null,
            attributes: {},
          });
          expect(await listed(workflows, { status: "pending" })).toEqual(["order-1"]);
          expect(await listed(workflows, { status: "failed" })).toEqual([]);
          expect(await listed(workflows, { status: "cancelled" })).toEqual([]);
        })();
      },
    );

    it(
      "forgets these entries of its journal and no others, appends one, and leaves its inbox and its attributes",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        const request = await start(session, context, ORDER);
        const message = messageTo(context, ORDER);
        await context.save(messages, message);
        const entries = [
          attributes(0, { tenant: "a" }),
          ...[1, 2, 4, 7].map((ordinal) => completed(ordinal)),
        ];
        const second = order("order-2");
        for (const execution of [ORDER, second])
          await workflows.appendJournal(execution, entries, fence, null);
        await fail(messages, request, fence);
        const entry = resumed(9, "\"ü 🚀 'quoted'\"");
        await workflows.reopenExecution(ORDER, request.requestId, { forget: [7, 0, 2, 99], entry });
        expect(await workflows.readExecution(ORDER, TAGS)).toEqual({
          entries: [completed(1), completed(4), entry],
          inbox: [{ requestId: message.requestId, tag: "signal", payload: message.payload }],
        });
        expect(await recordOf(workflows, ORDER)).toMatchObject({ attributes: { tenant: "a" } });
        expect(await journalOf(workflows, second)).toEqual(entries);
        // What was forgotten can be recorded anew.
        await workflows.appendJournal(ORDER, [completed(2, "again")], fence, null);
        expect(await journalOf(workflows, ORDER)).toEqual([
          completed(1),
          completed(2, "again"),
          completed(4),
          entry,
        ]);
      }),
    );

    it(
      "changes nothing where the journal has an entry of that ordinal or a higher one, and says null",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        const request = await start(session, context, ORDER);
        const { requestId } = request;
        const entries = [completed(0), completed(1), completed(3)];
        await workflows.appendJournal(ORDER, entries, fence, null);
        // Another execution's journal is in nobody's way.
        await workflows.appendJournal(order("order-2"), [completed(9)], fence, null);
        await fail(messages, request, fence);
        const [before] = await messages.lookUp([requestId]);
        // What is to be forgotten counts, too: somebody else may have put it there.
        for (const [ordinal, forget] of [
          [3, []],
          [2, [1]],
          [0, []],
          [3, [1, 3]],
          [2, [3]],
        ] as const) {
          const changes = { forget, entry: resumed(ordinal) };
          expect(await workflows.reopenExecution(ORDER, requestId, changes)).toBeNull();
        }
        expect(await messages.lookUp([requestId])).toEqual([before]);
        expect(before).toMatchObject({ state: "answered", reply: { exit: { ok: false } } });
        expect(await journalOf(workflows, ORDER)).toEqual(entries);
        expect((await messages.readPending(DUE)).requests).toEqual([]);

        const changes = { forget: [1], entry: resumed(4) };
        expect(await workflows.reopenExecution(ORDER, requestId, changes)).toEqual(request.address);
        const after = [completed(0), completed(3), resumed(4)];
        expect(await journalOf(workflows, ORDER)).toEqual(after);
        // It failed again since, and whoever read the journal before that comes too late.
        await fail(messages, request, fence);
        expect(await workflows.reopenExecution(ORDER, requestId, changes)).toBeNull();
        expect(await messages.lookUp([requestId])).toEqual([before]);
        expect(await journalOf(workflows, ORDER)).toEqual(after);
      }),
    );

    it(
      "lets it be answered anew, and that answer is final (INV-6)",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        const request = await start(session, context, ORDER);
        const { requestId } = request;
        const query = { entityType: ORDER.entityType, answeredBefore: FUTURE, limit: 10 };
        for (let round = 0; round < 3; round += 1) {
          await fail(messages, request, fence);
          await workflows.reopenExecution(ORDER, requestId, { forget: [], entry: resumed(round) });
          expect(await messages.forgetAnswered(query)).toBe(0);
        }
        const reply = succeeded(requestId, "7");
        expect(await messages.saveReply(reply, fence, null)).toEqual(reply);
        expect(await messages.saveReply(succeeded(requestId, "8"), fence, null)).toEqual(reply);
        expect(await messages.lookUp([requestId])).toEqual([{ state: "answered", requestId, reply }]);
        expect((await messages.readPending(DUE)).requests).toEqual([]);
        expect(await listed(workflows, { status: "completed" })).toEqual(["order-1"]);
        expect(await messages.forgetAnswered(query)).toBe(1);
      }),
    );

    it(
      "changes nothing where the request is not answered with an error, and says null",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        const [done, pending, asleep, dead, failed] = [
          await start(session, context, order("done")),
          await start(session, context, order("pending")),
          await start(session, context, order("asleep"), { deliverAt: 5_000_000 }),
          await start(session, context, order("dead")),
          await start(session, context, order("failed")),
        ] as const;
        const requests = [done, pending, asleep, dead, failed];
        for (const { address } of requests)
          await workflows.appendJournal(order(address.entityId), [completed(0)], fence, null);
        await messages.saveReply(succeeded(done.requestId), fence, null);
        await messages.recordAttempt(pending.requestId, 2, fence);
        const letter = { error: failure("no"), attempts: 1, deadSince: 1 };
        await messages.saveDeadLetter(dead.requestId, letter, fence);
        await fail(messages, failed, fence);
        const ids = requests.map(({ requestId }) => requestId);
        const before = await messages.lookUp(ids);

        const changes = { forget: [0], entry: resumed(1) };
        for (const { address, requestId } of [done, pending, asleep, dead])
          expect(await workflows.reopenExecution(order(address.entityId), requestId, changes)).toBeNull();
        expect(await workflows.reopenExecution(order("failed"), context.id(), changes)).toBeNull();
        // It is another execution's request.
        expect(await workflows.reopenExecution(order("done"), failed.requestId, changes)).toBeNull();
        const elsewhere = { entityType: "workflow:Orders", executionId: "failed" };
        expect(await workflows.reopenExecution(elsewhere, failed.requestId, changes)).toBeNull();
        expect(await journalOf(workflows, elsewhere)).toEqual([]);

        expect(await messages.lookUp(ids)).toEqual(before);
        for (const { address } of requests)
          expect(await journalOf(workflows, order(address.entityId))).toEqual([completed(0)]);
      }),
    );

    it(
      "happens once, however many try at once",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        const request = await start(session, context, ORDER);
        const { requestId } = request;
        await workflows.appendJournal(ORDER, [completed(0), completed(1)], fence, null);
        await fail(messages, request, fence);
        const others = [workflows, (await context.open()).workflows, (await context.open()).workflows];
        const values = ['"a"', '"b"'];
        const given = others.flatMap((each) => values.map((value) => ({ each, entry: resumed(2, value) })));
        const reopened = await Promise.all(
          given.map(({ each, entry }) => each.reopenExecution(ORDER, requestId, { forget: [1], entry })),
        );
        expect(reopened.filter((address) => address !== null)).toEqual([request.address]);
        const first = given[reopened.findIndex((address) => address !== null)];
        expect(await journalOf(workflows, ORDER)).toEqual([completed(0), first?.entry]);
        expect((await messages.readPending(DUE)).requests).toHaveLength(1);
      }),
    );

    it(
      "is not undone by what came before it: a late reply is the first one again",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        const request = await start(session, context, ORDER);
        const { requestId } = request;
        await fail(messages, request, fence);
        expect((await messages.saveReply(succeeded(requestId), fence, null)).exit.ok).toBe(false);
        const reopening = { forget: [], entry: resumed(0) };
        expect(await workflows.reopenExecution(ORDER, requestId, reopening)).toEqual(request.address);
        expect((await messages.lookUp([requestId]))[0]).toMatchObject({ state: "pending", attempts: 0 });
      }),
    );

    it(
      "comes before or after a reply of the same moment",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        for (let round = 0; round < 10; round++) {
          const at = { ...ORDER, executionId: `${ORDER.executionId}-${round}` };
          const request = await start(session, context, at);
          const { requestId } = request;
          await fail(messages, request, fence);
          const [reopened, reply] = await Promise.all([
            workflows.reopenExecution(at, requestId, { forget: [], entry: resumed(0) }),
            messages.saveReply(succeeded(requestId), fence, null),
          ]);
          expect(reopened).toEqual(request.address);
          const [state] = await messages.lookUp([requestId]);
          // The reply came first and found the error, or second and is the execution's end.
          if (reply.exit.ok) expect(state).toMatchObject({ state: "answered", reply });
          else expect(state).toMatchObject({ state: "pending", attempts: 0 });
        }
      }),
    );
  });
}
