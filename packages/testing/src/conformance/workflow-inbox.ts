import { FencedError, type Envelope, type InboxMessage } from "@holdfast/core/adapter";
import {
  attributes,
  fail,
  FUTURE,
  journalOf,
  messageTo,
  order,
  ORDER,
  recordOf,
  start,
  TAGS,
} from "./execution-case.ts";
import type { StorageFactory } from "./storage-backend.ts";
import { completed, failure, storageCases, succeeded } from "./storage-case.ts";
import { vitest } from "./vitest-api.ts";

/** What reaches an execution besides its start, and how it is forgotten again. */
export function workflowInbox(factory: StorageFactory): void {
  inboxes(factory);
  trims(factory);
}

function inboxes(factory: StorageFactory): void {
  const { describe, expect, it } = vitest();
  const run = storageCases(factory);

  describe("an inbox", () => {
    it(
      "is empty, as the journal is, for an execution that nobody started",
      run(async ({ workflows }) => {
        expect(await workflows.readExecution(ORDER, TAGS)).toEqual({ entries: [], inbox: [] });
      }),
    );

    it(
      "has what was accepted, as it was sent, in the order of acceptance and not of ids, in every session",
      run(async (session, context) => {
        const { messages } = session;
        const fence = await context.claim(messages);
        await start(session, context, ORDER);
        const sent = ["a", "b", "c", "d", "e"].map((name) =>
          messageTo(context, ORDER, { payload: `{"name":"${name} ü 🚀"}`, deliverAt: 4_000_000_000_000 }),
        );
        const accepted = [3, 0, 4, 2, 1].map((index) => sent[index] as Envelope);
        await context.save(messages, ...accepted);
        await session.workflows.appendJournal(ORDER, [completed(0)], fence, null);
        const stored = await (await context.open()).workflows.readExecution(ORDER, TAGS);
        expect(stored).toEqual({ entries: [completed(0)], inbox: accepted.map(messageOf) });
      }),
    );

    it(
      "has the tags that are asked for and no others",
      run(async (session, context) => {
        await start(session, context, ORDER);
        const sent = ["signal", "wake", "cancel", "watch", "signal"].map((tag) =>
          messageTo(context, ORDER, { tag }),
        );
        await context.save(session.messages, ...sent);
        const read = async (...tags: string[]): Promise<readonly string[]> =>
          (await session.workflows.readExecution(ORDER, { ...TAGS, inbox: tags })).inbox.map(
            ({ tag }) => tag,
          );
        expect(await read(...TAGS.inbox)).toEqual(["signal", "cancel", "watch", "signal"]);
        expect(await read("watch", "cancel")).toEqual(["cancel", "watch"]);
        expect(await read("other")).toEqual([]);
        expect(await read()).toEqual([]);
      }),
    );

    it(
      "is of one execution, and of requests that have a deduplication key",
      run(async (session, context) => {
        const others = [order("order-2"), order("order-11"), { ...ORDER, entityType: "workflow:Orders" }];
        for (const execution of [ORDER, ...others]) await start(session, context, execution);
        const mine = messageTo(context, ORDER);
        await context.save(
          session.messages,
          ...others.map((execution) => messageTo(context, execution)),
          messageTo(context, ORDER, { deduplicationKey: null }),
          mine,
        );
        expect((await session.workflows.readExecution(ORDER, TAGS)).inbox).toEqual([messageOf(mine)]);
      }),
    );

    it(
      "is empty where there is no request that the execution is, whatever was sent",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        // The starts of others, what has no key, and a request with another tag are none.
        await start(session, context, order("order-2"));
        await start(session, context, { ...ORDER, entityType: "workflow:Orders" });
        await start(session, context, ORDER, { deduplicationKey: null });
        await context.save(messages, messageTo(context, ORDER, { tag: "start" }));
        await context.save(messages, messageTo(context, ORDER), messageTo(context, ORDER, { tag: "cancel" }));
        await workflows.appendJournal(ORDER, [completed(0)], fence, null);
        expect(await workflows.readExecution(ORDER, TAGS)).toEqual({ entries: [completed(0)], inbox: [] });
        const started = await workflows.readExecution(ORDER, { ...TAGS, execution: "start" });
        expect(started.inbox.map(({ tag }) => tag)).toEqual(["signal", "cancel"]);
      }),
    );

    it(
      "has no request that was accepted before the execution's own",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        const inbox = async (): Promise<readonly InboxMessage[]> =>
          (await workflows.readExecution(ORDER, TAGS)).inbox;
        const [before, between] = [messageTo(context, ORDER), messageTo(context, ORDER)];
        const late = messageTo(context, ORDER, { tag: "cancel" });
        // Ids and times say nothing of when it was accepted.
        const after = { ...messageTo(context, ORDER), requestId: `0${"0".repeat(31)}` };
        await context.save(messages, before);
        const request = await start(session, context, ORDER);
        await context.save(messages, after);
        expect(await inbox()).toEqual([messageOf(after)]);

        for (const { requestId } of [request, before])
          await messages.saveReply(succeeded(requestId), fence, null);
        expect(await inbox()).toEqual([messageOf(after)]);
        const query = { entityType: ORDER.entityType, answeredBefore: FUTURE, limit: 10 };
        await messages.forgetAnswered({ ...query, executionTag: "execute" });
        // The key is free, and nobody has begun the next one.
        await context.save(messages, between);
        expect(await inbox()).toEqual([]);
        await start(session, context, ORDER);
        expect(await inbox()).toEqual([]);
        await context.save(messages, late);
        expect(await inbox()).toEqual([messageOf(late)]);
      }),
    );

    it(
      "has a request whatever becomes of it, and one that was sent twice once",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        await start(session, context, ORDER);
        const sent = Array.from({ length: 5 }, () => messageTo(context, ORDER));
        const [answered, dead, begun, postponed] = sent as [Envelope, Envelope, Envelope, Envelope];
        await context.save(messages, ...sent);
        await messages.saveRequest({ ...answered, requestId: context.id(), payload: "{}" }, 0, null);
        await messages.saveReply(succeeded(answered.requestId), fence, null);
        const letter = { error: failure("no"), attempts: 1, deadSince: 1 };
        await messages.saveDeadLetter(dead.requestId, letter, fence);
        await messages.recordAttempt(begun.requestId, 1, fence);
        await messages.reschedule(postponed.requestId, { deliverAt: 5_000_000, attempts: 0 }, fence);
        expect((await workflows.readExecution(ORDER, TAGS)).inbox).toEqual(sent.map(messageOf));
      }),
    );

    it(
      "stays whatever becomes of the execution: begun, dead, requeued or answered",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        const { requestId } = await start(session, context, ORDER);
        const sent = [messageTo(context, ORDER), messageTo(context, ORDER)];
        await context.save(messages, ...sent);
        const letter = { error: failure("no"), attempts: 1, deadSince: 1 };
        for (const change of [
          () => messages.recordAttempt(requestId, 1, fence),
          () => messages.saveDeadLetter(requestId, letter, fence),
          () => messages.requeueDeadLetter(requestId, "execute"),
          () => messages.saveReply(succeeded(requestId), fence, null),
        ]) {
          await change();
          expect((await workflows.readExecution(ORDER, TAGS)).inbox).toEqual(sent.map(messageOf));
        }
      }),
    );

    it(
      "is as of the moment at which the journal is, also for a reader that others overtake",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        await start(session, context, ORDER);
        const reader = (await context.open()).workflows;
        const writing = { isOver: false };
        const write = async (): Promise<void> => {
          for (let ordinal = 0; ordinal < 20; ordinal += 1) {
            await context.save(messages, messageTo(context, ORDER));
            await workflows.appendJournal(ORDER, [completed(ordinal)], fence, null);
          }
        };
        const read = async (): Promise<void> => {
          while (!writing.isOver) {
            const { entries, inbox } = await reader.readExecution(ORDER, TAGS);
            // Each message came before its entry, and the next one after that.
            expect([0, 1]).toContain(inbox.length - entries.length);
            // Where reading never waits, others get their turn all the same.
            await new Promise((resolve) => setImmediate(resolve));
          }
        };
        // Also where it fails: else the readers went on beside the cases to come.
        const written = write().finally(() => (writing.isOver = true));
        await Promise.all([written, read(), read()]);
      }),
    );

    it(
      "is read as of the moment at which the journal is",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        await start(session, context, ORDER);
        const reader = (await context.open()).workflows;
        // So many that reading them takes a moment, in which others write.
        const many = Array.from({ length: 1_000 }, (_, index) => completed(1_000 + index, "x".repeat(50)));
        await workflows.appendJournal(ORDER, many, fence, null);
        const seen = new Set<string>();
        const read = async (): Promise<void> => {
          for (let reads = 0; reads < 3; reads += 1) {
            const { entries, inbox } = await reader.readExecution(ORDER, TAGS);
            seen.add(`${entries.length - many.length} of ${inbox.length}`);
          }
        };
        const write = async (ordinal: number): Promise<void> => {
          const message = messageTo(context, ORDER);
          await context.save(messages, message);
          await workflows.appendJournal(ORDER, [completed(ordinal)], fence, null);
          const { requestId } = message;
          await messages.saveReply(succeeded(requestId), fence, null);
          const trim = { belowOrdinal: ordinal + 1, requestIds: [requestId], answeredBefore: FUTURE };
          await workflows.trimExecution(ORDER, trim, fence);
        };
        for (let ordinal = 0; ordinal < 20; ordinal += 1) await Promise.all([read(), write(ordinal), read()]);
        // The entry came after its message, and both went at once.
        for (const state of seen) expect(["0 of 0", "0 of 1", "1 of 1"]).toContain(state);
      }),
    );
  });
}

