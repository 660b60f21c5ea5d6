import type { ExecutionKey, Fence, OpenStorage } from "@holdfast/core/adapter";
import {
  attributes,
  fail,
  FUTURE,
  journalOf,
  listed,
  ORDER,
  recordOf,
  resumed,
  start,
} from "./execution-case.ts";
import type { StorageFactory } from "./storage-backend.ts";
import { completed, failure, storageCases, succeeded } from "./storage-case.ts";
import { vitest } from "./vitest-api.ts";

/** Executions that are named with the id of their request, as their owner does, and without it, as everybody else. */
export function workflowNaming(factory: StorageFactory): void {
  const { describe, expect, it } = vitest();
  const run = storageCases(factory);

  describe("an execution that is named with its request and without", () => {
    it.each(["as it is made", "of another form", "é 🚀"])("has one journal (%s)", async (form) => {
      await run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        const changes = form === "as it is made" ? {} : { requestId: form };
        const { requestId } = await start(session, context, ORDER, changes);
        const owned = { ...ORDER, requestId };
        await workflows.appendJournal(owned, [completed(0), attributes(1, { tenant: "a" })], fence, null);
        await workflows.appendJournal(ORDER, [completed(2)], fence, null);
        await workflows.appendJournal(owned, [completed(3)], fence, null);
        await workflows.appendJournal(owned, [completed(3, "changed"), completed(5)], fence, null);
        await workflows.appendJournal(ORDER, [completed(4)], fence, null);
        const expected = [0, 1, 2, 3, 4, 5].map((ordinal) =>
          ordinal === 1 ? attributes(1, { tenant: "a" }) : completed(ordinal),
        );
        const other = await context.open();
        for (const key of [ORDER, owned]) expect(await journalOf(other.workflows, key)).toEqual(expected);
        expect(await recordOf(workflows, ORDER)).toMatchObject({ attributes: { tenant: "a" } });
        expect(await listed(workflows, { attributes: { tenant: "a" } })).toEqual([ORDER.executionId]);
      })();
    });

    it(
      "has the entries of a transaction in it, too",
      run(async (session, context) => {
        const { messages, workflows } = session;
        if (messages.beginTransaction === undefined) return;
        const fence = await context.claim(messages);
        const { requestId } = await start(session, context, ORDER);
        const owned = { ...ORDER, requestId };
        for (const [ordinal, key] of [owned, ORDER, owned].entries()) {
          const transaction = messages.beginTransaction();
          await context.backend.transactions?.write(transaction, `write ${ordinal}`);
          await workflows.appendJournal(key, [completed(ordinal)], fence, transaction);
        }
        expect(await journalOf(workflows, ORDER)).toEqual([completed(0), completed(1), completed(2)]);
      }),
    );

    it(
      "is trimmed whole",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        const { requestId } = await start(session, context, ORDER);
        const owned = { ...ORDER, requestId };
        await appendInTurns(session, [ORDER, owned], fence);
        const trim = { belowOrdinal: 2, requestIds: [], answeredBefore: FUTURE };
        await workflows.trimExecution(owned, trim, fence);
        expect(await journalOf(workflows, ORDER)).toEqual([completed(2), completed(3)]);
        await workflows.trimExecution(ORDER, { ...trim, belowOrdinal: 3 }, fence);
        expect(await journalOf(workflows, owned)).toEqual([completed(3)]);
      }),
    );

    it(
      "is reopened whole, and not behind an entry that is there",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        const request = await start(session, context, ORDER);
        const owned = { ...ORDER, requestId: request.requestId };
        await appendInTurns(session, [ORDER, owned], fence);
        await fail(messages, request, fence);
        for (const ordinal of [2, 3]) {
          const behind = { forget: [0, 1, 2, 3], entry: resumed(ordinal) };
          expect(await workflows.reopenExecution(ORDER, request.requestId, behind)).toBeNull();
        }
        expect(await journalOf(workflows, ORDER)).toHaveLength(4);
        const changes = { forget: [2, 3], entry: resumed(4) };
        expect(await workflows.reopenExecution(ORDER, request.requestId, changes)).toEqual(request.address);
        expect(await journalOf(workflows, ORDER)).toEqual([completed(0), completed(1), resumed(4)]);
        await workflows.appendJournal(owned, [completed(4, "changed"), completed(5)], fence, null);
        expect(await journalOf(workflows, ORDER)).toEqual([
          completed(0),
          completed(1),
          resumed(4),
          completed(5),
        ]);
      }),
    );

    it.each(["retention", "a dead letter that is dropped"])("is forgotten whole by %s", async (by) => {
      await run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        const { requestId } = await start(session, context, ORDER);
        const owned = { ...ORDER, requestId };
        await appendInTurns(session, [ORDER, owned], fence);
        if (by === "retention") {
          await messages.saveReply(succeeded(requestId), fence, null);
          const old = { entityType: ORDER.entityType, answeredBefore: FUTURE, limit: 10 };
          expect(await messages.forgetAnswered({ ...old, executionTag: "execute" })).toBe(1);
        } else {
          const letter = { error: failure("no"), attempts: 1, deadSince: 1 };
          await messages.saveDeadLetter(requestId, letter, fence);
          expect(await messages.dropDeadLetter(requestId, "execute")).toBe(true);
        }
        for (const key of [ORDER, owned]) expect(await journalOf(workflows, key)).toEqual([]);
        // Its id begins from nothing, also where the request has the id of the one before.
        await start(session, context, ORDER, { requestId });
        for (const key of [ORDER, owned]) expect(await journalOf(workflows, key)).toEqual([]);
      })();
    });
  });
}

/** Appends four entries, each named as the next of `keys`. */
async function appendInTurns(
  { workflows }: Pick<OpenStorage, "workflows">,
  keys: readonly ExecutionKey[],
  fence: Fence,
): Promise<void> {
  for (const ordinal of [0, 1, 2, 3])
    await workflows.appendJournal(keys[ordinal % keys.length] ?? ORDER, [completed(ordinal)], fence, null);
}
