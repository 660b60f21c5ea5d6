import type { Envelope, ExecutionKey, Fence, MessageStorage, OpenStorage } from "@holdfast/core/adapter";
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
import { completed, failure, storageCases, succeeded, type StorageCase } from "./storage-case.ts";
import { vitest } from "./vitest-api.ts";

const OLD = { entityType: ORDER.entityType, answeredBefore: FUTURE, limit: 10 };
const EXECUTIONS = { ...OLD, executionTag: "execute" };
/** Other executions of the same workflow, one of them with almost the same id, and one of another workflow with the same id. */
const OTHERS: readonly ExecutionKey[] = [
  order("order-2"),
  order("Order-1"),
  { ...ORDER, entityType: "workflow:Orders" },
];

/** Forgetting executions: those that ended long ago, and dead ones that a person drops. */
export function workflowRetention(factory: StorageFactory): void {
  retention(factory);
  dropping(factory);
}

function retention(factory: StorageFactory): void {
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
        const { messages } = session;
        const fence = await context.claim(messages);
        const request = await start(session, context, ORDER);
        const around = await surround(session, context, fence);
        await messages.saveReply(succeeded(request.requestId), fence, null);
        expect(await messages.forgetAnswered(EXECUTIONS)).toBe(1);
        await expectForgotten(session, context, [request, ...around.sent], around.kept);
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
      "takes a request that has the tag of executions and another key, or none, alone: the execution beside it goes on",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        const running = await start(session, context, ORDER);
        await workflows.appendJournal(ORDER, [attributes(0, { tenant: "a" }), completed(1)], fence, null);
        const strays = [{ deduplicationKey: "mine" }, { deduplicationKey: null }].map((changes) =>
          startOf(context, ORDER, changes),
        );
        await context.save(messages, ...strays);
        const [first, second] = strays.map(({ requestId }) => requestId) as [string, string];
        for (const id of [first, second]) await messages.saveReply(succeeded(id), fence, null);
        expect(await messages.forgetAnswered(EXECUTIONS)).toBe(2);
        expect(await messages.forgetAnswered(EXECUTIONS)).toBe(0);
        expect(await messages.lookUp([running.requestId, first, second])).toMatchObject([
          { state: "pending", requestId: running.requestId },
        ]);
        const entries = [attributes(0, { tenant: "a" }), completed(1)];
        expect(await journalOf(workflows, ORDER)).toEqual(entries);
        expect(await recordOf(workflows, ORDER)).toMatchObject({ attributes: { tenant: "a" } });
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

function dropping(factory: StorageFactory): void {
  const { describe, expect, it } = vitest();
  const run = storageCases(factory);

  describe("dropping a dead letter", () => {
    it(
      "that is an execution takes everything along that is known of it, so that its id begins from nothing",
      run(async (session, context) => {
        const { messages } = session;
        const fence = await context.claim(messages);
        const request = await start(session, context, ORDER);
        const around = await surround(session, context, fence);
        await die(messages, request, fence);
        const others = (await context.open()).messages;
        expect(await others.dropDeadLetter(request.requestId, "execute")).toBe(true);
        expect(await others.dropDeadLetter(request.requestId, "execute")).toBe(false);
        await expectForgotten(session, context, [request, ...around.sent], around.kept);
      }),
    );

    it(
      "of another tag or key takes it alone, and so does one where no tag of executions is given",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        const request = await start(session, context, ORDER);
        const signals = [
          messageTo(context, ORDER),
          messageTo(context, ORDER, { deduplicationKey: null }),
          startOf(context, ORDER, { deduplicationKey: "mine" }),
          startOf(context, ORDER, { deduplicationKey: null }),
        ];
        const kept = messageTo(context, ORDER);
        await context.save(messages, ...signals, kept);
        const entries = [attributes(0, { tenant: "a" }), completed(1)];
        await workflows.appendJournal(ORDER, entries, fence, null);
        const inbox = [{ requestId: kept.requestId, tag: kept.tag, payload: kept.payload }];
        for (const signal of signals) {
          await die(messages, signal, fence);
          expect(await messages.dropDeadLetter(signal.requestId, "execute")).toBe(true);
        }
        expect(await workflows.readExecution(ORDER, TAGS)).toEqual({ entries, inbox });
        expect(await recordOf(workflows, ORDER)).toMatchObject({ attributes: { tenant: "a" } });

        await die(messages, request, fence);
        expect(await messages.dropDeadLetter(request.requestId, null)).toBe(true);
        const all = [request, ...signals, kept].map(({ requestId }) => requestId);
        expect(await messages.lookUp(all)).toMatchObject([{ state: "pending", requestId: kept.requestId }]);
        expect(await journalOf(workflows, ORDER)).toEqual(entries);
      }),
    );

    it(
      "takes nothing of an execution that goes on, has ended, or was requeued",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        const orders = ["pending", "done", "requeued"].map(order);
        const requests: Envelope[] = [];
        const ids: string[] = [];
        for (const execution of orders) {
          const request = await start(session, context, execution);
          const message = messageTo(context, execution);
          await context.save(messages, message);
          await workflows.appendJournal(execution, [completed(0)], fence, null);
          requests.push(request);
          ids.push(request.requestId, message.requestId);
        }
        const [, done, requeued] = requests as [Envelope, Envelope, Envelope];
        await messages.saveReply(succeeded(done.requestId), fence, null);
        await die(messages, requeued, fence);
        await messages.requeueDeadLetter(requeued.requestId, null);
        const before = await messages.lookUp(ids);
        for (const { requestId } of requests)
          expect(await messages.dropDeadLetter(requestId, "execute")).toBe(false);
        expect(await messages.lookUp(ids)).toEqual(before);
        for (const execution of orders)
          expect(await workflows.readExecution(execution, TAGS)).toMatchObject({
            entries: [completed(0)],
            inbox: [{ tag: "signal" }],
          });
      }),
    );

    it(
      "happens once, and an execution that is started beside it is the old one or begins from nothing",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const others = (await context.open()).messages;
        const fence = await context.claim(messages);
        let request = await start(session, context, ORDER);
        for (let round = 0; round < 20; round += 1) {
          const entries = [attributes(0, { round }), completed(1)];
          await workflows.appendJournal(ORDER, entries, fence, null);
          await context.save(messages, messageTo(context, ORDER));
          await die(messages, request, fence);
          const { requestId } = request;
          const next = startOf(context, ORDER);
          const [first, saved, second] = await Promise.all([
            messages.dropDeadLetter(requestId, "execute"),
            others.saveRequest(next, 0, null),
            others.dropDeadLetter(requestId, "execute"),
          ]);
          expect(first).not.toBe(second);
          if (saved.outcome === "duplicate") await context.save(messages, next);
          expect(await messages.lookUp([requestId, next.requestId])).toMatchObject([
            { state: "pending", requestId: next.requestId },
          ]);
          expect(await workflows.readExecution(ORDER, TAGS)).toEqual({ entries: [], inbox: [] });
          expect(await recordOf(workflows, ORDER)).toMatchObject({ status: "pending", attributes: {} });
          request = next;
        }
      }),
    );
  });
}

