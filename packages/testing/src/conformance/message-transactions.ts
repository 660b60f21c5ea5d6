import {
  FencedError,
  TransactionUnavailableError,
  type MessageStorage,
  type StorageTransaction,
} from "@holdfast/core/adapter";
import { journalOf, ORDER } from "./execution-case.ts";
import { Gate } from "./gate.ts";
import type { StorageFactory, TransactionProbe } from "./storage-backend.ts";
import { completed, storageCases, succeeded, type StorageCase } from "./storage-case.ts";
import { vitest } from "./vitest-api.ts";

/** What no storage opened. */
class ForeignTransaction implements StorageTransaction {
  readonly kind: string = "foreign";
  rollbacks = 0;

  async rollback(): Promise<void> {
    this.rollbacks += 1;
  }
}

/** Transactions that commit with a reply, and the announcements of other processes' saves: where they are declared. */
export function messageTransactions(factory: StorageFactory): void {
  const { describe, expect, it } = vitest();
  const run = storageCases(factory);

  /** Runs `body` where the storage has transactions; elsewhere sees to it that it has none. */
  const transactional = (
    body: (
      messages: MessageStorage,
      begin: () => StorageTransaction,
      probe: TransactionProbe,
      context: StorageCase,
    ) => Promise<void>,
  ): (() => Promise<void>) =>
    run(async ({ messages }, context) => {
      if (!messages.supports.transactions) {
        expect(typeof messages.beginTransaction).toBe("undefined");
        return;
      }
      const probe = context.backend.transactions;
      if (probe === undefined)
        throw new Error("The factory must give `transactions`, since the storage supports them.");
      const begin = (): StorageTransaction => {
        if (messages.beginTransaction === undefined)
          throw new Error("The storage supports transactions and begins none.");
        return messages.beginTransaction();
      };
      await body(messages, begin, probe, context);
    });

  describe("a transaction", () => {
    it(
      "commits with the reply: its writes and the reply are there together (INV-3)",
      transactional(async (messages, begin, probe, context) => {
        const fence = await context.claim(messages);
        const request = context.request();
        await context.save(messages, request);
        const transaction = begin();
        await probe.write(transaction, "paid");
        const reply = succeeded(request.requestId, "7");
        expect(await messages.saveReply(reply, fence, transaction)).toEqual(reply);
        expect(await probe.has("paid")).toBe(true);
        expect(await messages.lookUp([request.requestId])).toMatchObject([{ state: "answered", reply }]);
        // The runtime may roll back what it cannot know to be over: that changes nothing any more.
        await transaction.rollback();
        expect(await probe.has("paid")).toBe(true);
      }),
    );

    it(
      "commits with the reply although nothing was written in it",
      transactional(async (messages, begin, _probe, context) => {
        const fence = await context.claim(messages);
        const request = context.request();
        await context.save(messages, request);
        await messages.saveReply(succeeded(request.requestId), fence, begin());
        expect(await messages.lookUp([request.requestId])).toMatchObject([{ state: "answered" }]);
      }),
    );

    it(
      "undoes everything when it is rolled back, and may be rolled back twice",
      transactional(async (messages, begin, probe, context) => {
        const fence = await context.claim(messages);
        const request = context.request();
        await context.save(messages, request);
        const transaction = begin();
        await probe.write(transaction, "paid");
        await transaction.rollback();
        await transaction.rollback();
        await begin().rollback();
        expect(await probe.has("paid")).toBe(false);
        expect(await messages.lookUp([request.requestId])).toMatchObject([{ state: "pending" }]);
        await messages.saveReply(succeeded(request.requestId), fence, null);
      }),
    );

    it(
      "is rolled back when there is a recorded reply, which is returned (INV-3, INV-6)",
      transactional(async (messages, begin, probe, context) => {
        const fence = await context.claim(messages);
        const request = context.request();
        await context.save(messages, request);
        const first = await messages.saveReply(succeeded(request.requestId, "1"), fence, null);
        const transaction = begin();
        await probe.write(transaction, "paid twice");
        expect(await messages.saveReply(succeeded(request.requestId, "2"), fence, transaction)).toEqual(
          first,
        );
        expect(await probe.has("paid twice")).toBe(false);
        expect(await messages.lookUp([request.requestId])).toMatchObject([{ reply: first }]);
      }),
    );

    it(
      "is rolled back when the shard was claimed again, and the reply is not recorded (INV-1, INV-3)",
      transactional(async (messages, begin, probe, context) => {
        const stale = await context.claim(messages);
        const request = context.request();
        await context.save(messages, request);
        const fence = await context.claim((await context.open()).messages);
        const transaction = begin();
        await probe.write(transaction, "stale");
        const saving = messages.saveReply(succeeded(request.requestId), stale, transaction);
        await expect(saving).rejects.toBeInstanceOf(FencedError);
        await transaction.rollback();
        expect(await probe.has("stale")).toBe(false);
        expect(await messages.lookUp([request.requestId])).toMatchObject([{ state: "pending" }]);
        await messages.saveReply(succeeded(request.requestId), fence, null);
      }),
    );

    it(
      "commits before a claim resolves, or not at all (INV-1)",
      transactional(async (messages, begin, probe, context) => {
        const other = (await context.open()).messages;
        for (let round = 0; round < 5; round += 1) {
          const fence = await context.claim(messages);
          const request = context.request();
          await context.save(messages, request);
          const transaction = begin();
          await probe.write(transaction, `round ${round}`);
          const claiming = other.claimShards(["default:1"]);
          const saving = messages.saveReply(succeeded(request.requestId), fence, transaction).then(
            () => true,
            (error: unknown) => {
              expect(error).toBeInstanceOf(FencedError);
              return false;
            },
          );
          await claiming;
          const atClaim = await probe.has(`round ${round}`);
          const committed = await saving;
          expect([atClaim, await probe.has(`round ${round}`)]).toEqual([committed, committed]);
          expect(await other.lookUp([request.requestId])).toMatchObject([
            { state: committed ? "answered" : "pending" },
          ]);
        }
      }),
    );

    it(
      "cannot commit after one of its statements failed, and leaves nothing behind",
      transactional(async (messages, begin, probe, context) => {
        const fence = await context.claim(messages);
        const request = context.request();
        await context.save(messages, request);
        const transaction = begin();
        await probe.write(transaction, "half");
        await expect(probe.fail(transaction)).rejects.toThrow();
        const saving = messages.saveReply(succeeded(request.requestId), fence, transaction);
        await expect(saving).rejects.toBeInstanceOf(TransactionUnavailableError);
        await transaction.rollback();
        expect(await probe.has("half")).toBe(false);
        expect(await messages.lookUp([request.requestId])).toMatchObject([{ state: "pending" }]);
        await messages.saveReply(succeeded(request.requestId), fence, null);
      }),
    );

    it(
      "writes nothing after one of its statements failed, also for a handler that goes on (INV-3)",
      transactional(async (messages, begin, probe, context) => {
        const fence = await context.claim(messages);
        const request = context.request();
        await context.save(messages, request);
        const transaction = begin();
        await probe.write(transaction, "before");
        await expect(probe.fail(transaction)).rejects.toThrow();
        // Refused, or undone with the rest: never committed by itself.
        await Promise.allSettled([probe.write(transaction, "after")]);
        const saving = messages.saveReply(succeeded(request.requestId), fence, transaction);
        await expect(saving).rejects.toBeInstanceOf(TransactionUnavailableError);
        await transaction.rollback();
        expect(await Promise.all([probe.has("before"), probe.has("after")])).toEqual([false, false]);
        expect(await messages.lookUp([request.requestId])).toMatchObject([{ state: "pending" }]);
        await messages.saveReply(succeeded(request.requestId), fence, null);
      }),
    );

    it(
      "is rolled back when the request is not known",
      transactional(async (messages, begin, probe, context) => {
        const fence = await context.claim(messages);
        const transaction = begin();
        await probe.write(transaction, "for nobody");
        const saving = messages.saveReply(succeeded(context.id()), fence, transaction);
        await expect(saving).rejects.toMatchObject({ code: "PERSISTENCE", outcome: "not-written" });
        expect(await probe.has("for nobody")).toBe(false);
      }),
    );

    it(
      "of another storage is rolled back, and refused",
      run(async ({ messages, workflows }, context) => {
        const fence = await context.claim(messages);
        const request = context.request();
        await context.save(messages, request);
        const foreign = new ForeignTransaction();
        const reply = succeeded(request.requestId);
        const saving = messages.saveReply(reply, fence, foreign);
        await expect(saving).rejects.toBeInstanceOf(TransactionUnavailableError);
        const appending = workflows.appendJournal(ORDER, [completed(0)], fence, foreign);
        await expect(appending).rejects.toBeInstanceOf(TransactionUnavailableError);
        expect(foreign.rollbacks).toBe(2);
        expect(await messages.lookUp([request.requestId])).toMatchObject([{ state: "pending" }]);
        expect(await journalOf(workflows, ORDER)).toEqual([]);
      }),
    );

    it(
      "is its own: of many at once each commits with its own reply",
      transactional(async (messages, begin, probe, context) => {
        const fence = await context.claim(messages);
        const requests = Array.from({ length: 8 }, () => context.request());
        await context.save(messages, ...requests);
        await Promise.all(
          requests.map(async ({ requestId }, index) => {
            const transaction = begin();
            await probe.write(transaction, requestId);
            if (index % 2 === 0) await messages.saveReply(succeeded(requestId), fence, transaction);
            else await transaction.rollback();
          }),
        );
        const written = await Promise.all(requests.map(({ requestId }) => probe.has(requestId)));
        expect(written).toEqual(requests.map((_, index) => index % 2 === 0));
      }),
    );
  });

  it(
    "announces what other sessions save on nobody's behalf, if it declares wake-ups",
    run(async ({ messages }, context) => {
      if (!messages.supports.wakeUps) {
        expect(typeof messages.watchPending).toBe("undefined");
        return;
      }
      const other = (await context.open()).messages;
      const woken = new Set<string>();
      const heard = new Gate();
      const end = await messages.watchPending?.((shardIds) => {
        for (const shardId of shardIds) woken.add(shardId);
        if (woken.has("default:1")) heard.open();
      });
      await context.save(other, context.request());
      await heard.passed;
      await end?.();
    }),
  );
}
