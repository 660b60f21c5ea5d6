import { firstRequestIdOf, timeOfRequestId, type ExecutionQuery } from "@holdfast/core/adapter";
import {
  attributes,
  fail,
  FUTURE,
  listed,
  messageTo,
  order,
  ORDER,
  queryOf,
  start,
  startOf,
} from "./execution-case.ts";
import type { StorageFactory } from "./storage-backend.ts";
import { storageCases, succeeded } from "./storage-case.ts";
import { vitest } from "./vitest-api.ts";

/** Which executions a listing has. */
export function workflowFilters(factory: StorageFactory): void {
  const { describe, expect, it } = vitest();
  const run = storageCases(factory);

  describe("a filter", () => {
    it(
      "by start takes those from one time on and before another, by request ids",
      run(async (session, context) => {
        const { workflows } = session;
        const times = [99, 100, 100, 101, 150, 199, 200, 201].map((ms) => 1_700_000_000_000 + ms);
        const requests = times.map((time, index) =>
          startOf(context, order(`e${index}`), {
            requestId: `${firstRequestIdOf(time)}7000800000000000000${index}`,
          }),
        );
        await context.save(session.messages, ...requests.toReversed());
        const ids = (isIn: (time: number) => boolean): string[] =>
          requests
            .filter(({ requestId }) => isIn(timeOfRequestId(requestId)))
            .map(({ address }) => address.entityId)
            .toReversed();
        const [from, before] = [1_700_000_000_100, 1_700_000_000_200];
        expect(await listed(workflows, { startedFrom: from })).toEqual(ids((time) => time >= from));
        expect(await listed(workflows, { startedBefore: before })).toEqual(ids((time) => time < before));
        const between = { startedFrom: from, startedBefore: before };
        const expected = ids((time) => time >= from && time < before);
        expect(await listed(workflows, between)).toEqual(expected);
        const after = requests[4]?.requestId ?? null;
        expect(await listed(workflows, { ...between, after })).toEqual(["e3", "e2", "e1"]);
        const late = requests[7]?.requestId ?? null;
        expect(await listed(workflows, { ...between, after: late })).toEqual(expected);
        expect(await listed(workflows, { startedFrom: before, startedBefore: before })).toEqual([]);
        expect(await listed(workflows, { startedFrom: 0, startedBefore: FUTURE })).toHaveLength(8);
      }),
    );

    it(
      "by attributes takes those that have all of them, and keeps types apart",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        const given = {
          a: { tenant: "a", n: 5, vip: true },
          b: { tenant: "a", n: "5", vip: "true" },
          c: { tenant: "b", n: 5, vip: false },
          d: { tenant: "A", n: 50, vip: 1 },
          e: { n: 5, tenants: "a" },
          f: {},
        };
        for (const [id, changes] of Object.entries(given)) {
          await start(session, context, order(id));
          await workflows.appendJournal(order(id), [attributes(0, changes)], fence, null);
        }
        const found = async (wanted: Partial<ExecutionQuery>): Promise<string> =>
          (await listed(workflows, wanted)).toSorted().join("");
        expect(await found({ attributes: { tenant: "a" } })).toBe("ab");
        expect(await found({ attributes: { n: 5 } })).toBe("ace");
        expect(await found({ attributes: { n: "5" } })).toBe("b");
        expect(await found({ attributes: { vip: true } })).toBe("a");
        expect(await found({ attributes: { vip: "true" } })).toBe("b");
        expect(await found({ attributes: { vip: 1 } })).toBe("d");
        expect(await found({ attributes: { tenant: "a", n: 5 } })).toBe("a");
        expect(await found({ attributes: { n: 5, tenant: "b", vip: false } })).toBe("c");
        expect(await found({ attributes: { tenant: "a", vip: false } })).toBe("");
        expect(await found({ attributes: { tenant: "" } })).toBe("");
        expect(await found({ attributes: { other: "a" } })).toBe("");
        expect(await found({ attributes: {} })).toBe("abcdef");
        expect(await found({ attributes: { n: 5 }, entityType: "workflow:Orders" })).toBe("");
      }),
    );

    it(
      "by id takes the one of that id, if the other conditions hold for it",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        const request = await start(session, context, ORDER);
        await start(session, context, order("order-11"));
        await start(session, context, order("x\ufffd"));
        await start(session, context, { ...ORDER, entityType: "workflow:Orders" });
        await context.save(messages, messageTo(context, ORDER), messageTo(context, order("order-2")));
        await workflows.appendJournal(ORDER, [attributes(0, { n: 5 })], fence, null);
        const { executionId } = ORDER;
        expect(await listed(workflows, { executionId })).toEqual(["order-1"]);
        expect(await listed(workflows, { executionId, attributes: { n: 5 } })).toEqual(["order-1"]);
        expect(await listed(workflows, { executionId, status: "pending" })).toEqual(["order-1"]);
        for (const changes of [
          { attributes: { n: 6 } },
          { status: "running" },
          { tag: "other" },
          { entityType: "workflow:O" },
          { after: request.requestId },
          { startedFrom: timeOfRequestId(request.requestId) + 1 },
          { startedBefore: timeOfRequestId(request.requestId) },
          { executionId: "order-2" },
          { executionId: "Order-1" },
          { executionId: "x\ud800" },
          { executionId: "order" },
          { executionId: "" },
        ] as const)
          expect([changes, await listed(workflows, { executionId, ...changes })]).toEqual([changes, []]);
      }),
    );

    it(
      "goes with the others, through all pages",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        const expected: string[] = [];
        await Promise.all(
          Array.from({ length: 200 }, async (_, index) => {
            const execution = order(`e${index}`);
            const request = startOf(context, execution);
            if (index >= 40 && index < 160 && index % 3 === 0 && index % 4 === 1)
              expected.unshift(execution.executionId);
            await messages.saveRequest(request, 1, fence);
            const changes = { three: index % 3, even: index % 2 === 0 };
            await workflows.appendJournal(execution, [attributes(0, changes)], fence, null);
            const { requestId } = request;
            if (index % 4 === 0) await messages.saveReply(succeeded(requestId), fence, null);
            if (index % 4 === 1) await fail(messages, request, fence);
            if (index % 4 === 2)
              await messages.reschedule(requestId, { deliverAt: 2_000_000, attempts: 1 }, fence);
          }),
        );
        const every = await workflows.listExecutions(queryOf({ limit: 200 }));
        const query = queryOf({
          status: "failed",
          attributes: { three: 0, even: false },
          startedFrom: 1,
          limit: 3,
        });
        const seen: string[] = [];
        // The first of the range and the last are e40 and e159: nothing above and below is asked for.
        let after = every.find(({ envelope }) => envelope.address.entityId === "e160")?.envelope.requestId;
        for (let isOver = false; !isOver;) {
          const page = await workflows.listExecutions({ ...query, after: after ?? null });
          isOver = page.length < query.limit;
          seen.push(...page.map(({ envelope }) => envelope.address.entityId));
          after = page.at(-1)?.envelope.requestId ?? after;
          for (const record of page)
            expect(record).toMatchObject({ status: "failed", attributes: { three: 0, even: false } });
        }
        expect(seen.filter((id) => Number(id.slice(1)) >= 40)).toEqual(expected);
      }),
    );
  });
}