async function die(messages: MessageStorage, { requestId }: Envelope, fence: Fence): Promise<void> {
  await messages.saveDeadLetter(requestId, { error: failure("no"), attempts: 1, deadSince: 1 }, fence);
}

/**
 * Gives ORDER's execution a journal and attributes, and requests of all kinds, the first of them with a chunk; and other
 * executions what must stay when it is forgotten.
 */
async function surround(
  { messages, workflows }: OpenStorage,
  context: StorageCase,
  fence: Fence,
): Promise<{ readonly sent: readonly Envelope[]; readonly kept: readonly Envelope[] }> {
  const sent = ["signal", "cancel", "watch", "wake", "signal", "signal"].map((tag, index) =>
    messageTo(context, ORDER, {
      tag,
      deduplicationKey: index % 2 === 0 ? `key ${index}` : null,
      ...(index === 4 ? { deliverAt: 5_000_000 } : {}),
    }),
  );
  const [answered, begun, dead] = sent as [Envelope, Envelope, Envelope];
  const kept = OTHERS.flatMap((other) =>
    ["key 0", null].map((deduplicationKey) => messageTo(context, other, { deduplicationKey })),
  );
  await context.save(messages, ...sent, ...kept);
  await messages.saveChunk({ requestId: answered.requestId, index: 0, value: "a" }, fence);
  await messages.saveReply(succeeded(answered.requestId), fence, null);
  await messages.recordAttempt(begun.requestId, 1, fence);
  await die(messages, dead, fence);
  for (const execution of [ORDER, ...OTHERS]) {
    const entries = [attributes(0, { tenant: "a" }), completed(1)];
    await workflows.appendJournal(execution, entries, fence, null);
  }
  return { sent, kept };
}

/** Expects that nothing is left of ORDER's execution, and everything of the others. */
async function expectForgotten(
  { messages, workflows }: OpenStorage,
  context: StorageCase,
  forgotten: readonly Envelope[],
  kept: readonly Envelope[],
): Promise<void> {
  const { expect } = vitest();
  expect(await messages.lookUp(forgotten.map(({ requestId }) => requestId))).toEqual([]);
  expect(await messages.listDeadLetters({ limit: 10, after: null })).toEqual([]);
  const [, streamed] = forgotten;
  expect(await messages.readChunks(streamed?.requestId ?? "", 0)).toEqual({ chunks: [], saved: 0 });
  const pending = await messages.readPending({
    shardIds: ["default:1"],
    now: 9_000_000,
    limit: 10,
    excludingSequences: [],
    excludingEntities: [],
  });
  expect(pending.requests.map(({ envelope }) => envelope)).toEqual(kept);
  expect(pending.nextDueAt).toBeNull();
  for (const other of OTHERS) expect(await journalOf(workflows, other)).toHaveLength(2);

  const again = startOf(context, ORDER);
  await context.save(messages, again, messageTo(context, ORDER, { deduplicationKey: "key 0" }));
  expect(await workflows.readExecution(ORDER, TAGS)).toMatchObject({
    entries: [],
    inbox: [{ tag: "signal" }],
  });
  expect(await recordOf(workflows, ORDER)).toMatchObject({ status: "pending", attributes: {} });
  expect(await listed(workflows, { attributes: { tenant: "a" } })).toEqual([]);
}
