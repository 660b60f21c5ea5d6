import { PersistenceError, type Fence, type OpenStorage, type PendingQuery } from "@holdfast/core/adapter";
import { queryOf, resumed, TAGS } from "./execution-case.ts";
import type { StorageFactory } from "./storage-backend.ts";
import { address, completed, failure, storageCases, succeeded } from "./storage-case.ts";
import { vitest } from "./vitest-api.ts";

/** Opening and closing sessions. */
export function storageLifecycle(factory: StorageFactory): void {
  const { describe, expect, it } = vitest();
  const run = storageCases(factory);

  describe("a session", () => {
    it(
      "may be closed twice",
      run(async (session) => {
        await session.close();
        await session.close();
      }),
    );

    it(
      "has written everything that it accepted when it is closed",
      run(async (session, context) => {
        const requests = Array.from({ length: 50 }, () => context.request());
        const saving = Promise.allSettled(
          requests.map((request) => session.messages.saveRequest(request, 0, null)),
        );
        await session.close();
        const saved = await saving;
        const accepted = requests
          .filter((_, index) => saved[index]?.status === "fulfilled")
          .map(({ requestId }) => requestId);
        const known = await (
          await context.open()
        ).messages.lookUp(requests.map(({ requestId }) => requestId));
        expect(known.map(({ requestId }) => requestId).toSorted()).toEqual(accepted.toSorted());
      }),
    );

    it(
      "leaves the others open when it is closed",
      run(async (session, context) => {
        const other = await context.open();
        await session.close();
        await context.save(other.messages, context.request());
      }),
    );

    it(
      "answers all that it is asked at once, what is read and what is written, as if it came one by one",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        const others = (await context.open()).messages;
        const request = context.request();
        await context.save(messages, request);
        const calls = Array.from({ length: 60 }, async (_, ordinal) => {
          // Not all in one turn: what comes meets what is under way, in whatever state that is.
          for (let turn = 0; turn < ordinal; turn += 1) await Promise.resolve();
          const saved = context.request({ address: address(`e${ordinal % 5}`) });
          await Promise.all([
            messages.saveRequest(saved, 1, fence),
            messages.readPending({ ...page, limit: 1_000 }),
            others.saveRequest(context.request({ address: address("z", "default:2") }), 0, null),
            workflows.appendJournal(execution, [completed(ordinal)], fence, null),
            messages.lookUp([request.requestId]),
          ]);
          await Promise.all([
            messages.saveReply(succeeded(saved.requestId), fence, null),
            workflows.readExecution(execution, TAGS),
            messages.recordAttempt(request.requestId, ordinal + 1, fence),
          ]);
        });
        await Promise.all(calls);
        const { requests } = await messages.readPending({ ...page, limit: 1_000 });
        expect(requests.map(({ envelope }) => envelope)).toEqual([request]);
        const { entries } = await workflows.readExecution(execution, TAGS);
        expect(entries).toEqual(calls.map((_, ordinal) => completed(ordinal)));
      }),
    );

    const fence: Fence = { shardId: "default:1", epoch: 1 };
    const requestId = "0190b2c0a3e07fff8000000000000001";
    const execution = { entityType: "OrderWorkflow", executionId: "order-1" };
    const page: PendingQuery = {
      shardIds: ["default:1"],
      now: 0,
      limit: 1,
      excludingSequences: [],
      excludingEntities: [],
    };
    const calls: Readonly<Record<string, (session: OpenStorage) => Promise<unknown>>> = {
      claimShards: ({ messages }) => messages.claimShards(["default:1"]),
      readPending: ({ messages }) => messages.readPending(page),
      recordAttempt: ({ messages }) => messages.recordAttempt(requestId, 1, fence),
      reschedule: ({ messages }) => messages.reschedule(requestId, { deliverAt: null, attempts: 0 }, fence),
      saveReply: ({ messages }) => messages.saveReply(succeeded(requestId), fence, null),
      lookUp: ({ messages }) => messages.lookUp([requestId]),
      lookUpByKey: ({ messages }) =>
        messages.lookUpByKey({ entityType: "Counter", entityId: "a" }, "increment", "key"),
      saveChunk: ({ messages }) => messages.saveChunk({ requestId, index: 0, value: "1" }, fence),
      readChunks: ({ messages }) => messages.readChunks(requestId, 0),
      acknowledgeChunks: ({ messages }) => messages.acknowledgeChunks(requestId, 1),
      saveDeadLetter: ({ messages }) =>
        messages.saveDeadLetter(requestId, { error: failure("no"), attempts: 1, deadSince: 1 }, fence),
      listDeadLetters: ({ messages }) => messages.listDeadLetters({ limit: 1, after: null }),
      requeueDeadLetter: ({ messages }) => messages.requeueDeadLetter(requestId, null),
      dropDeadLetter: ({ messages }) => messages.dropDeadLetter(requestId, null),
      forgetAnswered: ({ messages }) =>
        messages.forgetAnswered({ entityType: "Counter", answeredBefore: 1, limit: 1 }),
      appendJournal: ({ workflows }) => workflows.appendJournal(execution, [completed(0)], fence, null),
      readExecution: ({ workflows }) => workflows.readExecution(execution, TAGS),
      trimExecution: ({ workflows }) =>
        workflows.trimExecution(
          execution,
          { belowOrdinal: 1, requestIds: [requestId], answeredBefore: 1 },
          fence,
        ),
      listExecutions: ({ workflows }) => workflows.listExecutions(queryOf()),
      reopenExecution: ({ workflows }) =>
        workflows.reopenExecution(execution, requestId, { forget: [0], entry: resumed(1) }),
    };

    it(
      "refuses every call after it was closed with PersistenceError, and says that nothing was written",
      run(async (session, context) => {
        await context.claim(session.messages);
        await context.save(session.messages, context.request({ requestId }));
        await session.close();
        const late = context.request();
        const outcomes: [method: string, error: unknown][] = [];
        for (const [method, call] of Object.entries({
          ...calls,
          saveRequest: ({ messages }: OpenStorage) => messages.saveRequest(late, 0, null),
        })) {
          outcomes.push([
            method,
            await call(session).then(
              () => "resolved",
              (error: unknown) => error,
            ),
          ]);
        }
        for (const [method, error] of outcomes) {
          expect(error, method).toBeInstanceOf(PersistenceError);
          expect(error, method).toMatchObject({ outcome: "not-written" });
        }
        const { messages } = await context.open();
        expect(await messages.lookUp([requestId, late.requestId])).toMatchObject([
          { state: "pending", requestId },
        ]);
      }),
    );
  });
}
