import { FencedError, type Envelope, type InboxMessage } from "@holdfast/core/adapter";
import {
  journalOf,
  messageTo,
  order,
  ORDER,
  recordOf,
  start,
  attributes,
  startOf,
} from "./execution-case.ts";
import type { StorageFactory } from "./storage-backend.ts";
import { completed, failure, storageCases, succeeded } from "./storage-case.ts";
import { vitest } from "./vitest-api.ts";

const TAGS = ["signal", "cancel", "watch"];

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
          (await session.workflows.readExecution(ORDER, tags)).inbox.map(({ tag }) => tag);
        expect(await read(...TAGS)).toEqual(["signal", "cancel", "watch", "signal"]);
        expect(await read("watch", "cancel")).toEqual(["cancel", "watch"]);
        expect(await read("other")).toEqual([]);
        expect(await read()).toEqual([]);
      }),
    );

    it(
      "is of one execution, and of requests that have a deduplication key",
      run(async (session, context) => {
        await start(session, context, ORDER);
        const mine = messageTo(context, ORDER);
        await context.save(
          session.messages,
          messageTo(context, order("order-2")),
          messageTo(context, order("order-11")),
          messageTo(context, { ...ORDER, entityType: "workflow:Orders" }),
          messageTo(context, ORDER, { deduplicationKey: null }),
          mine,
        );
        expect((await session.workflows.readExecution(ORDER, TAGS)).inbox).toEqual([messageOf(mine)]);
      }),
    );

    it(
      "has a request whatever becomes of it, and one that was sent twice once",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
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
      "is read as of the moment at which the journal is",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
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
          const trim = { belowOrdinal: ordinal + 1, requestIds: [message.requestId] };
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
      "forgets the entries below an ordinal, and these requests with their replies, and leaves what else there is",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        const request = await start(session, context, ORDER);
        const sent = Array.from({ length: 5 }, () => messageTo(context, ORDER));
        const [answered, pending, dead, ...kept] = sent as [Envelope, Envelope, Envelope, ...Envelope[]];
        await context.save(messages, ...sent);
        await messages.saveReply(succeeded(answered.requestId), fence, null);
        const letter = { error: failure("no"), attempts: 1, deadSince: 1 };
        await messages.saveDeadLetter(dead.requestId, letter, fence);
        const entries = [attributes(0, { tenant: "a" }), completed(1), completed(4), completed(5)];
        await workflows.appendJournal(ORDER, entries, fence, null);

        const requestIds = [answered, pending, dead].map(({ requestId }) => requestId);
        await workflows.trimExecution(ORDER, { belowOrdinal: 4, requestIds }, fence);
        const other = await context.open();
        expect(await other.workflows.readExecution(ORDER, TAGS)).toEqual({
          entries: [completed(4), completed(5)],
          inbox: kept.map(messageOf),
        });
        expect(await other.messages.lookUp(requestIds)).toEqual([]);
        expect(await other.messages.listDeadLetters({ limit: 10, after: null })).toEqual([]);
        const due = await other.messages.readPending({
          shardIds: ["default:1"],
          now: 1_000,
          limit: 100,
          excludingSequences: [],
          excludingEntities: [],
        });
        expect(due.requests.map(({ envelope }) => envelope)).toEqual([request, ...kept]);
        expect(await recordOf(other.workflows, ORDER)).toMatchObject({ attributes: { tenant: "a" } });
        // Its key is free again.
        const again = { ...answered, requestId: context.id() };
        expect(await messages.saveRequest(again, 0, null)).toMatchObject({ outcome: "accepted" });
      }),
    );

    it(
      "may be repeated, and may be of nothing",
      run(async ({ messages, workflows }, context) => {
        const fence = await context.claim(messages);
        const message = messageTo(context, ORDER);
        await context.save(messages, message);
        const requestIds = [message.requestId, context.id()];
        await workflows.trimExecution(ORDER, { belowOrdinal: 3, requestIds }, fence);
        await workflows.appendJournal(ORDER, [completed(3)], fence, null);
        await workflows.trimExecution(ORDER, { belowOrdinal: 3, requestIds }, fence);
        await workflows.trimExecution(ORDER, { belowOrdinal: 0, requestIds: [] }, fence);
        expect(await workflows.readExecution(ORDER, TAGS)).toEqual({ entries: [completed(3)], inbox: [] });
      }),
    );

    it(
      "is of one execution",
      run(async ({ messages, workflows }, context) => {
        const fence = await context.claim(messages);
        const others = [order("order-2"), { ...ORDER, entityType: "workflow:Orders" }];
        const sent = others.map((execution) => messageTo(context, execution));
        await context.save(messages, ...sent);
        for (const execution of [ORDER, ...others])
          await workflows.appendJournal(execution, [completed(0)], fence, null);
        const requestIds = sent.map(({ requestId }) => requestId);
        await workflows.trimExecution(ORDER, { belowOrdinal: 9, requestIds }, fence);
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
      run(async ({ messages, workflows }, context) => {
        const stale = await context.claim(messages);
        const message = messageTo(context, ORDER);
        await context.save(messages, message);
        await workflows.appendJournal(ORDER, [completed(0)], stale, null);
        const fence = await context.claim((await context.open()).messages);
        const trim = { belowOrdinal: 1, requestIds: [message.requestId] };
        const refused = workflows.trimExecution(ORDER, trim, stale);
        await expect(refused).rejects.toBeInstanceOf(FencedError);
        await expect(refused).rejects.toMatchObject({ shardId: "default:1" });
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
        const trimming = Promise.allSettled([
          old.workflows.trimExecution(ORDER, { belowOrdinal: 1, requestIds: [] }, fence),
        ]);
        for (let turn = 0; turn < turns; turn += 1) await Promise.resolve();
        await next.messages.claimShards(["default:1"]);
        const atClaim = await journalOf(next.workflows, ORDER);
        const [trimmed] = await trimming;
        expect(atClaim).toHaveLength(trimmed.status === "fulfilled" ? 1 : 2);
        expect(await journalOf(next.workflows, ORDER)).toEqual(atClaim);
      })();
    });

    it(
      "lets a request be answered beside it, and leaves nothing of either",
      run(async ({ messages, workflows }, context) => {
        const fence = await context.claim(messages);
        for (let round = 0; round < 20; round += 1) {
          const message = messageTo(context, ORDER, { deduplicationKey: "same" });
          const { requestId } = message;
          await context.save(messages, message);
          await Promise.allSettled([
            messages.saveReply(succeeded(requestId), fence, null),
            workflows.trimExecution(ORDER, { belowOrdinal: 0, requestIds: [requestId] }, fence),
          ]);
          expect(await messages.lookUp([requestId])).toEqual([]);
        }
        const query = { entityType: ORDER.entityType, answeredBefore: 4_102_444_800_000, limit: 100 };
        expect(await messages.forgetAnswered(query)).toBe(0);
        expect((await workflows.readExecution(ORDER, TAGS)).inbox).toEqual([]);
        await context.save(messages, startOf(context, ORDER));
      }),
    );
  });
}

function messageOf({ requestId, tag, payload }: Envelope): InboxMessage {
  return { requestId, tag, payload };
}
