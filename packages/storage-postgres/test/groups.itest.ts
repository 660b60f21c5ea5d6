// What is written in one turn is one group, and comes back as it was, whatever its rows have in common: a column that is the
// same in all of them is given once.

import { randomUUID } from "node:crypto";
import type { PGlite } from "@electric-sql/pglite";
import {
  FencedError,
  type Chunk,
  type Envelope,
  type Fence,
  type JournalEntry,
  type OpenStorage,
  type Reply,
  type ShardId,
} from "@holdfast/core/adapter";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { freshPGlite } from "../../../test/services/fresh-pglite.ts";
import { embeddedBackend, serverBackend, type PostgresBackend } from "./backends.ts";
import { claim, NO_INBOX, request } from "./work.ts";

const url = inject("postgresUrl");
const SHARDS: readonly ShardId[] = ["default:1", "default:2"];

/** One of few, so that all of a group often have the same. */
const requests = fc.array(
  fc.record({
    shardId: fc.constantFrom(...SHARDS),
    isFenced: fc.boolean(),
    attempts: fc.nat({ max: 1 }),
    key: fc.constantFrom(null, "k"),
    changes: fc.record({
      tag: fc.constantFrom("increment", "read"),
      payload: fc.constantFrom("{}", '"NULL"', '"{\\"a\\":1}"'),
      headers: fc.constantFrom({}, { trace: "1" }),
      expects: fc.constantFrom("reply", "acceptance"),
      deliverAt: fc.constantFrom(null, 1, 2),
      uninterruptible: fc.boolean(),
      fromInside: fc.boolean(),
      sender: fc.constantFrom("here", "there"),
    }),
  }),
  { minLength: 1, maxLength: 12 },
);

/** What is done to the requests that wait. */
const writes = fc.record({
  value: fc.constantFrom(null, "1", "2"),
  chunk: fc.constantFrom(null, '"a"', '"b"'),
  deadSince: fc.constantFrom(null, null, 5, 6),
  attempts: fc.nat({ max: 3 }),
  deliverAt: fc.constantFrom(undefined, null, 3),
});

const journals = fc.array(
  fc.record({
    shardId: fc.constantFrom(...SHARDS),
    entries: fc.array(
      fc.record({
        position: fc.nat({ max: 1 }),
        kind: fc.constantFrom("activity", "attributes"),
        name: fc.constantFrom("charge", "ship"),
        value: fc.constantFrom("{}", '{"paid":true}'),
        isFailed: fc.boolean(),
      }),
      { minLength: 1, maxLength: 3 },
    ),
  }),
  { maxLength: 4 },
);

const error = { name: "E", message: "m", code: null, stack: null, data: null, cause: null, own: false };

