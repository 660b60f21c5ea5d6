import {
  FencedError,
  type AttributeValue,
  type JournalEntry,
  type WorkflowStorage,
} from "@holdfast/core/adapter";
import { attributes, journalOf, listed, order, ORDER, recordOf, start } from "./execution-case.ts";
import type { StorageFactory } from "./storage-backend.ts";
import { completed, failure, storageCases } from "./storage-case.ts";
import { vitest } from "./vitest-api.ts";

/** What a journal says that its execution is found by. */
export function workflowAttributes(factory: StorageFactory): void {
  const { describe, expect, it } = vitest();
  const run = storageCases(factory);

  describe("attributes", () => {
    it(
      "are those of the last step that named them: others stay, and null takes one away",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        await start(session, context, ORDER);
        expect(await attributesOf(workflows)).toEqual({});
        await workflows.appendJournal(ORDER, [attributes(0, { tenant: "a", n: 5, vip: true })], fence, null);
        expect(await attributesOf(workflows)).toEqual({ tenant: "a", n: 5, vip: true });
        await workflows.appendJournal(ORDER, [attributes(1, { n: "5", vip: null, no: null })], fence, null);
        expect(await attributesOf(workflows)).toEqual({ tenant: "a", n: "5" });
        await workflows.appendJournal(ORDER, [attributes(2, {})], fence, null);
        expect(await attributesOf(workflows)).toEqual({ tenant: "a", n: "5" });
        await workflows.appendJournal(ORDER, [attributes(3, { tenant: null, n: null })], fence, null);
        expect(await attributesOf(workflows)).toEqual({});
        expect(await listed(workflows, { attributes: { tenant: "a" } })).toEqual([]);
      }),
    );

    it(
      "follow the order of the steps, in one append and in many at once",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        await start(session, context, ORDER);
        const steps = [0, 1, 2].map((ordinal) =>
          attributes(ordinal, { n: ordinal, [`was ${ordinal}`]: true }),
        );
        await workflows.appendJournal(ORDER, [...steps, completed(3)], fence, null);
        const was = { "was 0": true, "was 1": true, "was 2": true };
        expect(await attributesOf(workflows)).toEqual({ n: 2, ...was });
        const later = Array.from({ length: 20 }, (_, index) => attributes(4 + index, { n: 4 + index }));
        await Promise.all(later.map((entry) => workflows.appendJournal(ORDER, [entry], fence, null)));
        expect(await attributesOf(workflows)).toEqual({ n: 23, ...was });
      }),
    );

    it(
      "come back as they were",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        await start(session, context, ORDER);
        const values: Record<string, AttributeValue> = {
          text: "\"quoted\" \\ 'ü' 🚀\n",
          empty: "",
          null: "null",
          "a name.with 'all' \"sorts\" 🚀": "[1]",
          zero: 0,
          negative: -1.5,
          tiny: 5e-324,
          huge: 1.7976931348623157e308,
          precise: 0.1,
          whole: Number.MAX_SAFE_INTEGER,
          yes: true,
          no: false,
          // As long as names and values may be.
          ["ü".repeat(128)]: incompressible(1_022),
        };
        await workflows.appendJournal(ORDER, [attributes(0, values)], fence, null);
        const other = (await context.open()).workflows;
        expect(await attributesOf(other)).toEqual(values);
        for (const [name, value] of Object.entries(values))
          expect([name, await listed(other, { attributes: { [name]: value } })]).toEqual([name, ["order-1"]]);
      }),
    );

    it(
      "are changed by completed steps of their kind and nothing else",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        await start(session, context, ORDER);
        const { event } = attributes(0, { tenant: "a" });
        const entries: JournalEntry[] = [
          { ordinal: 0, position: 0, kind: "state", name: "attributes", event },
          { ordinal: 1, position: 1, kind: "value", name: "attributes", event },
          {
            ordinal: 2,
            position: 2,
            kind: "attributes",
            name: "attributes",
            event: { type: "begun", dueAt: null, detail: '{"tenant":"a"}' },
          },
          {
            ordinal: 3,
            position: 3,
            kind: "attributes",
            name: "attributes",
            event: { type: "failed", error: failure("no") },
          },
        ];
        await workflows.appendJournal(ORDER, entries, fence, null);
        expect(await attributesOf(workflows)).toEqual({});
        expect(await journalOf(workflows, ORDER)).toEqual(entries);
      }),
    );

    it(
      "are of one execution, whether it was started before they were set or after",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        const executions = [ORDER, order("order-2"), { ...ORDER, entityType: "workflow:Orders" }];
        for (const [n, execution] of executions.entries())
          await workflows.appendJournal(execution, [attributes(0, { n })], fence, null);
        for (const execution of executions) await start(session, context, execution);
        for (const [n, execution] of executions.entries())
          expect(await attributesOf(workflows, execution)).toEqual({ n });
      }),
    );

    it(
      "are not changed by an append of ordinals that are there",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        await start(session, context, ORDER);
        const first = [attributes(0, { tenant: "a" }), attributes(1, { tenant: "b", n: 1 })];
        await workflows.appendJournal(ORDER, first, fence, null);
        await workflows.appendJournal(ORDER, first, fence, null);
        await workflows.appendJournal(ORDER, [first[0] as JournalEntry], fence, null);
        const repeated = [attributes(1, { tenant: "c", n: null }), attributes(2, { vip: true })];
        await workflows.appendJournal(ORDER, repeated, fence, null);
        expect(await attributesOf(workflows)).toEqual({ tenant: "b", n: 1, vip: true });
      }),
    );

    it(
      "are not changed by an append that is refused (INV-1)",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const stale = await context.claim(messages);
        await start(session, context, ORDER);
        await workflows.appendJournal(ORDER, [attributes(0, { tenant: "a" })], stale, null);
        await context.claim((await context.open()).messages);
        const late = [completed(1), attributes(2, { tenant: "b", n: 1 })];
        await expect(workflows.appendJournal(ORDER, late, stale, null)).rejects.toBeInstanceOf(FencedError);
        expect(await attributesOf(workflows)).toEqual({ tenant: "a" });
      }),
    );

    it(
      "are there when their append resolved, together with its entries, and never before",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const fence = await context.claim(messages);
        await start(session, context, ORDER);
        const reader = (await context.open()).workflows;
        const read = async (): Promise<void> => {
          for (let reads = 0; reads < 3; reads += 1) {
            const { n } = await attributesOf(reader);
            const ordinals = (await journalOf(reader, ORDER)).map(({ ordinal }) => ordinal);
            if (n !== undefined) expect(ordinals).toContain(n);
          }
        };
        for (let n = 0; n < 30; n += 1) {
          const appending = workflows.appendJournal(ORDER, [attributes(n, { n })], fence, null);
          await Promise.all([read(), appending, read()]);
          expect(await attributesOf(reader)).toEqual({ n });
        }
      }),
    );

    it(
      "commit with the transaction that an append is given, or not at all (INV-3)",
      run(async (session, context) => {
        const { messages, workflows } = session;
        const probe = context.backend.transactions;
        if (messages.beginTransaction === undefined || probe === undefined) {
          expect([messages.supports.transactions, probe]).toEqual([false, undefined]);
          return;
        }
        const fence = await context.claim(messages);
        await start(session, context, ORDER);
        const one = messages.beginTransaction();
        await probe.write(one, "one");
        await workflows.appendJournal(ORDER, [attributes(0, { n: 1, old: true })], fence, one);
        expect(await attributesOf(workflows)).toEqual({ n: 1, old: true });
        const several = messages.beginTransaction();
        await probe.write(several, "several");
        const entries = [attributes(1, { n: 2 }), attributes(2, { n: 3, old: null })];
        await workflows.appendJournal(ORDER, entries, fence, several);
        expect(await attributesOf(workflows)).toEqual({ n: 3 });

        const failed = messages.beginTransaction();
        await expect(probe.fail(failed)).rejects.toThrow();
        await expect(
          workflows.appendJournal(ORDER, [attributes(3, { n: 4 })], fence, failed),
        ).rejects.toThrow();
        await context.claim((await context.open()).messages);
        const fenced = messages.beginTransaction();
        await probe.write(fenced, "fenced");
        await expect(
          workflows.appendJournal(ORDER, [attributes(3, { n: 4 })], fence, fenced),
        ).rejects.toBeInstanceOf(FencedError);
        expect(await attributesOf(workflows)).toEqual({ n: 3 });
      }),
    );
  });
}

async function attributesOf(
  workflows: WorkflowStorage,
  execution = ORDER,
): Promise<Readonly<Record<string, AttributeValue>>> {
  const record = await recordOf(workflows, execution);
  if (record === undefined) throw new Error(`${execution.executionId} is not listed.`);
  return record.attributes;
}

/** A text that no compression makes shorter by much: an index must hold it whole. */
function incompressible(length: number): string {
  let state = 1;
  return Array.from({ length }, () => {
    state = (state * 48_271) % 2_147_483_647;
    return (state % 36).toString(36);
  }).join("");
}
