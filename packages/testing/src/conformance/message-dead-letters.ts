import type { DeadLetter, MessageStorage } from "@holdfast/core/adapter";
import type { StorageFactory } from "./storage-backend.ts";
import { failure, storageCases, succeeded } from "./storage-case.ts";
import { vitest } from "./vitest-api.ts";

/** Dead letters: making, listing, requeueing and dropping them. */
export function messageDeadLetters(factory: StorageFactory): void {
  const { describe, expect, it } = vitest();
  const run = storageCases(factory);

  describe("a dead letter", () => {
    it(
      "is a pending request no longer, and says what it was and how it failed, in every session",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const request = context.request({ headers: { tenant: "a" } });
        const { requestId } = request;
        await context.save(messages, request);
        const letter = {
          error: { ...failure("no"), cause: failure("why") },
          attempts: 10,
          deadSince: 1_893_456_000_123,
        };
        await messages.saveDeadLetter(requestId, letter, fence);
        const other = (await context.open()).messages;
        const deadLetter: DeadLetter = { envelope: request, ...letter };
        expect(await other.listDeadLetters({ limit: 10, after: null })).toEqual([deadLetter]);
        expect(await other.lookUp([requestId])).toEqual([{ state: "dead", requestId, deadLetter }]);
        expect((await other.readPending(all)).requests).toEqual([]);
      }),
    );

    it(
      "is not made of a request that is not pending",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const answered = context.request();
        const dead = context.request();
        await context.save(messages, answered, dead);
        await messages.saveReply(succeeded(answered.requestId), fence, null);
        const first = { error: failure("first"), attempts: 1, deadSince: 1 };
        await messages.saveDeadLetter(dead.requestId, first, fence);
        for (const requestId of [answered.requestId, dead.requestId, context.id()]) {
          await messages.saveDeadLetter(
            requestId,
            { error: failure("second"), attempts: 2, deadSince: 2 },
            fence,
          );
        }
        expect(await messages.listDeadLetters({ limit: 10, after: null })).toEqual([
          { envelope: dead, ...first },
        ]);
        expect(await messages.lookUp([answered.requestId])).toMatchObject([{ state: "answered" }]);
      }),
    );

    it(
      "is listed oldest first, in pages that follow the last one seen",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const ages = [5, 3, 9, 1, 7];
        const ids: [age: number, id: string][] = [];
        for (const deadSince of ages) {
          const request = context.request();
          await context.save(messages, request);
          await messages.saveDeadLetter(
            request.requestId,
            { error: failure("no"), attempts: 1, deadSince },
            fence,
          );
          ids.push([deadSince, request.requestId]);
        }
        const expected = ids.toSorted(([a], [b]) => a - b).map(([, id]) => id);
        expect(idsOf(await messages.listDeadLetters({ limit: 2, after: null }))).toEqual(
          expected.slice(0, 2),
        );
        expect(idsOf(await messages.listDeadLetters({ limit: 2, after: expected[1] ?? null }))).toEqual(
          expected.slice(2, 4),
        );
        expect(idsOf(await messages.listDeadLetters({ limit: 2, after: expected[3] ?? null }))).toEqual(
          expected.slice(4),
        );
        expect(await messages.listDeadLetters({ limit: 2, after: expected[4] ?? null })).toEqual([]);
      }),
    );

    it(
      "is on exactly one page, also where many died in one moment",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const requests = Array.from({ length: 7 }, () => context.request());
        await context.save(messages, ...requests);
        for (const { requestId } of requests.toReversed()) {
          await messages.saveDeadLetter(
            requestId,
            { error: failure("no"), attempts: 1, deadSince: 5 },
            fence,
          );
        }
        const seen: string[] = [];
        for (let page = 0; page < 4; page += 1) {
          seen.push(...idsOf(await messages.listDeadLetters({ limit: 2, after: seen.at(-1) ?? null })));
        }
        expect(seen.toSorted()).toEqual(requests.map(({ requestId }) => requestId).toSorted());
      }),
    );

    it(
      "is not missed where the last one seen is a dead letter no longer: its page is the first one again",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const requests = Array.from({ length: 6 }, () => context.request());
        await context.save(messages, ...requests);
        for (const [deadSince, { requestId }] of requests.entries())
          await messages.saveDeadLetter(requestId, { error: failure("no"), attempts: 1, deadSince }, fence);
        const [requeued, dropped, answered, ...others] = requests.map(({ requestId }) => requestId);
        const left = async (after: string | undefined): Promise<string[]> =>
          idsOf(await messages.listDeadLetters({ limit: 2, after: after ?? null }));
        await messages.requeueDeadLetter(requeued ?? "", null);
        expect(await left(requeued)).toEqual([dropped, answered]);
        await messages.dropDeadLetter(dropped ?? "", null);
        expect(await left(dropped)).toEqual([answered, others[0]]);
        await messages.saveReply(succeeded(answered ?? ""), fence, null);
        expect(await left(answered)).toEqual(others.slice(0, 2));
        expect(await left(context.id())).toEqual(others.slice(0, 2));
      }),
    );

    it(
      "that is requeued is pending and due again with no attempts, and tells its address once",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const request = context.request({ deliverAt: 500_000, deduplicationKey: "key" });
        const { requestId } = request;
        await context.save(messages, request);
        await messages.recordAttempt(requestId, 3, fence);
        await messages.saveDeadLetter(requestId, { error: failure("no"), attempts: 3, deadSince: 1 }, fence);
        expect(await messages.requeueDeadLetter(requestId, null)).toEqual(request.address);
        expect(await messages.requeueDeadLetter(requestId, null)).toBeNull();
        expect(await messages.lookUp([requestId])).toEqual([
          { state: "pending", requestId, deliverAt: null, attempts: 0 },
        ]);
        expect((await messages.readPending(all)).requests).toMatchObject([
          { envelope: { requestId }, attempts: 0 },
        ]);
        expect(await messages.listDeadLetters({ limit: 10, after: null })).toEqual([]);
        expect(await messages.lookUpByKey(request.address, request.tag, "key")).toMatchObject({
          state: "pending",
          requestId,
        });
        await messages.saveReply(succeeded(requestId), fence, null);
        expect(await messages.lookUp([requestId])).toMatchObject([{ state: "answered" }]);
      }),
    );

    it(
      "that is requeued has one attempt where it is an execution: it was begun before",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const requests = [context.request({ tag: "execute" }), context.request({ tag: "signal" })];
        await context.save(messages, ...requests);
        for (const { requestId } of requests) {
          await messages.saveDeadLetter(
            requestId,
            { error: failure("no"), attempts: 3, deadSince: 1 },
            fence,
          );
          expect(await messages.requeueDeadLetter(requestId, "execute")).not.toBeNull();
        }
        expect((await messages.readPending(all)).requests.map(({ attempts }) => attempts)).toEqual([1, 0]);
      }),
    );

    it(
      "that is dropped is forgotten for good, its key and its chunks included",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const request = context.request({ deduplicationKey: "key" });
        const { requestId } = request;
        await context.save(messages, request);
        await messages.saveChunk({ requestId, index: 0, value: "a" }, fence);
        await messages.saveDeadLetter(requestId, { error: failure("no"), attempts: 3, deadSince: 1 }, fence);
        const other = (await context.open()).messages;
        expect(await other.dropDeadLetter(requestId, null)).toBe(true);
        expect(await other.dropDeadLetter(requestId, null)).toBe(false);
        expect(await messages.requeueDeadLetter(requestId, null)).toBeNull();
        expect(await messages.lookUp([requestId])).toEqual([]);
        expect(await messages.lookUpByKey(request.address, request.tag, "key")).toBeNull();
        expect(await messages.listDeadLetters({ limit: 10, after: null })).toEqual([]);
        const again = context.request({ requestId, deduplicationKey: "key" });
        expect(await messages.saveRequest(again, 0, null)).toMatchObject({ outcome: "accepted" });
        expect(await messages.readChunks(requestId, 0)).toEqual({ chunks: [], saved: 0 });
      }),
    );

    it(
      "is what requeueing and dropping take, and nothing else",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const pending = context.request();
        const answered = context.request();
        await context.save(messages, pending, answered);
        await messages.saveReply(succeeded(answered.requestId), fence, null);
        const ids = [pending.requestId, answered.requestId];
        const before = await messages.lookUp(ids);
        for (const requestId of [...ids, context.id()]) {
          expect(await messages.requeueDeadLetter(requestId, null)).toBeNull();
          expect(await messages.dropDeadLetter(requestId, null)).toBe(false);
        }
        expect(await messages.lookUp(ids)).toEqual(before);
      }),
    );
  });
}

const all: Parameters<MessageStorage["readPending"]>[0] = {
  shardIds: ["default:1"],
  now: 1_000,
  limit: 100,
  excludingSequences: [],
  excludingEntities: [],
};

function idsOf(letters: readonly DeadLetter[]): string[] {
  return letters.map(({ envelope }) => envelope.requestId);
}
