import { PersistenceError, type Chunk, type MessageStorage, type Reply } from "@holdfast/core/adapter";
import type { StorageFactory } from "./storage-backend.ts";
import { failure, storageCases, succeeded, type StorageCase } from "./storage-case.ts";
import { vitest } from "./vitest-api.ts";

/** Replies, the chunks of streams, and forgetting both. */
export function messageReplies(factory: StorageFactory): void {
  const { describe, expect, it } = vitest();
  const run = storageCases(factory);

  describe("saveReply", () => {
    it(
      "records the reply for every session, and the request is pending no longer",
      run(async (session, context) => {
        const fence = await context.claim(session.messages);
        const { requestId } = await accepted(session.messages, context);
        const reply = succeeded(requestId, '{"text":"ü \\u0000 🚀"}');
        expect(await session.messages.saveReply(reply, fence, null)).toEqual(reply);
        await session.close();
        const { messages } = await context.open();
        expect(await messages.lookUp([requestId])).toEqual([{ state: "answered", requestId, reply }]);
        const pending = {
          shardIds: [fence.shardId],
          now: 0,
          limit: 1,
          excludingSequences: [],
          excludingEntities: [],
        };
        expect((await messages.readPending(pending)).requests).toEqual([]);
      }),
    );

    it(
      "keeps an error as it is, its causes included",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        for (const own of [false, true]) {
          const { requestId } = await accepted(messages, context);
          const cause = { ...failure("ünder it\nall"), own: !own, cause: failure("the root") };
          const error = {
            name: "AddressError",
            message: "",
            code: "E1",
            stack: "at x\n at y",
            data: '{"a":1}',
            cause,
            own,
          };
          const reply: Reply = { requestId, exit: { ok: false, error } };
          await messages.saveReply(reply, fence, null);
          expect(await messages.lookUp([requestId])).toEqual([{ state: "answered", requestId, reply }]);
        }
      }),
    );

    it(
      "returns the recorded reply when there is one, and leaves it as it was (INV-6)",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const { requestId } = await accepted(messages, context);
        const first = await messages.saveReply(succeeded(requestId, "1"), fence, null);
        const later = await context.claim((await context.open()).messages);
        const second: Reply = { requestId, exit: { ok: false, error: failure("too late") } };
        expect(await messages.saveReply(second, later, null)).toEqual(first);
        expect(await messages.saveReply(succeeded(requestId, "2"), later, null)).toEqual(first);
        expect(await messages.lookUp([requestId])).toEqual([{ state: "answered", requestId, reply: first }]);
      }),
    );

    it(
      "gives all who record a reply at once the same one (INV-6)",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const other = (await context.open()).messages;
        const { requestId } = await accepted(messages, context);
        const replies = await Promise.all(
          Array.from({ length: 6 }, (_, index) =>
            (index % 2 === 0 ? messages : other).saveReply(succeeded(requestId, String(index)), fence, null),
          ),
        );
        const [state] = await messages.lookUp([requestId]);
        for (const reply of replies) expect(state).toEqual({ state: "answered", requestId, reply });
      }),
    );

    it(
      "makes a dead letter that is answered after all a dead letter no longer",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const { requestId } = await accepted(messages, context);
        await messages.saveDeadLetter(requestId, { error: failure("no"), attempts: 3, deadSince: 1 }, fence);
        const reply = succeeded(requestId);
        expect(await messages.saveReply(reply, fence, null)).toEqual(reply);
        expect(await messages.lookUp([requestId])).toEqual([{ state: "answered", requestId, reply }]);
        expect(await messages.listDeadLetters({ limit: 10, after: null })).toEqual([]);
        expect(await messages.requeueDeadLetter(requestId, null)).toBeNull();
      }),
    );

    it.each([
      ["", false],
      [", with one among them whose reply is recorded", true],
    ])(
      "makes no dead letter of many that are answered in one turn one any longer%s",
      async (_how, isRefused) => {
        await run(async ({ messages }, context) => {
          const fence = await context.claim(messages);
          const ids: string[] = [];
          for (let index = 0; index < 6; index += 1) {
            const { requestId } = await accepted(messages, context);
            ids.push(requestId);
            // Others are pending still.
            if (index % 2 === 0) continue;
            await messages.saveDeadLetter(
              requestId,
              { error: failure("no"), attempts: 3, deadSince: 1 },
              fence,
            );
          }
          const { requestId: answered } = await accepted(messages, context);
          if (isRefused) await messages.saveReply(succeeded(answered), fence, null);
          const turn = [...ids.slice(0, 3), ...(isRefused ? [answered] : []), ...ids.slice(3)];
          await Promise.all(turn.map((requestId) => messages.saveReply(succeeded(requestId), fence, null)));
          expect(await messages.listDeadLetters({ limit: 10, after: null })).toEqual([]);
          for (const requestId of ids) expect(await messages.requeueDeadLetter(requestId, null)).toBeNull();
          const states = await messages.lookUp(ids);
          expect(states.map(({ state }) => state)).toEqual(ids.map(() => "answered"));
        })();
      },
    );

    it(
      "refuses a reply to a request that is not known, or is forgotten, and says that nothing was written",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const { requestId } = await accepted(messages, context);
        await messages.saveReply(succeeded(requestId), fence, null);
        const query = { entityType: "Counter", answeredBefore: 4_102_444_800_000, limit: 10 };
        expect(await messages.forgetAnswered(query)).toBe(1);
        const replies = [requestId, context.id()].map((id) => succeeded(id));
        // Others of the same moment are none the worse for it.
        const { requestId: other } = await accepted(messages, context);
        const [saved, ...refused] = await Promise.allSettled(
          [succeeded(other), ...replies].map((reply) => messages.saveReply(reply, fence, null)),
        );
        expect(saved).toMatchObject({ status: "fulfilled" });
        for (const outcome of refused) {
          expect(outcome).toMatchObject({ status: "rejected", reason: { outcome: "not-written" } });
          expect(outcome.status === "rejected" && outcome.reason).toBeInstanceOf(PersistenceError);
        }
        const ids = [...replies, succeeded(other)].map((reply) => reply.requestId);
        expect(await messages.lookUp(ids)).toMatchObject([{ state: "answered", requestId: other }]);
      }),
    );

    it(
      "records the replies of many requests in one turn, each its own",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const requests = await Promise.all(Array.from({ length: 100 }, () => accepted(messages, context)));
        await Promise.all(
          requests.map(({ requestId }, index) =>
            messages.saveReply(succeeded(requestId, String(index)), fence, null),
          ),
        );
        const states = await messages.lookUp(requests.map(({ requestId }) => requestId));
        const values = new Map(
          states.map((state) => [
            state.requestId,
            state.state === "answered" && state.reply.exit.ok ? state.reply.exit.value : "",
          ]),
        );
        expect(requests.map(({ requestId }) => values.get(requestId))).toEqual(
          requests.map((_, index) => String(index)),
        );
      }),
    );
  });

  describe("chunks", () => {
    it(
      "are kept in order for every session, and counted",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const { requestId } = await accepted(messages, context);
        expect(await messages.readChunks(requestId, 0)).toEqual({ chunks: [], saved: 0 });
        await Promise.all(
          ["a", "b", "c", "d"].map((value, index) => messages.saveChunk({ requestId, index, value }, fence)),
        );
        const other = (await context.open()).messages;
        expect(await other.readChunks(requestId, 0)).toEqual({
          chunks: chunksOf(requestId, 0, "a", "b", "c", "d"),
          saved: 4,
        });
        expect(await other.readChunks(requestId, 2)).toEqual({
          chunks: chunksOf(requestId, 2, "c", "d"),
          saved: 4,
        });
        for (const from of [4, 2 ** 31 - 1])
          expect(await other.readChunks(requestId, from)).toEqual({ chunks: [], saved: 4 });
      }),
    );

    it(
      "stay as they were when they are saved again",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const { requestId } = await accepted(messages, context);
        await messages.saveChunk({ requestId, index: 0, value: "first" }, fence);
        await messages.saveChunk({ requestId, index: 0, value: "second" }, fence);
        expect(await messages.readChunks(requestId, 0)).toEqual({
          chunks: chunksOf(requestId, 0, "first"),
          saved: 1,
        });
      }),
    );

    it(
      "are forgotten once they are acknowledged, while how many were saved stays known",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const { requestId } = await accepted(messages, context);
        for (const [index, value] of ["a", "b", "c"].entries())
          await messages.saveChunk({ requestId, index, value }, fence);
        const other = (await context.open()).messages;
        for (let repeat = 0; repeat < 2; repeat += 1) {
          await other.acknowledgeChunks(requestId, 2);
          expect(await messages.readChunks(requestId, 0)).toEqual({
            chunks: chunksOf(requestId, 2, "c"),
            saved: 3,
          });
        }
        await other.acknowledgeChunks(requestId, 1);
        expect(await messages.readChunks(requestId, 0)).toEqual({
          chunks: chunksOf(requestId, 2, "c"),
          saved: 3,
        });
        await other.acknowledgeChunks(requestId, 3);
        expect(await messages.readChunks(requestId, 0)).toEqual({ chunks: [], saved: 3 });
        await messages.saveChunk({ requestId, index: 3, value: "d" }, fence);
        expect(await messages.readChunks(requestId, 0)).toEqual({
          chunks: chunksOf(requestId, 3, "d"),
          saved: 4,
        });
      }),
    );

    it(
      "count once although a new owner's handler begins again and saves those that were acknowledged",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const { requestId } = await accepted(messages, context);
        for (const [index, value] of ["a", "b", "c"].entries()) {
          await messages.saveChunk({ requestId, index, value }, fence);
        }
        await messages.acknowledgeChunks(requestId, 2);
        const next = await context.claim((await context.open()).messages);
        for (const [index, value] of ["a", "b", "c"].entries()) {
          await messages.saveChunk({ requestId, index, value }, next);
        }
        // Nor after an acknowledgement that comes late.
        await messages.acknowledgeChunks(requestId, 1);
        await messages.saveChunk({ requestId, index: 1, value: "b" }, next);
        for (const from of [0, 2])
          expect(await messages.readChunks(requestId, from)).toEqual({
            chunks: chunksOf(requestId, 2, "c"),
            saved: 3,
          });
      }),
    );

    it(
      "are those of one request, in the order of their indexes and not of their arrival",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const [first, second] = [await accepted(messages, context), await accepted(messages, context)];
        for (const [index, value] of [...["a", "b", "c"].entries()].toReversed()) {
          for (const { requestId } of [first, second])
            await messages.saveChunk({ requestId, index, value: `${value} ${requestId}` }, fence);
        }
        const kept = ({ requestId }: { readonly requestId: string }, from: number): Chunk[] =>
          chunksOf(requestId, from, ...["a", "b", "c"].slice(from).map((value) => `${value} ${requestId}`));
        const read = (request: { readonly requestId: string }): Promise<unknown> =>
          messages.readChunks(request.requestId, 0);
        expect(await read(first)).toEqual({ chunks: kept(first, 0), saved: 3 });
        await messages.acknowledgeChunks(first.requestId, 2);
        expect(await read(first)).toEqual({ chunks: kept(first, 2), saved: 3 });
        expect(await read(second)).toEqual({ chunks: kept(second, 0), saved: 3 });
      }),
    );

    it(
      "that come after an acknowledgement of more than there were are kept",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const { requestId } = await accepted(messages, context);
        await messages.acknowledgeChunks(requestId, 1);
        await messages.saveChunk({ requestId, index: 0, value: "a" }, fence);
        await messages.acknowledgeChunks(requestId, 9);
        expect(await messages.readChunks(requestId, 0)).toEqual({ chunks: [], saved: 1 });
        await messages.saveChunk({ requestId, index: 1, value: "b" }, fence);
        const kept = { chunks: chunksOf(requestId, 1, "b"), saved: 2 };
        expect(await messages.readChunks(requestId, 0)).toEqual(kept);
      }),
    );

    it(
      "of a request that is not known are none, and acknowledging them does nothing",
      run(async ({ messages }, context) => {
        const requestId = context.id();
        await messages.acknowledgeChunks(requestId, 5);
        expect(await messages.readChunks(requestId, 0)).toEqual({ chunks: [], saved: 0 });
      }),
    );

    it(
      "of a request that is not known are refused, and nothing is written",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const requestId = context.id();
        const saving = messages.saveChunk({ requestId, index: 0, value: "a" }, fence);
        await expect(saving).rejects.toBeInstanceOf(PersistenceError);
        await expect(saving).rejects.toMatchObject({ outcome: "not-written" });
        expect(await messages.readChunks(requestId, 0)).toEqual({ chunks: [], saved: 0 });
      }),
    );

    it(
      "outlive the reply, for a consumer that is behind",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const { requestId } = await accepted(messages, context);
        await messages.saveChunk({ requestId, index: 0, value: "a" }, fence);
        await messages.saveReply(succeeded(requestId), fence, null);
        expect(await messages.readChunks(requestId, 0)).toEqual({
          chunks: chunksOf(requestId, 0, "a"),
          saved: 1,
        });
      }),
    );
  });

  describe("forgetAnswered", () => {
    /** Wall times that lie before and after everything that a case does. */
    const past = 1;
    const future = 4_102_444_800_000;

    it(
      "forgets requests answered before a time, with their keys, replies and chunks, and says how many",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const request = context.request({ deduplicationKey: "key" });
        const { requestId } = request;
        await context.save(messages, request);
        await messages.saveChunk({ requestId, index: 0, value: "a" }, fence);
        await messages.saveReply(succeeded(requestId), fence, null);
        const all = { entityType: "Counter", limit: 10 };
        expect(await messages.forgetAnswered({ ...all, answeredBefore: past })).toBe(0);
        expect(await messages.lookUp([requestId])).toHaveLength(1);

        expect(await messages.forgetAnswered({ ...all, answeredBefore: future })).toBe(1);
        expect(await messages.lookUp([requestId])).toEqual([]);
        expect(await messages.lookUpByKey(request.address, request.tag, "key")).toBeNull();
        expect(await messages.readChunks(requestId, 0)).toEqual({ chunks: [], saved: 0 });
        expect(await messages.forgetAnswered({ ...all, answeredBefore: future })).toBe(0);
        expect(
          await messages.saveRequest(context.request({ deduplicationKey: "key" }), 0, null),
        ).toMatchObject({
          outcome: "accepted",
        });
      }),
    );

    it(
      "goes by the time at which the reply was recorded, by the clock that `open` gives to the session",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const { requestId } = await accepted(messages, context);
        const from = Math.floor(context.now());
        await messages.saveReply(succeeded(requestId), fence, null);
        const to = Math.floor(context.now());
        const query = { entityType: "Counter", limit: 10 };
        expect(await messages.forgetAnswered({ ...query, answeredBefore: from })).toBe(0);
        expect(await messages.forgetAnswered({ ...query, answeredBefore: to + 1 })).toBe(1);
      }),
    );

    it(
      "forgets at most `limit`, and none of another type, pending or dead",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const answered = Array.from({ length: 5 }, () => context.request());
        const other = context.request({
          address: { entityType: "Other", entityId: "a", shardId: "default:1" },
        });
        const pending = context.request();
        const dead = context.request();
        await context.save(messages, ...answered, other, pending, dead);
        for (const { requestId } of [...answered, other])
          await messages.saveReply(succeeded(requestId), fence, null);
        await messages.saveDeadLetter(
          dead.requestId,
          { error: failure("no"), attempts: 1, deadSince: 1 },
          fence,
        );
        const query = { entityType: "Counter", answeredBefore: future, limit: 3 };
        expect(await messages.forgetAnswered(query)).toBe(3);
        expect(await messages.lookUp(answered.map(({ requestId }) => requestId))).toHaveLength(2);
        expect(await messages.forgetAnswered(query)).toBe(2);
        expect(await messages.forgetAnswered(query)).toBe(0);
        const left = await messages.lookUp([other.requestId, pending.requestId, dead.requestId]);
        expect(left.map(({ state }) => state).toSorted()).toEqual(["answered", "dead", "pending"]);
      }),
    );
  });
}

/** A pending request that was just saved. */
async function accepted(
  messages: MessageStorage,
  context: StorageCase,
): Promise<{ readonly requestId: string }> {
  const request = context.request();
  await context.save(messages, request);
  return request;
}

function chunksOf(requestId: string, from: number, ...values: string[]): Chunk[] {
  return values.map((value, offset) => ({ requestId, index: from + offset, value }));
}