function trims(factory: StorageFactory): void {
  const { describe, expect, it } = vitest();
  const run = storageCases(factory);

  describe("trimming", () => {
    it(
      "forgets the entries below an ordinal, and of these requests those that were answered, with their replies",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        const request = await start(session, context, ORDER);
        const sent = Array.from({ length: 6 }, () => messageTo(context, ORDER));
        const [answered, refused, ...kept] = sent as [Envelope, Envelope, ...Envelope[]];
        const [pending, dead, unlisted, last] = kept as [Envelope, Envelope, Envelope, Envelope];
        await context.save(messages, ...sent);
        await messages.saveChunk({ requestId: answered.requestId, index: 0, value: "a" }, fence);
        for (const { requestId } of [answered, unlisted])
          await messages.saveReply(succeeded(requestId), fence, null);
        await fail(messages, refused, fence);
        const letter = { error: failure("no"), attempts: 1, deadSince: 1 };
        await messages.saveDeadLetter(dead.requestId, letter, fence);
        const entries = [attributes(0, { tenant: "a" }), completed(1), completed(4), completed(5)];
        await workflows.appendJournal(ORDER, entries, fence, null);

        const requestIds = [answered, refused, pending, dead].map(({ requestId }) => requestId);
        const trim = { belowOrdinal: 4, requestIds, answeredBefore: FUTURE };
        await workflows.trimExecution(ORDER, trim, fence);
        const other = await context.open();
        expect(await other.workflows.readExecution(ORDER, TAGS)).toEqual({
          entries: [completed(4), completed(5)],
          inbox: kept.map(messageOf),
        });
        const states = await other.messages.lookUp(sent.map(({ requestId }) => requestId));
        expect(Object.fromEntries(states.map(({ requestId, state }) => [requestId, state]))).toEqual({
          [pending.requestId]: "pending",
          [dead.requestId]: "dead",
          [unlisted.requestId]: "answered",
          [last.requestId]: "pending",
        });
        const letters = await other.messages.listDeadLetters({ limit: 10, after: null });
        expect(letters).toEqual([{ envelope: dead, ...letter }]);
        expect(await other.messages.readChunks(answered.requestId, 0)).toEqual({ chunks: [], saved: 0 });
        const due = await other.messages.readPending({
          shardIds: ["default:1"],
          now: 1_000,
          limit: 100,
          excludingSequences: [],
          excludingEntities: [],
        });
        expect(due.requests.map(({ envelope }) => envelope)).toEqual([request, pending, last]);
        expect(await recordOf(other.workflows, ORDER)).toMatchObject({ attributes: { tenant: "a" } });
        await workflows.trimExecution(ORDER, { ...trim, belowOrdinal: 9 }, fence);
        expect(await journalOf(other.workflows, ORDER)).toEqual([]);
        await workflows.trimExecution(ORDER, { ...trim, belowOrdinal: 9 }, fence);
        expect(await recordOf(other.workflows, ORDER)).toMatchObject({ attributes: { tenant: "a" } });
        // Its key is free again.
        const again = { ...answered, requestId: context.id() };
        expect(await messages.saveRequest(again, 0, null)).toMatchObject({ outcome: "accepted" });
      }),
    );

    it(
      "leaves what was answered at that time or after it",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        await start(session, context, ORDER);
        const message = messageTo(context, ORDER);
        await context.save(messages, message);
        const { requestId } = message;
        await messages.saveReply(succeeded(requestId), fence, null);
        const [before] = await messages.lookUp([requestId]);
        // The time of an answer is the one by which retention goes.
        const answeredAt = (await recordOf(workflows, ORDER, "signal"))?.endedAt ?? 0;
        const trim = { belowOrdinal: 0, requestIds: [requestId] };
        for (const answeredBefore of [1, answeredAt]) {
          await workflows.trimExecution(ORDER, { ...trim, answeredBefore }, fence);
          expect(await messages.lookUp([requestId])).toEqual([before]);
        }
        expect((await workflows.readExecution(ORDER, TAGS)).inbox).toEqual([messageOf(message)]);
        await workflows.trimExecution(ORDER, { ...trim, answeredBefore: answeredAt + 1 }, fence);
        expect(await messages.lookUp([requestId])).toEqual([]);
        expect((await workflows.readExecution(ORDER, TAGS)).inbox).toEqual([]);
      }),
    );

    it(
      "takes along requests to the execution without a deduplication key that were answered before that time",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        const request = await start(session, context, ORDER);
        const withoutKey = { deduplicationKey: null } as const;
        const sent = ["wake", "signal", "query", "wake", "wake"].map((tag) =>
          messageTo(context, ORDER, { tag, ...withoutKey }),
        );
        const [woken, read, , dead, pending] = sent as [Envelope, Envelope, Envelope, Envelope, Envelope];
        const keyed = messageTo(context, ORDER);
        const elsewhere = messageTo(context, order("order-2"), withoutKey);
        const ofAnother = messageTo(context, { ...ORDER, entityType: "workflow:Orders" }, withoutKey);
        await context.save(messages, ...sent, keyed, elsewhere, ofAnother);
        await messages.saveChunk({ requestId: woken.requestId, index: 0, value: "a" }, fence);
        await fail(messages, read, fence);
        const answered = [woken, sent[2] as Envelope, keyed, elsewhere, ofAnother, request];
        for (const { requestId } of answered) await messages.saveReply(succeeded(requestId), fence, null);
        const letter = { error: failure("no"), attempts: 1, deadSince: 1 };
        await messages.saveDeadLetter(dead.requestId, letter, fence);
        const left = async (): Promise<readonly string[]> =>
          (await messages.lookUp([...answered, ...sent].map(({ requestId }) => requestId)))
            .map(({ requestId }) => requestId)
            .toSorted();
        const all = await left();
        const trim = { belowOrdinal: 0, requestIds: [] };
        await workflows.trimExecution(ORDER, { ...trim, answeredBefore: 1 }, fence);
        expect(await left()).toEqual(all);
        await workflows.trimExecution(ORDER, { ...trim, answeredBefore: FUTURE }, fence);
        const kept = [keyed, elsewhere, ofAnother, request, dead, pending];
        expect(await left()).toEqual(kept.map(({ requestId }) => requestId).toSorted());
        expect(await messages.readChunks(woken.requestId, 0)).toEqual({ chunks: [], saved: 0 });
      }),
    );

    it(
      "may be repeated, and may be of nothing",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        await start(session, context, ORDER);
        const message = messageTo(context, ORDER);
        await context.save(messages, message);
        await messages.saveReply(succeeded(message.requestId), fence, null);
        const requestIds = [message.requestId, context.id()];
        const trim = { belowOrdinal: 3, requestIds, answeredBefore: FUTURE };
        await workflows.trimExecution(ORDER, trim, fence);
        await workflows.appendJournal(ORDER, [completed(3)], fence, null);
        await workflows.trimExecution(ORDER, trim, fence);
        await Promise.all([1, 2, 3].map(() => workflows.trimExecution(ORDER, trim, fence)));
        await workflows.trimExecution(ORDER, { ...trim, belowOrdinal: 0, requestIds: [] }, fence);
        expect(await workflows.readExecution(ORDER, TAGS)).toEqual({ entries: [completed(3)], inbox: [] });
      }),
    );

    it(
      "is of one execution",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        const others = [order("order-2"), { ...ORDER, entityType: "workflow:Orders" }];
        for (const execution of others) await start(session, context, execution);
        const sent = others.map((execution) => messageTo(context, execution));
        await context.save(messages, ...sent);
        for (const { requestId } of sent) await messages.saveReply(succeeded(requestId), fence, null);
        for (const execution of [ORDER, ...others])
          await workflows.appendJournal(execution, [completed(0)], fence, null);
        const requestIds = sent.map(({ requestId }) => requestId);
        const trim = { belowOrdinal: 9, requestIds, answeredBefore: FUTURE };
        await workflows.trimExecution(ORDER, trim, fence);
        expect(await journalOf(workflows, ORDER)).toEqual([]);
        for (const [index, execution] of others.entries()) {
          expect(await workflows.readExecution(execution, TAGS)).toEqual({
            entries: [completed(0)],
            inbox: [messageOf(sent[index] as Envelope)],
          });
        }
      }),
    );

    it(
      "is refused with FencedError once the shard was claimed again, and forgets nothing then (INV-1)",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const stale = await context.claim(messages);
        await start(session, context, ORDER);
        const message = messageTo(context, ORDER);
        await context.save(messages, message);
        await messages.saveReply(succeeded(message.requestId), stale, null);
        await workflows.appendJournal(ORDER, [completed(0)], stale, null);
        const fence = await context.claim((await context.open()).messages);
        const trim = { belowOrdinal: 1, requestIds: [message.requestId], answeredBefore: FUTURE };
        const refused = workflows.trimExecution(ORDER, trim, stale);
        await expect(refused).rejects.toBeInstanceOf(FencedError);
        await expect(refused).rejects.toMatchObject({ shardId: "default:1" });
        const ofNothing = workflows.trimExecution(order("order-2"), { ...trim, requestIds: [] }, stale);
        await expect(ofNothing).rejects.toBeInstanceOf(FencedError);
        const never = workflows.trimExecution(ORDER, trim, { shardId: "default:9", epoch: 1 });
        await expect(never).rejects.toBeInstanceOf(FencedError);
        expect(await workflows.readExecution(ORDER, TAGS)).toEqual({
          entries: [completed(0)],
          inbox: [messageOf(message)],
        });
        await workflows.trimExecution(ORDER, trim, fence);
        expect(await workflows.readExecution(ORDER, TAGS)).toEqual({ entries: [], inbox: [] });
      }),
    );

    it.each([0, 2, 8])("happens before a claim resolves, or never (INV-1, after %i turns)", async (turns) => {
      await run(async (old, context) => {
        const next = await context.open();
        const fence = await context.claim(old.messages);
        await old.workflows.appendJournal(ORDER, [completed(0), completed(1)], fence, null);
        const trim = { belowOrdinal: 1, requestIds: [], answeredBefore: FUTURE };
        const trimming = Promise.allSettled([old.workflows.trimExecution(ORDER, trim, fence)]);
        for (let turn = 0; turn < turns; turn += 1) await Promise.resolve();
        await next.messages.claimShards(["default:1"]);
        const atClaim = await journalOf(next.workflows, ORDER);
        const [trimmed] = await trimming;
        expect(atClaim).toHaveLength(trimmed.status === "fulfilled" ? 1 : 2);
        expect(await journalOf(next.workflows, ORDER)).toEqual(atClaim);
      })();
    });

    it(
      "lets a request be answered beside it, which is kept whole or goes whole",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        await start(session, context, ORDER);
        for (let round = 0; round < 20; round += 1) {
          const message = messageTo(context, ORDER, { deduplicationKey: "same" });
          const { requestId } = message;
          const trim = { belowOrdinal: 0, requestIds: [requestId], answeredBefore: FUTURE };
          await context.save(messages, message);
          const reply = succeeded(requestId);
          const [saved] = await Promise.all([
            messages.saveReply(reply, fence, null),
            workflows.trimExecution(ORDER, trim, fence),
          ]);
          expect(saved).toEqual(reply);
          const states = await messages.lookUp([requestId]);
          if (states.length > 0) expect(states).toEqual([{ state: "answered", requestId, reply }]);
          await workflows.trimExecution(ORDER, trim, fence);
          expect(await messages.lookUp([requestId])).toEqual([]);
        }
        const query = { entityType: ORDER.entityType, answeredBefore: FUTURE, limit: 100 };
        expect(await messages.forgetAnswered(query)).toBe(0);
        expect((await workflows.readExecution(ORDER, TAGS)).inbox).toEqual([]);
      }),
    );
  });
}

function messageOf({ requestId, tag, payload }: Envelope): InboxMessage {
  return { requestId, tag, payload };
}
