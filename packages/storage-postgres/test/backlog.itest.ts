// A backlog is read page after page in the order of sequences, whatever of it is the reader's, due and free.

import type { PGlite } from "@electric-sql/pglite";
import type {
  MessageStorage,
  OpenStorage,
  PendingPage,
  PendingQuery,
  PendingRequest,
  ShardId,
} from "@holdfast/core/adapter";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { freshPGlite } from "../../../test/services/fresh-pglite.ts";
import { embeddedBackend, serverBackend, type PostgresBackend } from "./backends.ts";
import { claim, request } from "./work.ts";

const url = inject("postgresUrl");
const NOW = 100;
const SHARDS: readonly ShardId[] = ["default:1", "default:2", "default:3", "default:4"];

const backlogs = fc.array(
  fc.record({
    shardId: fc.constantFrom(...SHARDS),
    entityId: fc.constantFrom("a", "b"),
    deliverAt: fc.constantFrom(null, null, null, NOW, NOW + 1),
    isHeld: fc.boolean(),
  }),
  { minLength: 20, maxLength: 60 },
);

describe.each(["a server", "PGlite"] as const)("a backlog on %s", (place) => {
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

  it.skipIf(place === "a server" && url === null)("is read in order and to its end (property)", async () => {
    const { messages } = session;
    const inputs = [
      backlogs,
      fc.subarray([...SHARDS], { minLength: 1 }),
      fc.integer({ min: 1, max: 4 }),
      fc.boolean(),
    ] as const;
    await fc.assert(
      fc.asyncProperty(...inputs, async (given, shardIds, limit, isFull) => {
        const saved = await Promise.all(
          given.map(async ({ shardId, entityId, deliverAt, isHeld }) => {
            const address = { entityType: "Counter", entityId, shardId };
            const envelope = request({ address, deliverAt });
            const { sequence } = await messages.saveRequest(envelope, 0, null);
            return { envelope, sequence, isHeld };
          }),
        );
        const held = saved.filter(({ isHeld }) => isHeld).map(({ sequence }) => sequence);
        const full = isFull
          ? shardIds.map((shardId) => ({ entityType: "Counter", entityId: "a", shardId }))
          : [];
        const expected = saved
          .filter(
            ({ envelope: { address, deliverAt }, isHeld }) =>
              !isHeld &&
              shardIds.includes(address.shardId) &&
              (deliverAt ?? 0) <= NOW &&
              !(isFull && address.entityId === "a"),
          )
          .map(({ sequence }) => sequence)
          .toSorted((a, b) => a - b);

        const read: number[] = [];
        const query = { shardIds, now: NOW, limit, excludingSequences: held, excludingEntities: full };
        for await (const page of pagesOf(messages, query)) {
          expect(page.requests.length).toBeLessThanOrEqual(limit);
          expect(page.more).toBe(expected.length - read.length > limit);
          expect(page.nextDueAt).toBe(dueLater(saved, shardIds));
          read.push(...page.requests.map(({ sequence }) => sequence));
        }
        expect(read).toEqual(expected);

        const fences = new Map(
          await Promise.all(
            SHARDS.map(async (shardId) => [shardId, await claim(messages, shardId)] as const),
          ),
        );
        await Promise.all(
          saved.map(({ envelope: { requestId, address } }) => {
            const fence = fences.get(address.shardId);
            if (fence === undefined) throw new Error(`${address.shardId} was not claimed`);
            return messages.saveReply({ requestId, exit: { ok: true, value: "1" } }, fence, null);
          }),
        );
      }),
      { numRuns: 40 },
    );
  });

  it.skipIf(place === "a server" && url === null)("of large requests is read in shorter pages", async () => {
    const { messages } = session;
    const fence = await claim(messages);
    const payload = JSON.stringify("é".repeat(3 * 512 * 1024));
    const saved: number[] = [];
    for (let count = 0; count < 5; count += 1)
      saved.push((await messages.saveRequest(request({ payload }), 0, fence)).sequence);
    const read: PendingRequest[] = [];
    const pages: number[] = [];
    const shardIds = [fence.shardId];
    const query = { shardIds, now: NOW, limit: 100, excludingSequences: [], excludingEntities: [] };
    for await (const page of pagesOf(messages, query)) {
      pages.push(page.requests.length);
      read.push(...page.requests);
    }
    expect(read.map(({ sequence }) => sequence)).toEqual(saved);
    expect(read.every(({ envelope }) => envelope.payload === payload)).toBe(true);
    // Three of them are longer than a page.
    expect(pages).toEqual([3, 2]);
  });
});

/** All pages that there are, as one reads them who holds what was read before. */
async function* pagesOf(
  messages: MessageStorage,
  query: PendingQuery,
): AsyncGenerator<PendingPage, void, undefined> {
  const held = [...query.excludingSequences];
  for (let more = true; more;) {
    const page = await messages.readPending({ ...query, excludingSequences: held });
    held.push(...page.requests.map(({ sequence }) => sequence));
    more = page.more;
    yield page;
  }
}

function dueLater(
  saved: readonly Pick<PendingRequest, "envelope">[],
  shardIds: readonly ShardId[],
): number | null {
  return saved.some(
    ({ envelope: { address, deliverAt } }) => shardIds.includes(address.shardId) && (deliverAt ?? 0) > NOW,
  )
    ? NOW + 1
    : null;
}
