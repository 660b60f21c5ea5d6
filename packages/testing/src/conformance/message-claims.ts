import {
  FencedError,
  type Fence,
  type MessageStorage,
  type PendingPage,
  type ShardId,
} from "@holdfast/core/adapter";
import type { StorageFactory } from "./storage-backend.ts";
import { address, failure, storageCases, succeeded } from "./storage-case.ts";
import { vitest } from "./vitest-api.ts";

/** Epochs: claims, fenced writes, and claims that race with writes (INV-1). */
export function messageClaims(factory: StorageFactory): void {
  const { describe, expect, it } = vitest();
  const run = storageCases(factory);

  describe("claimShards", () => {
    it(
      "starts a shard that was never claimed at 1",
      run(async ({ messages }) => {
        expect(await messages.claimShards(["default:1", "other group:0"])).toEqual([1, 1]);
      }),
    );

    it(
      "raises each shard's epoch and returns the new ones in the order asked for",
      run(async ({ messages }) => {
        await messages.claimShards(["default:1"]);
        await messages.claimShards(["default:1"]);
        const [second, first] = await messages.claimShards(["default:2", "default:1"]);
        expect(first).toBeGreaterThanOrEqual(3);
        expect(second).toBe(1);
      }),
    );

    it(
      "raises the epochs that another session left",
      run(async ({ messages }, context) => {
        const mine = await context.claim(messages);
        const theirs = await context.claim((await context.open()).messages);
        const mineAgain = await context.claim(messages);
        expect(theirs.epoch).toBeGreaterThan(mine.epoch);
        expect(mineAgain.epoch).toBeGreaterThan(theirs.epoch);
      }),
    );

    it(
      "keeps the epochs when every session is closed",
      run(async (session, context) => {
        const before = await context.claim(session.messages);
        await session.close();
        const after = await context.claim((await context.open()).messages);
        expect(after.epoch).toBeGreaterThan(before.epoch);
      }),
    );

    it(
      "takes an empty list",
      run(async ({ messages }) => {
        expect(await messages.claimShards([])).toEqual([]);
      }),
    );

    it(
      "gives two sessions that claim the same shards at once different epochs, in whatever order they name them",
      run(async ({ messages }, context) => {
        const other = (await context.open()).messages;
        const shardIds = Array.from({ length: 40 }, (_, number): ShardId => `default:${number}`);
        const backwards = shardIds.toReversed();
        const rounds = await Promise.all(
          Array.from({ length: 4 }, async () => {
            const [mine, theirs] = await Promise.all([
              messages.claimShards(shardIds),
              other.claimShards(backwards),
            ]);
            return { mine, theirs: theirs.toReversed() };
          }),
        );
        for (let shard = 0; shard < shardIds.length; shard += 1) {
          const epochs = rounds.flatMap(({ mine, theirs }) => [mine[shard], theirs[shard]]);
          expect(new Set(epochs).size).toBe(8);
        }
      }),
    );
  });

  describe("a write under an older epoch", () => {
    type Write = (messages: MessageStorage, fence: Fence, requestId: string) => Promise<unknown>;
    const writes: Readonly<Record<string, Write>> = {
      recordAttempt: (messages, fence, requestId) => messages.recordAttempt(requestId, 1, fence),
      reschedule: (messages, fence, requestId) =>
        messages.reschedule(requestId, { deliverAt: null, attempts: 3 }, fence),
      saveReply: (messages, fence, requestId) => messages.saveReply(succeeded(requestId), fence, null),
      saveChunk: (messages, fence, requestId) =>
        messages.saveChunk({ requestId, index: 0, value: "1" }, fence),
      saveDeadLetter: (messages, fence, requestId) =>
        messages.saveDeadLetter(requestId, { error: failure("stale"), attempts: 1, deadSince: 1 }, fence),
    };

    it.each(Object.keys(writes))("is refused with FencedError and changes nothing: %s", async (method) => {
      await run(async ({ messages }, context) => {
        const stale = await context.claim(messages);
        const { requestId } = context.request();
        await context.save(messages, context.request({ requestId }));
        await context.claim((await context.open()).messages);
        const before = await messages.lookUp([requestId]);

        const refused = writes[method]?.(messages, stale, requestId);
        await expect(refused).rejects.toBeInstanceOf(FencedError);
        await expect(refused).rejects.toMatchObject({ code: "FENCED", shardId: "default:1" });
        // Nobody ever claimed this one, so that nobody can have its epoch.
        const never = writes[method]?.(messages, { shardId: "default:9", epoch: 1 }, requestId);
        await expect(never).rejects.toBeInstanceOf(FencedError);

        expect(await messages.lookUp([requestId])).toEqual(before);
        expect(await messages.readChunks(requestId, 0)).toEqual({ chunks: [], saved: 0 });
        expect(await messages.listDeadLetters({ limit: 10, after: null })).toEqual([]);
      })();
    });

    it.each(Object.keys(writes))(
      "is refused with FencedError, too, where it has nothing to do: %s",
      async (method) => {
        await run(async ({ messages }, context) => {
          const stale = await context.claim(messages);
          const [answered, dead] = [context.request(), context.request()];
          await context.save(messages, answered, dead);
          const ids = [answered.requestId, dead.requestId];
          for (const requestId of ids) await messages.saveChunk({ requestId, index: 0, value: "0" }, stale);
          await messages.saveReply(succeeded(answered.requestId, "7"), stale, null);
          const letter = { error: failure("no"), attempts: 2, deadSince: 1 };
          await messages.saveDeadLetter(dead.requestId, letter, stale);
          await context.claim((await context.open()).messages);
          const known = async (): Promise<unknown[]> =>
            Promise.all(
              ids.map(async (id) => [await messages.lookUp([id]), await messages.readChunks(id, 0)]),
            );
          const before = await known();
          for (const requestId of [...ids, context.id()])
            await expect(writes[method]?.(messages, stale, requestId)).rejects.toBeInstanceOf(FencedError);
          expect(await known()).toEqual(before);
        })();
      },
    );

    it(
      "is refused however far behind it is, and at each index of a stream",
      run(async ({ messages }, context) => {
        const stale = await context.claim(messages);
        const request = context.request();
        const { requestId } = request;
        await context.save(messages, request);
        await messages.saveChunk({ requestId, index: 0, value: "0" }, stale);
        const other = (await context.open()).messages;
        for (let claims = 0; claims < 4; claims += 1) {
          await context.claim(other);
          for (const index of [0, 1, 2]) {
            const saving = messages.saveChunk({ requestId, index, value: "stale" }, stale);
            await expect(saving).rejects.toBeInstanceOf(FencedError);
          }
          const replying = messages.saveReply(succeeded(requestId), stale, null);
          await expect(replying).rejects.toBeInstanceOf(FencedError);
        }
        const kept = { chunks: [{ requestId, index: 0, value: "0" }], saved: 1 };
        expect(await messages.readChunks(requestId, 0)).toEqual(kept);
        expect(await messages.lookUp([requestId])).toMatchObject([{ state: "pending" }]);
      }),
    );

    it.each(Object.keys(writes))("comes before a claim resolves, or never (INV-1): %s", async (method) => {
      await run(async ({ messages: old }, context) => {
        const next = (await context.open()).messages;
        // Later and later: the claim meets the write at each point of its way.
        for (let turns = 0; turns < 12; turns += 1) {
          const fence = await context.claim(old);
          const ids = Array.from({ length: 8 }, () => context.id());
          await context.save(old, ...ids.map((id) => context.request({ requestId: id })));
          const seen = (): Promise<unknown[]> =>
            Promise.all(ids.map(async (id) => [await next.lookUp([id]), await next.readChunks(id, 0)]));
          const before = await seen();
          const writing = Promise.allSettled(ids.map((id) => writes[method]?.(old, fence, id)));
          for (let turn = 0; turn < turns; turn += 1) await Promise.resolve();
          await next.claimShards(["default:1"]);
          const atClaim = await seen();
          const written = await writing;
          expect(await seen()).toEqual(atClaim);
          for (const [index, outcome] of written.entries()) {
            if (outcome.status === "fulfilled") expect(atClaim[index]).not.toEqual(before[index]);
            else {
              expect(outcome.reason).toBeInstanceOf(FencedError);
              expect(atClaim[index]).toEqual(before[index]);
            }
          }
        }
      })();
    });

    it(
      "is refused with FencedError and changes nothing: saveRequest",
      run(async ({ messages }, context) => {
        const stale = await context.claim(messages);
        await context.claim((await context.open()).messages);
        const request = context.request({ deduplicationKey: "key" });
        await expect(messages.saveRequest(request, 1, stale)).rejects.toBeInstanceOf(FencedError);
        expect(await messages.lookUp([request.requestId])).toEqual([]);
        expect(await messages.lookUpByKey(request.address, request.tag, "key")).toBeNull();
        // Nobody ever claimed this one.
        const unclaimed = context.request({ address: address("a", "default:9") });
        const never = messages.saveRequest(unclaimed, 1, { shardId: "default:9", epoch: 1 });
        await expect(never).rejects.toBeInstanceOf(FencedError);
        expect(await messages.lookUp([unclaimed.requestId])).toEqual([]);
      }),
    );

    it(
      "is refused with FencedError, too, where the request is a duplicate of one that is there",
      run(async ({ messages }, context) => {
        const stale = await context.claim(messages);
        const request = context.request({ deduplicationKey: "key" });
        await messages.saveRequest(request, 1, stale);
        await context.claim((await context.open()).messages);
        for (const repeated of [request, context.request({ deduplicationKey: "key" })])
          await expect(messages.saveRequest(repeated, 1, stale)).rejects.toBeInstanceOf(FencedError);
      }),
    );

    it(
      "does not take valid writes of the same moment down with it",
      run(async ({ messages }, context) => {
        const stale = await context.claim(messages, "default:1");
        const held = await context.claim(messages, "default:2");
        await context.claim((await context.open()).messages, "default:1");
        const [first, second, third] = await Promise.allSettled([
          messages.saveRequest(context.request({ address: address("b", "default:2") }), 0, held),
          messages.saveRequest(context.request(), 0, stale),
          messages.saveRequest(context.request({ address: address("c", "default:2") }), 0, held),
        ]);
        expect([first.status, second.status, third.status]).toEqual(["fulfilled", "rejected", "fulfilled"]);
      }),
    );
  });

  it(
    "refuses nothing of the latest epoch, of another shard, or that is written on nobody's behalf",
    run(async ({ messages }, context) => {
      const other = await context.claim(messages, "default:2");
      await context.claim(messages);
      const latest = await context.claim((await context.open()).messages);
      const saved = await Promise.all([
        messages.saveRequest(context.request(), 1, latest),
        messages.saveRequest(context.request({ address: address("b", "default:2") }), 1, other),
        messages.saveRequest(context.request(), 0, null),
      ]);
      expect(saved.map(({ outcome }) => outcome)).toEqual(["accepted", "accepted", "accepted"]);
    }),
  );

  it(
    "refuses nothing of what an owner writes in one turn that took the shard over from another session",
    run(async ({ messages }, context) => {
      await context.claim(messages);
      const next = (await context.open()).messages;
      const latest = await context.claim(next);
      const requests = Array.from({ length: 6 }, () => context.request());
      const saved = await Promise.all(requests.map((request) => next.saveRequest(request, 1, latest)));
      expect(saved.map(({ outcome }) => outcome)).toEqual(requests.map(() => "accepted"));
      const replies = requests.map(({ requestId }) => succeeded(requestId));
      expect(await Promise.all(replies.map((reply) => next.saveReply(reply, latest, null)))).toEqual(replies);
    }),
  );

  it.each([0, 1, 5])(
    "lets no write of the old owner pass once a claim resolved, those in flight included (INV-1, after %i turns)",
    async (turns) => {
      await run(async ({ messages: old }, context) => {
        const next = (await context.open()).messages;
        const fence = await context.claim(old);
        const requests = Array.from({ length: 60 }, () => context.request());
        const everything = {
          shardIds: ["default:1"] as const,
          now: 0,
          limit: 100,
          excludingSequences: [],
          excludingEntities: [],
        };

        const writes = requests.slice(0, 30).map((request) => old.saveRequest(request, 1, fence));
        for (let turn = 0; turn < turns; turn += 1) await Promise.resolve();
        const claim = next.claimShards(["default:1"]);
        writes.push(...requests.slice(30).map((request) => old.saveRequest(request, 1, fence)));
        const settled = Promise.allSettled(writes);
        await claim;
        const atClaim = idsOf(await next.readPending(everything));

        const accepted = (await settled).flatMap((write, index) =>
          write.status === "fulfilled" ? [requests[index]?.requestId ?? ""] : [],
        );
        const refused = (await settled).filter((write) => write.status === "rejected");
        expect(idsOf(await next.readPending(everything))).toEqual(atClaim);
        expect(accepted.toSorted()).toEqual(atClaim.toSorted());
        for (const write of refused) expect(write.reason).toBeInstanceOf(FencedError);
      })();
    },
  );
}

function idsOf(page: PendingPage): string[] {
  return page.requests.map(({ envelope }) => envelope.requestId);
}
