import { createHash } from "node:crypto";
import { SerializationError, shardIdOf, type Envelope, type MessageStorage } from "@holdfast/core/adapter";
import type { StorageFactory } from "./storage-backend.ts";
import { address, failure, storageCases, succeeded } from "./storage-case.ts";
import { vitest } from "./vitest-api.ts";

/** Accepting requests, duplicates, and what is known of a request. */
export function messageRequests(factory: StorageFactory): void {
  const { describe, expect, it } = vitest();
  const run = storageCases(factory);

  describe("saveRequest", () => {
    it(
      "has made the request durable for every session when it resolves",
      run(async (session, context) => {
        const request = context.request({ deliverAt: 5_000 });
        const saved = await session.messages.saveRequest(request, 0, null);
        expect(saved).toEqual({ outcome: "accepted", sequence: expect.any(Number) });
        await session.close();
        const { messages } = await context.open();
        expect(await messages.lookUp([request.requestId])).toEqual([
          { state: "pending", requestId: request.requestId, deliverAt: 5_000, attempts: 0 },
        ]);
      }),
    );

    it(
      "keeps every field of the envelope as it is",
      run(async ({ messages }, context) => {
        const plain = context.request();
        const odd = context.request({
          address: address(
            "id with / and ' and \" and \\ and ünïcödé 🚀",
            shardIdOf("a:group", 7),
            "Order.Hidden",
          ),
          tag: "move_to",
          payload: JSON.stringify({
            text: 'it\'s "quoted" \\ \u0000 \u2028 🚀',
            nested: [null, 1.5, -0, 1e21],
          }),
          headers: { tenant: "ä\n'\"", "x-empty": "", constructor: "own" },
          expects: "stream",
          deduplicationKey: "schlüssel '1'",
          deliverAt: 1,
          uninterruptible: true,
          fromInside: true,
          sender: "grpc://10.0.0.1:9000",
          readPendingFirst: true,
        });
        const acceptance = context.request({ expects: "acceptance", payload: "" });
        await context.save(messages, plain, odd, acceptance);
        const page = await messages.readPending(everything("default:1", shardIdOf("a:group", 7)));
        expect(page.requests.map(({ envelope }) => envelope)).toEqual([plain, odd, acceptance]);
      }),
    );

    it(
      "keeps and finds ids, keys, types and tags that are as long as they may be",
      run(async ({ messages }, context) => {
        // Such texts cannot be compressed.
        const text = (seed: string, bytes: number): string =>
          Array.from({ length: bytes / 64 }, (_, part) =>
            createHash("sha256").update(`${seed} ${part}`).digest("hex"),
          ).join("");
        const longest = context.request({
          address: address(text("entity", 1_024), "default:1", text("type", 256)),
          tag: text("tag", 256),
          deduplicationKey: text("key", 1_024),
        });
        await context.save(messages, longest);
        const { requestId } = longest;
        expect(await messages.lookUpByKey(longest.address, longest.tag, text("key", 1_024))).toMatchObject({
          requestId,
        });
        const other = { ...longest, requestId: context.request().requestId };
        expect(await messages.saveRequest(other, 0, null)).toMatchObject({
          outcome: "duplicate",
          existing: { requestId },
        });
        const last = { ...other, deduplicationKey: `${text("key", 1_024).slice(0, -1)}-` };
        expect(await messages.saveRequest(last, 0, null)).toMatchObject({ outcome: "accepted" });
      }),
    );

    it.each(["entity", "key", "request"])(
      "keeps an id with a NUL or half of a surrogate pair apart from every other, or refuses it as a whole (%s)",
      async (which) => {
        await run(async ({ messages }, context) => {
          // In UTF-8 each half is U+FFFD, and texts end at a NUL for some.
          const halves = ["x\ud800", "x\ud801", "x\udc00y", "x\0", "x\0y"];
          const requests = ["x", "x\ufffd", ...halves].map((text) =>
            context.request({
              deduplicationKey: "key",
              ...(which === "entity" && { address: address(text) }),
              ...(which === "key" && { deduplicationKey: text }),
              ...(which === "request" && { address: address(context.id()), requestId: text }),
            }),
          );
          const kept: Envelope[] = [];
          for (const request of requests) {
            const saved = await messages.saveRequest(request, 0, null).catch((error: unknown) => error);
            if (saved instanceof Error) {
              expect(saved).toBeInstanceOf(SerializationError);
              expect(kept.length).toBeGreaterThanOrEqual(2);
            } else {
              expect(saved).toMatchObject({ outcome: "accepted" });
              kept.push(request);
            }
          }
          const page = await messages.readPending(everything("default:1"));
          expect(page.requests.map(({ envelope }) => envelope)).toEqual(kept);
          for (const request of requests) {
            const { address: entity, tag, deduplicationKey, requestId } = request;
            const known = await messages
              .lookUpByKey(entity, tag, deduplicationKey ?? "")
              .catch((error: unknown) => {
                expect(error).toBeInstanceOf(SerializationError);
                return null;
              });
            expect(known?.requestId ?? null).toBe(kept.includes(request) ? requestId : null);
          }
        })();
      },
    );

    it(
      "takes a payload of a megabyte",
      run(async ({ messages }, context) => {
        const request = context.request({ payload: JSON.stringify("0123456789abcdef".repeat(65_536)) });
        await context.save(messages, request);
        const page = await messages.readPending(everything("default:1"));
        expect(page.requests[0]?.envelope.payload === request.payload).toBe(true);
      }),
    );

    it.each([0, 1])("records %i attempts as begun", async (attempts) => {
      await run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const request = context.request();
        await messages.saveRequest(request, attempts, fence);
        expect(await messages.lookUp([request.requestId])).toMatchObject([{ attempts }]);
        expect((await messages.readPending(everything("default:1"))).requests).toMatchObject([{ attempts }]);
      })();
    });

    it(
      "gives a higher sequence to a request saved after another was accepted, in whatever session and shard",
      run(async ({ messages }, context) => {
        const other = (await context.open()).messages;
        const sequences: number[] = [];
        for (let round = 0; round < 5; round += 1) {
          sequences.push(...(await context.save(messages, context.request())));
          sequences.push(
            ...(await context.save(other, context.request({ address: address("b", "default:2") }))),
          );
        }
        expectRising(sequences);
      }),
    );

    it(
      "gives rising sequences to requests to one entity that one caller saves in one turn, in the order of its calls",
      run(async ({ messages }, context) => {
        const saves = Array.from({ length: 250 }, (_, index) =>
          messages.saveRequest(context.request({ address: address(`e${index % 3}`) }), 0, null),
        );
        const saved = (await Promise.all(saves)).map(({ sequence }) => sequence);
        for (const entity of [0, 1, 2]) expectRising(saved.filter((_, index) => index % 3 === entity));
      }),
    );

    it.each([
      ["on nobody's behalf", false, false],
      ["on nobody's behalf, with a duplicate among them", false, true],
      ["on behalf of a shard", true, false],
      ["on behalf of a shard, with a duplicate among them", true, true],
    ])(
      "gives each request that is saved in one turn its own sequence, in the order of calls, %s",
      async (_how, isFenced, hasDuplicate) => {
        await run(async ({ messages }, context) => {
          const fence = isFenced ? await context.claim(messages) : null;
          const first = context.request();
          const [before] = await context.save(messages, first);
          const made = Array.from({ length: 20 }, (_, index) =>
            context.request({ address: address(`e${index % 2}`), payload: String(index) }),
          );
          const turn = hasDuplicate ? [...made.slice(0, 10), first, ...made.slice(10)] : made;
          const saved = await Promise.all(turn.map((request) => messages.saveRequest(request, 0, fence)));
          const accepted = saved.flatMap((result) =>
            result.outcome === "accepted" ? [result.sequence] : [],
          );
          expect(accepted).toHaveLength(made.length);
          for (const entity of [0, 1]) expectRising(accepted.filter((_, index) => index % 2 === entity));
          const { requests } = await messages.readPending(everything("default:1"));
          expectRising(requests.map(({ sequence }) => sequence));
          const read = new Map(requests.map(({ sequence, envelope }) => [sequence, envelope]));
          expect(read.get(before ?? 0)).toEqual(first);
          expect(accepted.map((sequence) => read.get(sequence))).toEqual(made);
        })();
      },
    );

    it(
      "gives no sequence twice, also not that of a request which is forgotten",
      run(async (session, context) => {
        const { messages } = session;
        const fence = await context.claim(messages);
        const [answered, dead] = [context.request(), context.request()];
        const sequences = await context.save(messages, answered);
        await messages.saveReply(succeeded(answered.requestId), fence, null);
        const query = { entityType: "Counter", answeredBefore: 4_102_444_800_000, limit: 10 };
        expect(await messages.forgetAnswered(query)).toBe(1);
        sequences.push(...(await context.save(messages, dead)));
        const letter = { error: failure("no"), attempts: 1, deadSince: 1 };
        await messages.saveDeadLetter(dead.requestId, letter, fence);
        expect(await messages.dropDeadLetter(dead.requestId, null)).toBe(true);
        await session.close();
        sequences.push(...(await context.save((await context.open()).messages, context.request())));
        expectRising(sequences);
      }),
    );

    it(
      "gives requests of two sessions different sequences when they save at once",
      run(async ({ messages }, context) => {
        const other = (await context.open()).messages;
        const saves = Array.from({ length: 100 }, (_, index) =>
          (index % 2 === 0 ? messages : other).saveRequest(context.request(), 0, null),
        );
        const sequences = (await Promise.all(saves)).map(({ sequence }) => sequence);
        expect(new Set(sequences).size).toBe(100);
        expect(sequences.every(Number.isSafeInteger)).toBe(true);
      }),
    );
  });

  describe("a duplicate", () => {
    it(
      "by id is told so with the first one's sequence and state, and writes nothing",
      run(async ({ messages }, context) => {
        const first = context.request({ payload: "1" });
        const [sequence] = await context.save(messages, first);
        const other = (await context.open()).messages;
        const repeated = await other.saveRequest(
          { ...first, payload: "2", deduplicationKey: "late" },
          1,
          null,
        );
        expect(repeated).toEqual({
          outcome: "duplicate",
          sequence,
          existing: { state: "pending", requestId: first.requestId, deliverAt: null, attempts: 0 },
        });
        const page = await messages.readPending(everything("default:1"));
        expect(page.requests).toEqual([{ envelope: first, sequence, attempts: 0 }]);
        expect(await messages.lookUpByKey(first.address, first.tag, "late")).toBeNull();
      }),
    );

    it(
      "by entity, tag and key is told the id of the first one, and writes nothing",
      run(async ({ messages }, context) => {
        const first = context.request({ deduplicationKey: "payment-7" });
        const [sequence] = await context.save(messages, first);
        const second = context.request({ deduplicationKey: "payment-7", payload: "2" });
        expect(await (await context.open()).messages.saveRequest(second, 1, null)).toEqual({
          outcome: "duplicate",
          sequence,
          existing: { state: "pending", requestId: first.requestId, deliverAt: null, attempts: 0 },
        });
        expect(await messages.lookUp([second.requestId])).toEqual([]);
        expect((await messages.readPending(everything("default:1"))).requests).toHaveLength(1);
      }),
    );

    it(
      "changes nothing of the first one, also if that was put off or begun, with a fence and without",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const postponed = context.request({ deduplicationKey: "late", deliverAt: 5_000 });
        const begun = context.request({ deduplicationKey: "begun" });
        await context.save(messages, postponed, begun);
        await messages.reschedule(postponed.requestId, { deliverAt: 6_000, attempts: 2 }, fence);
        await messages.recordAttempt(begun.requestId, 3, fence);
        const known = async (): Promise<unknown[]> => [
          await messages.lookUp([postponed.requestId]),
          await messages.lookUp([begun.requestId]),
          await messages.readPending(everything("default:1")),
        ];
        const before = await known();
        for (const first of [postponed, begun]) {
          for (const under of [fence, null]) {
            for (const requestId of [first.requestId, context.id()]) {
              const repeated: Envelope = {
                ...first,
                requestId,
                payload: "2",
                headers: { other: "1" },
                deliverAt: first.deliverAt === null ? 7_000 : null,
                sender: "memory://other",
              };
              expect(await messages.saveRequest(repeated, 9, under)).toMatchObject({
                outcome: "duplicate",
                existing: { state: "pending", requestId: first.requestId },
              });
            }
          }
        }
        expect(await known()).toEqual(before);
      }),
    );

    it(
      "is none if entity, type, tag or key differ, however little",
      run(async ({ messages }, context) => {
        const long = "k".repeat(400);
        const different: Partial<Envelope>[] = [
          {},
          { address: address("b") },
          { address: address("A") },
          { address: address("a ") },
          { address: address("a", "default:1", "Other") },
          { address: address("a", "default:1", "counter") },
          { tag: "decrement" },
          { tag: "Increment" },
          { deduplicationKey: "Key" },
          { deduplicationKey: "key " },
          { deduplicationKey: "" },
          { deduplicationKey: `${long}1` },
          { deduplicationKey: `${long}2` },
          { deduplicationKey: null },
          { deduplicationKey: null },
          ...["\u00e9", "e\u0301"].flatMap((text) => [
            { address: address(text) },
            { deduplicationKey: text },
          ]),
          // However an adapter may put them together.
          ...["/", ":", "|", ",", " ", "\n"].flatMap((mark) => [
            { address: address(`x${mark}y`), deduplicationKey: "z" },
            { address: address("x"), deduplicationKey: `y${mark}z` },
          ]),
        ];
        await context.save(
          messages,
          ...different.map((changes) => context.request({ deduplicationKey: "key", ...changes })),
        );
        expect((await messages.readPending(everything("default:1"))).requests).toHaveLength(different.length);
      }),
    );

    it(
      "is none if its id differs, however little",
      run(async ({ messages }, context) => {
        const ids = ["id", "Id", "id ", " id", "íd", "id\u0301", "idd", "i"];
        await context.save(messages, ...ids.map((requestId) => context.request({ requestId })));
        const page = await messages.readPending(everything("default:1"));
        expect(page.requests.map(({ envelope }) => envelope.requestId)).toEqual(ids);
        expect(await messages.lookUp(["id", "ID", "id  "])).toMatchObject([{ requestId: "id" }]);
      }),
    );

    it(
      "of an answered request carries its reply, and of a dead one its letter",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const answered = context.request({ deduplicationKey: "answered" });
        const dead = context.request({ deduplicationKey: "dead" });
        await context.save(messages, answered, dead);
        await messages.saveReply(succeeded(answered.requestId, "7"), fence, null);
        await messages.saveDeadLetter(
          dead.requestId,
          { error: failure("no"), attempts: 3, deadSince: 9 },
          fence,
        );
        for (const repeated of [answered, context.request({ deduplicationKey: "answered" })]) {
          expect(await messages.saveRequest(repeated, 0, null)).toMatchObject({
            outcome: "duplicate",
            existing: {
              state: "answered",
              requestId: answered.requestId,
              reply: succeeded(answered.requestId, "7"),
            },
          });
        }
        for (const repeated of [dead, context.request({ deduplicationKey: "dead" })]) {
          expect(await messages.saveRequest(repeated, 0, null)).toMatchObject({
            outcome: "duplicate",
            existing: {
              state: "dead",
              requestId: dead.requestId,
              deadLetter: { envelope: dead, attempts: 3 },
            },
          });
        }
      }),
    );

    it(
      "is found among requests saved in the same turn: one is accepted, the others learn of it",
      run(async ({ messages }, context) => {
        const same = context.request();
        const keyed = Array.from({ length: 3 }, () => context.request({ deduplicationKey: "key" }));
        const results = await Promise.all(
          [same, keyed[0], same, keyed[1], same, keyed[2]].map((envelope) => save(messages, envelope)),
        );
        expect(results.map(({ outcome }) => outcome)).toEqual([
          "accepted",
          "accepted",
          "duplicate",
          "duplicate",
          "duplicate",
          "duplicate",
        ]);
        expect(results[3]).toMatchObject({ existing: { requestId: keyed[0]?.requestId } });
        expect((await messages.readPending(everything("default:1"))).requests).toHaveLength(2);
      }),
    );

    it(
      "is found when two sessions save at once: exactly one is accepted, and both know which",
      run(async ({ messages }, context) => {
        const other = (await context.open()).messages;
        for (let round = 0; round < 10; round += 1) {
          const deduplicationKey = `key-${round}`;
          const mine = context.request({ deduplicationKey });
          const theirs = context.request({ deduplicationKey });
          const results = await Promise.all([save(messages, mine), save(other, theirs)]);
          const winner = results[0].outcome === "accepted" ? mine : theirs;
          expect(results.map(({ outcome }) => outcome).toSorted()).toEqual(["accepted", "duplicate"]);
          const loser = results.find(({ outcome }) => outcome === "duplicate");
          expect(loser).toMatchObject({ existing: { requestId: winner.requestId } });
          expect(await messages.lookUpByKey(mine.address, mine.tag, deduplicationKey)).toMatchObject({
            requestId: winner.requestId,
          });
        }
      }),
    );
  });

  describe("lookUp", () => {
    it(
      "says what is known of each request, and leaves out those never accepted",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const pending = context.request({ deliverAt: 77 });
        const answered = context.request();
        const dead = context.request();
        await context.save(messages, pending, answered, dead);
        await messages.saveReply(succeeded(answered.requestId), fence, null);
        const letter = { error: failure("no"), attempts: 2, deadSince: 5 };
        await messages.saveDeadLetter(dead.requestId, letter, fence);
        const states = await messages.lookUp([
          dead.requestId,
          context.id(),
          answered.requestId,
          pending.requestId,
        ]);
        expect(states).toHaveLength(3);
        expect(states).toEqual(
          expect.arrayContaining([
            { state: "pending", requestId: pending.requestId, deliverAt: 77, attempts: 0 },
            { state: "answered", requestId: answered.requestId, reply: succeeded(answered.requestId) },
            { state: "dead", requestId: dead.requestId, deadLetter: { envelope: dead, ...letter } },
          ]),
        );
      }),
    );

    it(
      "takes an empty list, and one of hundreds",
      run(async ({ messages }, context) => {
        const requests = Array.from({ length: 300 }, () => context.request());
        await Promise.all(requests.map((request) => messages.saveRequest(request, 0, null)));
        expect(await messages.lookUp([])).toEqual([]);
        expect(await messages.lookUp(requests.map(({ requestId }) => requestId))).toHaveLength(300);
      }),
    );
  });

  describe("lookUpByKey", () => {
    it(
      "gives the state of the first request with this key, whatever became of it",
      run(async ({ messages }, context) => {
        const fence = await context.claim(messages);
        const request = context.request({ deduplicationKey: "key" });
        const { requestId, tag } = request;
        await context.save(messages, request);
        const other = (await context.open()).messages;
        expect(await other.lookUpByKey(request.address, tag, "key")).toMatchObject({
          state: "pending",
          requestId,
        });
        await messages.saveReply(succeeded(requestId), fence, null);
        expect(await other.lookUpByKey(request.address, tag, "key")).toEqual({
          state: "answered",
          requestId,
          reply: succeeded(requestId),
        });
        const dead = context.request({ deduplicationKey: "dead" });
        await context.save(messages, dead);
        const letter = { error: failure("no"), attempts: 2, deadSince: 5 };
        await messages.saveDeadLetter(dead.requestId, letter, fence);
        expect(await other.lookUpByKey(dead.address, tag, "dead")).toEqual({
          state: "dead",
          requestId: dead.requestId,
          deadLetter: { envelope: dead, ...letter },
        });
      }),
    );

    it(
      "gives null for another entity, type, tag or key",
      run(async ({ messages }, context) => {
        await context.save(messages, context.request({ deduplicationKey: "key" }));
        const counter = { entityType: "Counter", entityId: "a" };
        for (const entityId of ["b", "A", "a "])
          expect(await messages.lookUpByKey({ ...counter, entityId }, "increment", "key")).toBeNull();
        expect(
          await messages.lookUpByKey({ ...counter, entityType: "Other" }, "increment", "key"),
        ).toBeNull();
        expect(await messages.lookUpByKey(counter, "get", "key")).toBeNull();
        for (const key of ["ke", "Key", "key "])
          expect(await messages.lookUpByKey(counter, "increment", key)).toBeNull();
      }),
    );
  });

  function expectRising(sequences: readonly number[]): void {
    expect(sequences).toEqual(sequences.toSorted((a, b) => a - b));
    expect(new Set(sequences).size).toBe(sequences.length);
  }
}

function save(
  messages: MessageStorage,
  envelope: Envelope | undefined,
): ReturnType<MessageStorage["saveRequest"]> {
  if (envelope === undefined) throw new Error("The case names a request that it did not make.");
  return messages.saveRequest(envelope, 0, null);
}

function everything(
  ...shardIds: Parameters<MessageStorage["readPending"]>[0]["shardIds"]
): Parameters<MessageStorage["readPending"]>[0] {
  return { shardIds, now: 10_000, limit: 1_000, excludingSequences: [], excludingEntities: [] };
}
