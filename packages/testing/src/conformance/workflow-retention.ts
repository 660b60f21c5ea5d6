import type { Envelope } from "@holdfast/core/adapter";
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
  start,
  startOf,
  TAGS,
} from "./execution-case.ts";
import type { StorageFactory } from "./storage-backend.ts";
import { completed, failure, storageCases, succeeded } from "./storage-case.ts";
import { vitest } from "./vitest-api.ts";

const OLD = { entityType: ORDER.entityType, answeredBefore: FUTURE, limit: 10 };
const EXECUTIONS = { ...OLD, executionTag: "execute" };

/** Forgetting executions that ended long ago. */
export function workflowRetention(factory: StorageFactory): void {
  const { describe, expect, it } = vitest();
  const run = storageCases(factory);

  describe("retention", () => {
    it(
      "looks for executions alone, and takes the journal and the attributes of each along, and nobody else's",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        const answered = await start(session, context, order("done"));
        await start(session, context, order("running"));
        const other = messageTo(context, order("running"));
        await context.save(messages, other);
        for (const id of ["done", "running"]) {
          const entries = [attributes(0, { tenant: "a" }), completed(1)];
          await workflows.appendJournal(order(id), entries, fence, null);
        }
        for (const { requestId } of [answered, other])
          await messages.saveReply(succeeded(requestId), fence, null);
        expect(await messages.forgetAnswered(EXECUTIONS)).toBe(1);
        expect(await messages.forgetAnswered(EXECUTIONS)).toBe(0);
        expect(await journalOf(workflows, order("done"))).toEqual([]);
        expect(await messages.lookUp([answered.requestId, other.requestId])).toMatchObject([
          { state: "answered", requestId: other.requestId },
        ]);
        expect(await workflows.readExecution(order("running"), TAGS)).toMatchObject({
          entries: [{ ordinal: 0 }, { ordinal: 1 }],
          inbox: [{ requestId: other.requestId }],
        });
        expect(await listed(workflows)).toEqual(["running"]);
        expect(await recordOf(workflows, order("running"))).toMatchObject({ attributes: { tenant: "a" } });
      }),
    );

    it(
      "takes every other request of an execution along, whatever became of it, so that its id begins from nothing",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        const request = await start(session, context, ORDER);
        const sent = ["signal", "cancel", "watch", "wake", "signal", "signal"].map((tag, index) =>
          messageTo(context, ORDER, {
            tag,
            deduplicationKey: index % 2 === 0 ? `key ${index}` : null,
            ...(index === 4 ? { deliverAt: 5_000_000 } : {}),
          }),
        );
        const [answered, begun, dead] = sent as [Envelope, Envelope, Envelope];
        const kept = messageTo(context, order("order-2"), { deduplicationKey: "key 0" });
        const keptWithoutKey = messageTo(context, order("order-2"), { deduplicationKey: null });
        await context.save(messages, ...sent, kept, keptWithoutKey);
        await messages.saveChunk({ requestId: answered.requestId, index: 0, value: "a" }, fence);
        await messages.saveReply(succeeded(answered.requestId), fence, null);
        await messages.recordAttempt(begun.requestId, 1, fence);
        const letter = { error: failure("no"), attempts: 1, deadSince: 1 };
        await messages.saveDeadLetter(dead.requestId, letter, fence);
        const entries = [attributes(0, { tenant: "a" }), completed(1)];
        await workflows.appendJournal(ORDER, entries, fence, null);
        await messages.saveReply(succeeded(request.requestId), fence, null);
        expect(await messages.forgetAnswered(EXECUTIONS)).toBe(1);

        const ids = [request, ...sent].map(({ requestId }) => requestId);
        expect(await messages.lookUp(ids)).toEqual([]);
        expect(await messages.listDeadLetters({ limit: 10, after: null })).toEqual([]);
        expect(await messages.readChunks(answered.requestId, 0)).toEqual({ chunks: [], saved: 0 });
        const pending = await messages.readPending({
          shardIds: ["default:1"],
          now: 9_000_000,
          limit: 10,
          excludingSequences: [],
          excludingEntities: [],
        });
        expect(pending.requests.map(({ envelope }) => envelope)).toEqual([kept, keptWithoutKey]);
        expect(pending.nextDueAt).toBeNull();

        await context.save(messages, startOf(context, ORDER), { ...answered, requestId: context.id() });
        expect(await workflows.readExecution(ORDER, TAGS)).toMatchObject({
          entries: [],
          inbox: [{ tag: "signal" }],
        });
        expect(await recordOf(workflows, ORDER)).toMatchObject({ status: "pending", attributes: {} });
      }),
    );

    it(
      "counts executions, at most `limit`, and none that go on or are dead",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        // What was answered before them for one that goes on is not in their way.
        await start(session, context, order("running"));
        const early = Array.from({ length: 5 }, () => messageTo(context, order("running")));
        await context.save(messages, ...early);
        for (const { requestId } of early) await messages.saveReply(succeeded(requestId), fence, null);
        const { requestId } = await start(session, context, order("dead"));
        const letter = { error: failure("no"), attempts: 1, deadSince: 1 };
        await messages.saveDeadLetter(requestId, letter, fence);
        for (let index = 0; index < 5; index += 1) {
          const request = await start(session, context, order(`done ${index}`));
          const message = messageTo(context, order(`done ${index}`));
          await context.save(messages, message);
          await messages.saveReply(succeeded(message.requestId), fence, null);
          await workflows.appendJournal(order(`done ${index}`), [completed(0)], fence, null);
          if (index % 2 === 0) await messages.saveReply(succeeded(request.requestId), fence, null);
          else await fail(messages, request, fence);
        }
        const other = { entityType: "workflow:Orders", executionId: "done 0" };
        const elsewhere = await start(session, context, other);
        await messages.saveReply(succeeded(elsewhere.requestId), fence, null);

        expect(await messages.forgetAnswered({ ...EXECUTIONS, answeredBefore: 1 })).toBe(0);
        expect(await listed(workflows)).toHaveLength(7);
        for (const [forgotten, left] of [
          [2, 3],
          [2, 1],
          [1, 0],
          [0, 0],
        ] as const) {
          expect(await messages.forgetAnswered({ ...EXECUTIONS, limit: 2 })).toBe(forgotten);
          const ids = await listed(workflows);
          expect([ids.length, ids.slice(-2)]).toEqual([left + 2, ["dead", "running"]]);
        }
        for (let index = 0; index < 5; index += 1)
          expect(await journalOf(workflows, order(`done ${index}`))).toEqual([]);
        expect((await workflows.readExecution(order("running"), TAGS)).inbox).toHaveLength(5);
        expect(await listed(workflows, { entityType: "workflow:Orders" })).toEqual(["done 0"]);
      }),
    );

    it(
      "leaves journals and other requests alone where it is not told of executions",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        const request = await start(session, context, ORDER);
        const message = messageTo(context, ORDER);
        await context.save(messages, message);
        await workflows.appendJournal(ORDER, [completed(0)], fence, null);
        await messages.saveReply(succeeded(request.requestId), fence, null);
        expect(await messages.forgetAnswered({ ...OLD, limit: 1 })).toBe(1);
        expect(await messages.lookUp([request.requestId])).toEqual([]);
        expect(await messages.lookUp([message.requestId])).toMatchObject([{ state: "pending" }]);
        // It is nobody's inbox until somebody starts the execution, and not his then either.
        const left = { entries: [completed(0)], inbox: [] };
        expect(await workflows.readExecution(ORDER, TAGS)).toEqual(left);
        await start(session, context, ORDER);
        expect(await workflows.readExecution(ORDER, TAGS)).toEqual(left);
      }),
    );
  });
}
