import {
  FencedError,
  PersistenceError,
  TransactionUnavailableError,
  type MessageStorage,
  type StorageTransaction,
} from "@holdfast/core/adapter";
import { journalOf, ORDER } from "./execution-case.ts";
import { Gate } from "./gate.ts";
import type { StorageFactory, TransactionProbe } from "./storage-backend.ts";
import { address, completed, failure, storageCases, succeeded, type StorageCase } from "./storage-case.ts";
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
      begin: (after?: Promise<unknown>) => StorageTransaction,
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
      const begin = (after?: Promise<unknown>): StorageTransaction => {
        if (messages.beginTransaction === undefined)
          throw new Error("The storage supports transactions and begins none.");
        return messages.beginTransaction(after);
      };
      await body(messages, begin, probe, context);
    });

  /** Sees to it that a write was refused, with whichever of the errors that say for sure that it was not written. */
  const expectNotWritten = async (write: Promise<unknown>): Promise<void> => {
    const error = await write.then(
      () => "resolved",
      (reason: unknown) => reason,
    );
    const said =
      error instanceof PersistenceError ? { outcome: "not-written" } : { code: "TRANSACTION_UNAVAILABLE" };
    expect(error).toMatchObject(said);
  };

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
      "that was rolled back commits nothing any more: no reply is recorded without its effects (INV-3)",
      run(async ({ messages, workflows }, context) => {
        const probe = context.backend.transactions;
        if (messages.beginTransaction === undefined || probe === undefined) return;
        const fence = await context.claim(messages);
        const request = context.request();
        await context.save(messages, request);
        const [replying, appending] = [messages.beginTransaction(), messages.beginTransaction()];
        for (const transaction of [replying, appending]) {
          await probe.write(transaction, "undone");
          await transaction.rollback();
          // A handler that goes on all the same.
          await expect(probe.write(transaction, "after its end")).rejects.toThrow();
        }
        const reply = succeeded(request.requestId);
        await expectNotWritten(messages.saveReply(reply, fence, replying));
        await expectNotWritten(workflows.appendJournal(ORDER, [completed(0)], fence, appending));
        expect(await messages.lookUp([request.requestId])).toMatchObject([{ state: "pending" }]);
        expect(await journalOf(workflows, ORDER)).toEqual([]);
        expect(await Promise.all([probe.has("undone"), probe.has("after its end")])).toEqual([false, false]);
        await messages.saveReply(reply, fence, null);
      }),
    );

    it(
      "that was committed is over: nothing goes into it or with it any more",
      transactional(async (messages, begin, probe, context) => {
        const fence = await context.claim(messages);
        const [first, second, third] = [context.request(), context.request(), context.request()];
        await context.save(messages, first, second, third);
        const transaction = begin();
        await probe.write(transaction, "paid");
        await messages.saveReply(succeeded(first.requestId), fence, transaction);
        await expect(probe.write(transaction, "after its end")).rejects.toThrow();
        // Nor into the next one, which may have the connection now.
        const next = begin();
        await probe.write(next, "next");
        await expect(probe.write(transaction, "after its end")).rejects.toThrow();
        await messages.saveReply(succeeded(third.requestId), fence, next);
        expect(await probe.has("next")).toBe(true);
        await expectNotWritten(messages.saveReply(succeeded(second.requestId), fence, transaction));
        expect(await messages.lookUp([second.requestId])).toMatchObject([{ state: "pending" }]);
        expect(await Promise.all([probe.has("paid"), probe.has("after its end")])).toEqual([true, false]);
      }),
    );

    it(
      "begins with its first statement, and not before what it is to come after is over",
      transactional(async (messages, begin, probe, context) => {
        const fence = await context.claim(messages);
        const [request, other] = [context.request(), context.request()];
        await context.save(messages, request);
        const over = new Gate();
        let isWritten = false;
        const transaction = begin(over.passed);
        const writing = probe.write(transaction, "paid").then(() => (isWritten = true));
        // It holds nothing that this needs, and nor do those that have no statement.
        const idle = Array.from({ length: 50 }, () => begin());
        await context.save(messages, other);
        await messages.saveReply(succeeded(other.requestId), fence, null);
        expect(isWritten).toBe(false);
        over.open();
        await writing;
        await messages.saveReply(succeeded(request.requestId), fence, transaction);
        expect(await probe.has("paid")).toBe(true);
        for (const each of idle) await each.rollback();
      }),
    );

    it(
      "takes what it answers off the dead letters, and retention goes by that time",
      transactional(async (messages, begin, probe, context) => {
        const fence = await context.claim(messages);
        const { requestId } = context.request();
        await context.save(messages, context.request({ requestId }));
        await messages.saveDeadLetter(requestId, { error: failure("no"), attempts: 3, deadSince: 1 }, fence);
        const transaction = begin();
        await probe.write(transaction, "after all");
        const reply = succeeded(requestId);
        expect(await messages.saveReply(reply, fence, transaction)).toEqual(reply);
        expect(await messages.lookUp([requestId])).toEqual([{ state: "answered", requestId, reply }]);
        expect(await messages.listDeadLetters({ limit: 10, after: null })).toEqual([]);
        const old = { entityType: "Counter", limit: 10 };
        expect(await messages.forgetAnswered({ ...old, answeredBefore: 2 })).toBe(0);
        expect(await messages.forgetAnswered({ ...old, answeredBefore: 4_102_444_800_000 })).toBe(1);
        expect(await probe.has("after all")).toBe(true);
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
        for (const fail of [probe.fail.bind(probe), probe.failAlone?.bind(probe)]) {
          if (fail === undefined) continue;
          const request = context.request();
          await context.save(messages, request);
          const transaction = begin();
          await probe.write(transaction, "half");
          await expect(fail(transaction)).rejects.toThrow();
          const saving = messages.saveReply(succeeded(request.requestId), fence, transaction);
          await expect(saving).rejects.toBeInstanceOf(TransactionUnavailableError);
          await transaction.rollback();
          expect(await probe.has("half")).toBe(false);
          expect(await messages.lookUp([request.requestId])).toMatchObject([{ state: "pending" }]);
          await messages.saveReply(succeeded(request.requestId), fence, null);
        }
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
      "that is open when its session is closed is undone, and holds up nobody",
      run(async (session, context) => {
        const probe = context.backend.transactions;
        if (session.messages.beginTransaction === undefined || probe === undefined) return;
        const fence = await context.claim(session.messages);
        const request = context.request();
        await context.save(session.messages, request);
        const transaction = session.messages.beginTransaction();
        await probe.write(transaction, "left behind");
        await session.close();
        await expect(probe.write(transaction, "after the end")).rejects.toThrow();
        await expectNotWritten(session.messages.saveReply(succeeded(request.requestId), fence, transaction));
        const { messages } = await context.open();
        expect(await messages.lookUp([request.requestId])).toMatchObject([{ state: "pending" }]);
        await messages.saveReply(succeeded(request.requestId), fence, null);
        expect(await probe.has("left behind")).toBe(false);
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
    "announces one save after the other, of each shard, and nothing to who ended it",
    run(async ({ messages }, context) => {
      if (messages.watchPending === undefined) return;
      const other = (await context.open()).messages;
      let late = 0;
      const endEarly = await messages.watchPending(() => (late += 1));
      let heard = new Gate();
      let awaited = "";
      const end = await messages.watchPending((shardIds) => {
        if (shardIds.some((shardId) => shardId === awaited)) heard.open();
      });
      for (const [round, shardId] of (
        ["default:1", "default:2", "other:1", "default:1"] as const
      ).entries()) {
        if (round === 2) {
          await endEarly();
          late = 0;
        }
        heard = new Gate();
        awaited = shardId;
        await context.save(other, context.request({ address: address("a", shardId) }));
        await heard.passed;
      }
      await end();
      expect(late).toBe(0);
    }),
  );

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