describe.each(["a server", "PGlite"] as const)("groups on %s", (place) => {
  let instance: PGlite | null = null;
  let backend: PostgresBackend;
  let session: OpenStorage;

  beforeAll(async () => {
    if (place === "PGlite") instance = await freshPGlite();
    else if (url === null) return;
    backend = instance === null ? serverBackend(url ?? "") : embeddedBackend(instance);
    session = await backend.open();
  });
  afterAll(async () => {
    if (backend === undefined) return;
    await session.close();
    await backend.dispose();
    await instance?.close();
  });

  it.skipIf(place === "a server" && url === null)("come back as they were (property)", async () => {
    const { messages, workflows } = session;
    const fences = new Map(
      await Promise.all(SHARDS.map(async (shardId) => [shardId, await claim(messages, shardId)] as const)),
    );
    const fenceOf = (shardId: ShardId): Fence => fences.get(shardId) as Fence;
    /** A group with such a write does not pass whole, and what passes of it is sorted out. */
    const refused = async (): Promise<void> => {
      const stale = { shardId: "default:1", epoch: fenceOf("default:1").epoch + 1 } as const;
      await expect(messages.recordAttempt(randomUUID(), 1, stale)).rejects.toBeInstanceOf(FencedError);
    };
    const inputs = [requests, fc.infiniteStream(writes), journals, fc.boolean(), fc.boolean()] as const;

    await fc.assert(
      fc.asyncProperty(...inputs, async (given, toDo, executions, isDisturbed, isCommon) => {
        const saved = given.map(({ shardId, isFenced, attempts, key, changes }) => {
          const address = { entityType: "Counter", entityId: `of ${shardId}`, shardId };
          const deduplicationKey = key === null ? null : randomUUID();
          const envelope: Envelope = request({ ...changes, address, deduplicationKey });
          return { envelope, attempts, fence: isFenced ? fenceOf(shardId) : null };
        });
        const [outcomes] = await Promise.all([
          Promise.all(
            saved.map(({ envelope, attempts, fence }) => messages.saveRequest(envelope, attempts, fence)),
          ),
          isDisturbed ? refused() : null,
        ]);
        expect(outcomes.map(({ outcome }) => outcome)).toEqual(saved.map(() => "accepted"));

        const page = await messages.readPending({
          shardIds: SHARDS,
          now: 10,
          limit: 100,
          excludingSequences: [],
          excludingEntities: [],
        });
        const bySequence = saved
          .map(({ envelope, attempts }, index) => ({
            envelope,
            attempts,
            sequence: outcomes[index]?.sequence,
          }))
          .toSorted((a, b) => Number(a.sequence) - Number(b.sequence));
        expect(page.requests).toEqual(bySequence);

        const appended = executions.map(({ shardId, entries }) => ({
          shardId,
          execution: { entityType: "workflow:Order", executionId: randomUUID() },
          entries: entries.map(({ position, kind, name, value, isFailed }, ordinal): JournalEntry => ({
            ordinal,
            position,
            kind: kind as JournalEntry["kind"],
            name,
            event: isFailed ? { type: "failed", error } : { type: "completed", value },
          })),
        }));
        const expected: unknown[] = [];
        const chunks = new Map<string, readonly Chunk[]>();
        const done = saved.map(({ envelope: { requestId, address, deliverAt } }) => {
          const { value, ...next } = toDo.next().value;
          // Nearly all groups have neither of these, and are written by a function of their own.
          const { chunk, deadSince, ...schedule } = isCommon
            ? { ...next, chunk: null, deadSince: null }
            : next;
          const fence = fenceOf(address.shardId);
          if (chunk !== null) chunks.set(requestId, [{ requestId, index: 0, value: chunk }]);
          if (deadSince !== null) {
            const letter = { error, attempts: schedule.attempts, deadSince };
            expected.push({
              state: "dead",
              requestId,
              deadLetter: expect.objectContaining(letter),
            });
            return messages.saveDeadLetter(requestId, letter, fence);
          }
          if (value !== null) {
            const reply = { requestId, exit: { ok: true, value } } as const;
            expected.push({ state: "answered", requestId, reply });
            return messages.saveReply(reply, fence, null);
          }
          const isMoved = schedule.deliverAt !== undefined;
          expected.push({
            state: "pending",
            requestId,
            attempts: schedule.attempts,
            deliverAt: isMoved ? schedule.deliverAt : deliverAt,
          });
          return isMoved
            ? messages.reschedule(requestId, { ...schedule, deliverAt: schedule.deliverAt ?? null }, fence)
            : messages.recordAttempt(requestId, schedule.attempts, fence);
        });
        await Promise.all([
          isDisturbed ? refused() : null,
          ...done,
          ...saved.flatMap(({ envelope: { requestId, address } }) =>
            (chunks.get(requestId) ?? []).map((chunk) => messages.saveChunk(chunk, fenceOf(address.shardId))),
          ),
          ...appended.map(({ execution, entries, shardId }) =>
            workflows.appendJournal(execution, entries, fenceOf(shardId), null),
          ),
        ]);
        const ids = saved.map(({ envelope }) => envelope.requestId);
        const states = new Map((await messages.lookUp(ids)).map((state) => [state.requestId, state]));
        expect(ids.map((id) => states.get(id))).toEqual(expected);
        for (const [id, kept] of chunks) expect((await messages.readChunks(id, 0)).chunks).toEqual(kept);
        for (const { execution, entries } of appended)
          expect((await workflows.readExecution(execution, NO_INBOX)).entries).toEqual(entries);

        // Nothing is left pending for the next ones.
        await Promise.all(
          saved.map(({ envelope: { requestId, address } }) =>
            messages.saveReply({ requestId, exit: { ok: false, error } }, fenceOf(address.shardId), null),
          ),
        );
      }),
      { numRuns: 60 },
    );
  });

  it.skipIf(place === "a server" && url === null)(
    "have requests with the replies that are ready when they are written (property)",
    async () => {
      const { messages } = session;
      const fence = await claim(messages, "default:1");
      const stale = { ...fence, epoch: fence.epoch + 1 };
      const values = fc.array(fc.constantFrom(null, "1", "2"), { minLength: 1, maxLength: 6 });
      await fc.assert(
        fc.asyncProperty(values, fc.boolean(), async (given, isDisturbed) => {
          const saved = given.map((value) => {
            const { requestId } = request();
            const reply: Reply | null = value === null ? null : { requestId, exit: { ok: true, value } };
            return { envelope: request({ requestId }), reply };
          });
          const ready = new Set<string>();
          const [outcomes] = await Promise.all([
            Promise.all(
              saved.map(({ envelope, reply }) =>
                messages.saveRequest(envelope, 1, fence, () =>
                  ready.has(envelope.requestId) ? reply : null,
                ),
              ),
            ),
            isDisturbed
              ? expect(messages.recordAttempt(randomUUID(), 1, stale)).rejects.toBeInstanceOf(FencedError)
              : null,
            // They are ready later in the turn in which the requests are saved.
            Promise.resolve().then(() => saved.forEach(({ envelope }) => ready.add(envelope.requestId))),
          ]);
          expect(outcomes.map(({ sequence: _sequence, ...outcome }) => outcome)).toEqual(
            saved.map(({ reply }) => ({
              outcome: "accepted",
              ...(reply === null ? {} : { isAnswered: true }),
            })),
          );
          const states = await messages.lookUp(saved.map(({ envelope }) => envelope.requestId));
          expect(new Map(states.map((state) => [state.requestId, state]))).toEqual(
            new Map(
              saved.map(({ envelope: { requestId }, reply }) => [
                requestId,
                reply === null
                  ? { state: "pending", requestId, attempts: 1, deliverAt: null }
                  : { state: "answered", requestId, reply },
              ]),
            ),
          );
          const left = await messages.readPending({
            shardIds: ["default:1"],
            now: 10,
            limit: 100,
            excludingSequences: [],
            excludingEntities: [],
          });
          const waiting = saved.filter(({ reply }) => reply === null);
          expect(left.requests.map(({ envelope }) => envelope.requestId)).toEqual(
            waiting.map(({ envelope }) => envelope.requestId),
          );
          for (const { envelope } of waiting)
            await messages.saveReply(
              { requestId: envelope.requestId, exit: { ok: false, error } },
              fence,
              null,
            );
        }),
        { numRuns: 30 },
      );
    },
  );

  it.skipIf(place === "a server" && url === null).each(["tag", "payload"] as const)(
    "refuse a row that lacks its %s, and not one beside it",
    async (column) => {
      const { messages } = session;
      const [before, without, behind] = [request(), request({ [column]: undefined }), request()];
      const saving = [before, without, behind].map((envelope) => messages.saveRequest(envelope, 0, null));
      const [first, second, third] = await Promise.allSettled(saving);
      expect([first?.status, second?.status, third?.status]).toEqual(["fulfilled", "rejected", "fulfilled"]);
      expect(await messages.lookUp([without.requestId])).toEqual([]);
      expect(await messages.lookUp([before.requestId, behind.requestId])).toHaveLength(2);
    },
  );
});
