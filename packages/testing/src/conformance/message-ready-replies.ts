import { FencedError, type MessageStorage, type RequestState } from "@holdfast/core/adapter";
import type { StorageFactory } from "./storage-backend.ts";
import { failure, storageCases, succeeded } from "./storage-case.ts";
import { vitest } from "./vitest-api.ts";

/** Replies that are ready when their request is saved. */
export function messageReadyReplies(factory: StorageFactory): void {
  const { describe, expect, it } = vitest();
  const run = storageCases(factory);

  describe("saveRequest with a reply that is ready", () => {
    const pendingOf = (messages: MessageStorage) =>
      messages.readPending({
        shardIds: ["default:1"],
        now: 0,
        limit: 9,
        excludingSequences: [],
        excludingEntities: [],
      });

    it(
      "records both, or asks for no reply",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const request = context.request();
        const { requestId } = request;
        const reply = succeeded(requestId, '"ready"');
        let asked = 0;
        const saved = await messages.saveRequest(request, 1, fence, () => {
          asked += 1;
          return reply;
        });
        const isAnswered = saved.outcome === "accepted" && saved.isAnswered === true;
        // What it asked for it has recorded.
        expect(asked).toBe(isAnswered ? 1 : 0);
        expect(await messages.lookUp([requestId])).toEqual([
          isAnswered
            ? { state: "answered", requestId, reply }
            : { state: "pending", requestId, attempts: 1, deliverAt: null },
        ]);
        expect((await pendingOf(messages)).requests.length).toBe(isAnswered ? 0 : 1);
        // Recorded apart it is the same.
        expect(await messages.saveReply(reply, fence, null)).toEqual(reply);
        expect((await pendingOf(messages)).requests).toEqual([]);
      }),
    );

    it.each([0, 1, 3, 8])(
      "is there with its request or not at all, for whoever reads or claims meanwhile (INV-1, after %i turns)",
      async (turns) => {
        await run(async ({ messages: old }, context) => {
          const next = (await context.open()).messages;
          const fence = await context.claim(old);
          const requests = Array.from({ length: 20 }, () => context.request());
          const states = async (): Promise<ReadonlyMap<string, RequestState["state"]>> => {
            const known = await next.lookUp(requests.map(({ requestId }) => requestId));
            return new Map(known.map(({ requestId, state }) => [requestId, state]));
          };
          const saving = Promise.allSettled(
            requests.map((request) =>
              old.saveRequest(request, 1, fence, () => succeeded(request.requestId, "1")),
            ),
          );
          for (let turn = 0; turn < turns; turn += 1) await Promise.resolve();
          const [meanwhile] = await Promise.all([states(), next.claimShards(["default:1"])]);
          const atClaim = await states();
          const saved = await saving;
          expect(await states()).toEqual(atClaim);
          for (const [index, { requestId }] of requests.entries()) {
            const outcome = saved[index];
            if (outcome?.status !== "fulfilled") {
              expect(outcome?.reason).toBeInstanceOf(FencedError);
              expect(atClaim.get(requestId)).toBeUndefined();
            } else {
              const isAnswered = outcome.value.outcome === "accepted" && outcome.value.isAnswered === true;
              const state = isAnswered ? "answered" : "pending";
              expect(atClaim.get(requestId)).toBe(state);
              expect([state, undefined]).toContain(meanwhile.get(requestId));
            }
          }
        })();
      },
    );

    it(
      "is answered at that time, by which retention goes",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const request = context.request();
        const { requestId } = request;
        const reply = succeeded(requestId, '"ready"');
        const saved = await messages.saveRequest(request, 1, fence, () => reply);
        if (saved.outcome !== "accepted" || saved.isAnswered !== true)
          await messages.saveReply(reply, fence, null);
        const old = { entityType: "Counter", limit: 10 };
        expect(await messages.forgetAnswered({ ...old, answeredBefore: 1 })).toBe(0);
        expect(await messages.forgetAnswered({ ...old, answeredBefore: 4_102_444_800_000 })).toBe(1);
        expect(await messages.lookUp([requestId])).toEqual([]);
      }),
    );

    it(
      "asks for none without a fence: nobody's handler runs",
      run(async ({ messages }, context) => {
        const request = context.request();
        let asked = 0;
        const saved = await messages.saveRequest(request, 0, null, () => {
          asked += 1;
          return succeeded(request.requestId);
        });
        expect([asked, saved]).toEqual([0, { outcome: "accepted", sequence: expect.any(Number) }]);
        expect((await pendingOf(messages)).requests).toMatchObject([{ envelope: request, attempts: 0 }]);
      }),
    );

    it(
      "accepts the request alone where none is ready yet",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const request = context.request();
        let asked = 0;
        const saved = await messages.saveRequest(request, 1, fence, () => {
          asked += 1;
          return null;
        });
        expect(asked).toBeLessThanOrEqual(1);
        expect(saved).toEqual({ outcome: "accepted", sequence: expect.any(Number) });
        expect((await pendingOf(messages)).requests).toMatchObject([{ envelope: request, attempts: 1 }]);
      }),
    );

    it(
      "changes no reply that there is (INV-6), and is told which",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const known = context.request();
        const { requestId } = known;
        await context.save(messages, known);
        const first = await messages.saveReply(succeeded(requestId, "1"), fence, null);
        const again = context.request({ requestId });
        expect(await messages.saveRequest(again, 1, fence, () => succeeded(requestId, "2"))).toMatchObject({
          outcome: "duplicate",
          existing: { state: "answered", reply: first },
        });
        expect(await messages.lookUp([requestId])).toEqual([{ state: "answered", requestId, reply: first }]);
      }),
    );

    it(
      "records none of a duplicate, alone or among others",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const [pending, dead] = [context.request(), context.request()];
        await context.save(messages, pending, dead);
        const letter = { error: failure("dead"), attempts: 3, deadSince: 1 };
        await messages.saveDeadLetter(dead.requestId, letter, fence);
        const known = await messages.lookUp([pending.requestId, dead.requestId]);
        for (const others of [0, 2]) {
          const saved = [pending, dead].map((request) =>
            messages.saveRequest(request, 1, fence, () => succeeded(request.requestId, "1")),
          );
          const more = Array.from({ length: others }, () => context.request());
          await Promise.all(
            more.map((request) =>
              messages.saveRequest(request, 1, fence, () => succeeded(request.requestId, "2")),
            ),
          );
          expect((await Promise.all(saved)).map(({ outcome }) => outcome)).toEqual([
            "duplicate",
            "duplicate",
          ]);
          expect(await messages.lookUp([pending.requestId, dead.requestId])).toEqual(known);
        }
      }),
    );

    it(
      "writes neither once the shard was claimed again (INV-1)",
      run(async ({ messages }, context) => {
        const stale = await context.claim(messages);
        await context.claim((await context.open()).messages);
        const request = context.request();
        const { requestId } = request;
        await expect(
          messages.saveRequest(request, 1, stale, () => succeeded(requestId, "1")),
        ).rejects.toBeInstanceOf(FencedError);
        expect(await messages.lookUp([requestId])).toEqual([]);
      }),
    );
  });
}
