import type { PendingPage, PendingQuery, ShardId } from "@holdfast/core/adapter";
import type { StorageFactory } from "./storage-backend.ts";
import { address, failure, storageCases, succeeded } from "./storage-case.ts";
import { vitest } from "./vitest-api.ts";

/** Reading what is pending, and what puts a pending request off. */
export function messagePending(factory: StorageFactory): void {
  const { describe, expect, it } = vitest();
  const run = storageCases(factory);

  describe("readPending", () => {
    it(
      "gives due requests of the shards asked for in the order of their sequences, whoever saved them",
      run(async ({ messages }, context) => {
        const other = (await context.open()).messages;
        const sequences: number[] = [];
        for (let round = 0; round < 4; round += 1) {
          sequences.push(
            ...(await context.save(messages, context.request({ address: address("a", "default:2") }))),
          );
          sequences.push(
            ...(await context.save(other, context.request({ address: address("b", "default:1") }))),
          );
          await context.save(messages, context.request({ address: address("c", "default:3") }));
          await context.save(messages, context.request({ address: address("c", "other:1") }));
        }
        const page = await messages.readPending(query({ shardIds: ["default:1", "default:2"] }));
        expect(sequencesOf(page)).toEqual(sequences);
        expect(page.more).toBe(false);
      }),
    );

    it(
      "gives nothing for no shards, and for shards with nothing pending",
      run(async ({ messages }, context) => {
        await context.save(messages, context.request());
        const nothing: PendingPage = { requests: [], more: false, nextDueAt: null };
        expect(await messages.readPending(query({ shardIds: [] }))).toEqual(nothing);
        expect(await messages.readPending(query({ shardIds: ["default:2"] }))).toEqual(nothing);
      }),
    );

    it(
      "gives the first `limit` of them and says whether more matched",
      run(async ({ messages }, context) => {
        const sequences = await context.save(messages, ...Array.from({ length: 5 }, () => context.request()));
        const four = await messages.readPending(query({ limit: 4 }));
        expect([sequencesOf(four), four.more]).toEqual([sequences.slice(0, 4), true]);
        const five = await messages.readPending(query({ limit: 5 }));
        expect([sequencesOf(five), five.more]).toEqual([sequences, false]);
        const six = await messages.readPending(query({ limit: 6 }));
        expect([sequencesOf(six), six.more]).toEqual([sequences, false]);
      }),
    );

    it(
      "gives all of them page by page, however they are spread over shards, those that fell due among them",
      run(async ({ messages }, context) => {
        const shardIds = Array.from({ length: 12 }, (_, index): ShardId => `default:${index}`);
        const requests = Array.from({ length: 150 }, (_, index) => {
          // Most are on one shard, and what is on the last comes last.
          const shard = index >= 140 ? 11 : index % 3 > 0 ? 5 : (index * 7) % 11;
          return context.request({
            address: address("a", shardIds[shard] ?? "default:0"),
            deliverAt: index % 4 === 0 ? 500 - index : null,
          });
        });
        const sequences = await context.save(messages, ...requests);
        const read: number[] = [];
        for (let more = true; more && read.length < sequences.length;) {
          const page = await messages.readPending(
            query({ shardIds, now: 1_000, limit: 20, excludingSequences: read }),
          );
          read.push(...sequencesOf(page));
          expect(page.more).toBe(read.length < sequences.length);
          ({ more } = page);
        }
        expect(read).toEqual(sequences);
      }),
    );

    it(
      "gives large ones in as many pages as it likes, says that more follow, and gives all of them",
      run(async ({ messages }, context) => {
        const payload = JSON.stringify("0123456789abcdef".repeat(65_536));
        const requests = Array.from({ length: 12 }, () => context.request({ payload }));
        const sequences = await context.save(messages, ...requests);
        const read: number[] = [];
        for (let more = true; more && read.length < sequences.length;) {
          const page = await messages.readPending(query({ limit: 100, excludingSequences: read }));
          expect(page.requests.length).toBeGreaterThan(0);
          read.push(...sequencesOf(page));
          expect(page.more).toBe(read.length < sequences.length);
          ({ more } = page);
        }
        expect(read).toEqual(sequences);
      }),
    );

    it(
      "takes nothing: a second reader gets the same",
      run(async ({ messages }, context) => {
        await context.save(messages, context.request(), context.request());
        const first = await messages.readPending(query());
        expect(await messages.readPending(query())).toEqual(first);
        expect(await (await context.open()).messages.readPending(query())).toEqual(first);
      }),
    );

    it(
      "leaves out requests with a later deliverAt, and gives them from that moment on (INV-7)",
      run(async ({ messages }, context) => {
        const [now, early, exact, late] = await context.save(
          messages,
          context.request(),
          context.request({ deliverAt: 1_000 }),
          context.request({ deliverAt: 2_000 }),
          context.request({ deliverAt: 2_001 }),
        );
        expect(sequencesOf(await messages.readPending(query({ now: 2_000 })))).toEqual([now, early, exact]);
        expect(sequencesOf(await messages.readPending(query({ now: 2_001 })))).toEqual([
          now,
          early,
          exact,
          late,
        ]);
        // Members' clocks differ: one that is behind is not given what another one's clock made due.
        expect(sequencesOf(await messages.readPending(query({ now: 999 })))).toEqual([now]);
      }),
    );

    it(
      "orders by sequence, and not by due time",
      run(async ({ messages }, context) => {
        const sequences = await context.save(
          messages,
          context.request({ deliverAt: 3_000 }),
          context.request(),
          context.request({ deliverAt: 1_000 }),
        );
        expect(sequencesOf(await messages.readPending(query({ now: 2_000 })))).toEqual(sequences.slice(1));
        expect(sequencesOf(await messages.readPending(query({ now: 3_000 })))).toEqual(sequences);
      }),
    );

    it(
      "says the earliest deliverAt after `now` among the pending requests of these shards, whatever is due or left out",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const first = context.request({ deliverAt: 2_000, address: address("full") });
        const second = context.request({ deliverAt: 3_000 });
        const elsewhere = context.request({ deliverAt: 1_500, address: address("b", "default:2") });
        const due = [context.request(), context.request()];
        const [firstSequence = 0] = await context.save(messages, first, second, elsewhere, ...due);
        const nextDueAt = async (changes: Partial<PendingQuery>): Promise<number | null> =>
          (await messages.readPending(query(changes))).nextDueAt;

        expect(await nextDueAt({ now: 1_000 })).toBe(2_000);
        expect(await nextDueAt({ now: 1_000, shardIds: ["default:1", "default:2"] })).toBe(1_500);
        expect(await nextDueAt({ now: 1_000, limit: 1 })).toBe(2_000);
        expect(
          await nextDueAt({
            now: 1_000,
            excludingSequences: [firstSequence],
            excludingEntities: [address("full")],
          }),
        ).toBe(2_000);
        expect(await nextDueAt({ now: 2_000 })).toBe(3_000);
        expect(await nextDueAt({ now: 3_000 })).toBeNull();

        await messages.saveReply(succeeded(first.requestId), fence, null);
        expect(await nextDueAt({ now: 1_000 })).toBe(3_000);
        await messages.reschedule(second.requestId, { deliverAt: 9_000, attempts: 0 }, fence);
        expect(await nextDueAt({ now: 1_000 })).toBe(9_000);
        await messages.saveDeadLetter(
          second.requestId,
          { error: failure("no"), attempts: 1, deadSince: 1 },
          fence,
        );
        expect(await nextDueAt({ now: 1_000 })).toBeNull();
      }),
    );

    it(
      "leaves out the sequences that the caller holds already, and counts them neither for the limit nor as more",
      run(async ({ messages }, context) => {
        const sequences = await context.save(messages, ...Array.from({ length: 6 }, () => context.request()));
        const held = [sequences[0] ?? 0, sequences[2] ?? 0, 999_999_999];
        const rest = sequences.filter((sequence) => !held.includes(sequence));
        const two = await messages.readPending(query({ limit: 2, excludingSequences: held }));
        expect([sequencesOf(two), two.more]).toEqual([rest.slice(0, 2), true]);
        const four = await messages.readPending(query({ limit: 4, excludingSequences: held }));
        expect([sequencesOf(four), four.more]).toEqual([rest, false]);
      }),
    );

    it(
      "takes thousands of sequences to leave out",
      run(async ({ messages }, context) => {
        const [sequence = 0] = await context.save(messages, context.request());
        const excludingSequences = Array.from({ length: 5_000 }, (_, index) => sequence + 1 + index);
        expect(sequencesOf(await messages.readPending(query({ excludingSequences })))).toEqual([sequence]);
      }),
    );

    it(
      "leaves out the entities whose mailbox is full, and no other of the same id or type",
      run(async ({ messages }, context) => {
        const other = await context.save(
          messages,
          context.request({ address: address("b") }),
          context.request({ address: address("A") }),
          context.request({ address: address("a", "default:1", "Other") }),
        );
        await context.save(messages, context.request(), context.request());
        const last = await context.save(messages, context.request({ address: address("b") }));
        const page = await messages.readPending(
          query({ limit: 4, excludingEntities: [address("a"), address("z")] }),
        );
        expect([sequencesOf(page), page.more]).toEqual([[...other, ...last], false]);
      }),
    );

    it(
      "leaves out what is answered or dead",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const answered = context.request();
        const dead = context.request();
        await context.save(messages, answered, dead);
        const [sequence] = await context.save(messages, context.request());
        await messages.saveReply(succeeded(answered.requestId), fence, null);
        await messages.saveDeadLetter(
          dead.requestId,
          { error: failure("no"), attempts: 1, deadSince: 1 },
          fence,
        );
        expect(sequencesOf(await messages.readPending(query()))).toEqual([sequence]);
      }),
    );

    it(
      "gives every request exactly once to a reader that leaves out what it holds, while others save",
      run(async ({ messages }, context) => {
        const other = (await context.open()).messages;
        const saving = Array.from({ length: 120 }, () => other.saveRequest(context.request(), 0, null));
        const held: number[] = [];
        const read = async (): Promise<number> => {
          const page = await messages.readPending(query({ limit: 7, excludingSequences: held }));
          held.push(...sequencesOf(page));
          return page.requests.length;
        };
        await read();
        const saved = (await Promise.all(saving)).map(({ sequence }) => sequence);
        for (let round = 0; round < saved.length && (await read()) > 0; round += 1);
        expect(held.toSorted((a, b) => a - b)).toEqual(saved.toSorted((a, b) => a - b));
      }),
    );
  });

  describe("recordAttempt", () => {
    it(
      "sets the count of attempts for every session, and may be repeated",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const request = context.request();
        const [sequence] = await context.save(messages, request);
        for (const attempts of [1, 4, 4]) await messages.recordAttempt(request.requestId, attempts, fence);
        const page = await (await context.open()).messages.readPending(query());
        expect(page.requests).toEqual([{ envelope: request, sequence, attempts: 4 }]);
      }),
    );

    it(
      "leaves a request that was put off for as long as it was (INV-7)",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const request = context.request({ deliverAt: 2_000 });
        const { requestId } = request;
        await context.save(messages, request);
        for (const deliverAt of [2_000, 5_000]) {
          await messages.reschedule(requestId, { deliverAt, attempts: 0 }, fence);
          await messages.recordAttempt(requestId, 1, fence);
          expect(await messages.lookUp([requestId])).toEqual([
            { state: "pending", requestId, deliverAt, attempts: 1 },
          ]);
          expect(await messages.readPending(query({ now: deliverAt - 1 }))).toEqual({
            requests: [],
            more: false,
            nextDueAt: deliverAt,
          });
        }
      }),
    );

    it(
      "does nothing if the request is not pending",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const answered = context.request();
        const dead = context.request();
        await context.save(messages, answered, dead);
        await messages.saveReply(succeeded(answered.requestId), fence, null);
        await messages.saveDeadLetter(
          dead.requestId,
          { error: failure("no"), attempts: 1, deadSince: 1 },
          fence,
        );
        const ids = [answered.requestId, dead.requestId];
        const before = await messages.lookUp(ids);
        for (const requestId of [...ids, context.id()]) await messages.recordAttempt(requestId, 5, fence);
        expect(await messages.lookUp(ids)).toEqual(before);
      }),
    );
  });

  describe("reschedule", () => {
    it(
      "puts a request off to a later time, or makes it due now, and sets its attempts",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const request = context.request();
        const { requestId } = request;
        const [sequence] = await context.save(messages, request);
        await messages.recordAttempt(requestId, 4, fence);
        for (let repeat = 0; repeat < 2; repeat += 1) {
          await messages.reschedule(requestId, { deliverAt: 5_000, attempts: 0 }, fence);
          expect(await messages.readPending(query({ now: 4_999 }))).toEqual({
            requests: [],
            more: false,
            nextDueAt: 5_000,
          });
        }
        expect(await messages.lookUp([requestId])).toEqual([
          { state: "pending", requestId, deliverAt: 5_000, attempts: 0 },
        ]);
        expect(sequencesOf(await messages.readPending(query({ now: 5_000 })))).toEqual([sequence]);

        await messages.reschedule(requestId, { deliverAt: 3_000, attempts: 0 }, fence);
        expect(await messages.readPending(query({ now: 2_999 }))).toMatchObject({ nextDueAt: 3_000 });
        expect(sequencesOf(await messages.readPending(query({ now: 3_000 })))).toEqual([sequence]);

        await messages.reschedule(requestId, { deliverAt: null, attempts: 3 }, fence);
        const page = await messages.readPending(query({ now: 0 }));
        expect(page.requests).toMatchObject([{ sequence, attempts: 3 }]);
        expect(page.nextDueAt).toBeNull();
      }),
    );

    it.each([
      ["of its own", 1_000],
      ["none", null],
    ])(
      "leaves the request as it was accepted, with the deliverAt that its sender gave it: %s",
      (_what, deliverAt) =>
        run(async ({ messages }, context) => {
          const fence = await context.claim(messages);
          const request = context.request({ deliverAt });
          await context.save(messages, request);
          for (const until of [5_000, null]) {
            await messages.reschedule(request.requestId, { deliverAt: until, attempts: 1 }, fence);
            const { requests } = await messages.readPending(query({ now: 6_000 }));
            expect(requests).toMatchObject([{ envelope: request, attempts: 1 }]);
          }
        })(),
    );

    it(
      "keeps the request's place in the order of sequences (INV-4)",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const requests = Array.from({ length: 3 }, () => context.request());
        const sequences = await context.save(messages, ...requests);
        const first = requests[0]?.requestId ?? "";
        await messages.reschedule(first, { deliverAt: 5_000, attempts: 1 }, fence);
        expect(sequencesOf(await messages.readPending(query({ now: 4_000 })))).toEqual(sequences.slice(1));
        expect(sequencesOf(await messages.readPending(query({ now: 6_000 })))).toEqual(sequences);
        await messages.reschedule(first, { deliverAt: null, attempts: 1 }, fence);
        expect(sequencesOf(await messages.readPending(query({ now: 4_000 })))).toEqual(sequences);
      }),
    );

    it(
      "does nothing if the request is not pending",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const answered = context.request();
        const dead = context.request();
        await context.save(messages, answered, dead);
        await messages.saveReply(succeeded(answered.requestId), fence, null);
        await messages.saveDeadLetter(
          dead.requestId,
          { error: failure("no"), attempts: 1, deadSince: 1 },
          fence,
        );
        const ids = [answered.requestId, dead.requestId];
        const before = await messages.lookUp(ids);
        for (const requestId of [...ids, context.id()]) {
          await messages.reschedule(requestId, { deliverAt: null, attempts: 0 }, fence);
        }
        expect(await messages.lookUp(ids)).toEqual(before);
        expect((await messages.readPending(query())).requests).toEqual([]);
      }),
    );

    it(
      "gives each of many that are put off or begun in one turn its own, and wakes none that was only begun",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const requests = Array.from({ length: 8 }, () => context.request({ deliverAt: 5_000 }));
        await context.save(messages, ...requests);
        await Promise.all(
          requests.map(({ requestId }, index) =>
            index % 2 === 0
              ? messages.recordAttempt(requestId, index + 1, fence)
              : messages.reschedule(requestId, { deliverAt: 1_000 * index, attempts: index + 1 }, fence),
          ),
        );
        const known = await messages.lookUp(requests.map(({ requestId }) => requestId));
        const byId = new Map(known.map((state) => [state.requestId, state]));
        expect(requests.map(({ requestId }) => byId.get(requestId))).toMatchObject(
          requests.map((_, index) => ({
            state: "pending",
            attempts: index + 1,
            deliverAt: index % 2 === 0 ? 5_000 : 1_000 * index,
          })),
        );
        const { requests: due } = await messages.readPending(query({ now: 4_999 }));
        expect(due.map(({ envelope }) => envelope.requestId)).toEqual(
          [1, 3].map((index) => requests[index]?.requestId),
        );
        // All of a turn.
        await Promise.all(
          requests.map(({ requestId }, index) =>
            messages.reschedule(requestId, { deliverAt: 10 * index + 10, attempts: index }, fence),
          ),
        );
        const page = await messages.readPending(query({ now: 40 }));
        expect(page.requests.map(({ envelope, attempts }) => [envelope.requestId, attempts])).toEqual(
          requests.slice(0, 4).map(({ requestId }, index) => [requestId, index]),
        );
        expect(page.nextDueAt).toBe(50);
      }),
    );

    it.each(["answered", "dead"])(
      "leaves nothing of where a request stood before: once it is %s, nothing is pending",
      async (end) => {
        await run(async ({ messages }, context) => {
          const fence = await context.claim(messages);
          for (const times of [[5_000], [null], [5_000, null], [null, 5_000], [5_000, 6_000, null]]) {
            for (const deliverAt of [null, 4_000]) {
              const request = context.request({ deliverAt });
              const { requestId } = request;
              await context.save(messages, request);
              for (const time of times)
                await messages.reschedule(requestId, { deliverAt: time, attempts: 1 }, fence);
              if (end === "answered") await messages.saveReply(succeeded(requestId), fence, null);
              else
                await messages.saveDeadLetter(
                  requestId,
                  { error: failure("no"), attempts: 1, deadSince: 1 },
                  fence,
                );
            }
          }
          for (const now of [1_000, 10_000])
            expect(await messages.readPending(query({ now }))).toEqual({
              requests: [],
              more: false,
              nextDueAt: null,
            });
        })();
      },
    );
  });
}

function query(changes: Partial<PendingQuery> = {}): PendingQuery {
  return {
    shardIds: ["default:1"],
    now: 1_000,
    limit: 100,
    excludingSequences: [],
    excludingEntities: [],
    ...changes,
  };
}

function sequencesOf(page: PendingPage): number[] {
  return page.requests.map(({ sequence }) => sequence);
}
