import {
  FencedError,
  TransactionUnavailableError,
  type Fence,
  type JournalEntry,
  type StepKind,
} from "@holdfast/core/adapter";
import { journalOf, ORDER } from "./execution-case.ts";
import type { StorageFactory } from "./storage-backend.ts";
import { completed, failure, storageCases } from "./storage-case.ts";
import { suiteArguments } from "./suite-arguments.ts";
import { vitest } from "./vitest-api.ts";
import { workflowAttributes } from "./workflow-attributes.ts";
import { workflowFilters } from "./workflow-filters.ts";
import { workflowInbox } from "./workflow-inbox.ts";
import { workflowListing } from "./workflow-listing.ts";
import { workflowNaming } from "./workflow-naming.ts";
import { workflowReopening } from "./workflow-reopening.ts";
import { workflowRetention } from "./workflow-retention.ts";

/** Defines the vitest cases that every WorkflowStorage must pass: one for each sentence of the interface, and more. */
export function workflowStorageConformance(factory: StorageFactory): void;
export function workflowStorageConformance(name: string, factory: StorageFactory): void;
export function workflowStorageConformance(
  nameOrFactory: string | StorageFactory,
  factory?: StorageFactory,
): void {
  const { describe } = vitest();
  const [name, make] = suiteArguments(
    "workflowStorageConformance",
    "a WorkflowStorage",
    nameOrFactory,
    factory,
  );
  describe(name, () => {
    journals(make);
    journalFences(make);
    journalTransactions(make);
    workflowNaming(make);
    workflowInbox(make);
    workflowAttributes(make);
    workflowListing(make);
    workflowFilters(make);
    workflowReopening(make);
    workflowRetention(make);
  });
}

function journals(factory: StorageFactory): void {
  const { describe, expect, it } = vitest();
  const run = storageCases(factory);

  describe("a journal", () => {
    it(
      "is empty for an execution that has none",
      run(async ({ workflows }) => {
        expect(await journalOf(workflows, ORDER)).toEqual([]);
      }),
    );

    it(
      "has what was appended, for every session, when that resolved",
      run(async (session, context) => {
        const fence = await context.claim(session.messages);
        await session.workflows.appendJournal(ORDER, [completed(0), completed(1)], fence, null);
        await session.workflows.appendJournal(ORDER, [completed(2)], fence, null);
        await session.close();
        const { workflows } = await context.open();
        expect(await journalOf(workflows, ORDER)).toEqual([completed(0), completed(1), completed(2)]);
      }),
    );

    it(
      "keeps every kind of entry and event as it is",
      run(async ({ messages, workflows }, context) => {
        const fence = await context.claim(messages);
        const kinds: StepKind[] = [
          "activity",
          "run",
          "sleep",
          "rpc",
          "child",
          "signal",
          "value",
          "patch",
          "compensate",
          "state",
          "attributes",
          "continue",
          "cancel",
          "fork",
          "version",
          "resume",
        ];
        const ofNoStep = new Set<StepKind>(["cancel", "fork", "version", "resume"]);
        const events: JournalEntry["event"][] = [
          { type: "begun", dueAt: 1_893_456_000_123, detail: '{"id":"ü 🚀"}' },
          { type: "begun", dueAt: null, detail: null },
          {
            type: "attempt-failed",
            attempt: 2,
            error: { ...failure("no\n'"), cause: failure("why") },
            retryAt: 5,
          },
          { type: "completed", value: '{"text":"\\u0000 \\"quoted\\""}' },
          { type: "completed", value: "" },
          { type: "failed", error: { ...failure(""), code: "E1", stack: "at x", data: "{}", own: true } },
          { type: "failed", error: failure("\0"), asked: 0 },
          { type: "failed", error: failure("no"), asked: 12 },
          { type: "failed", error: failure("no"), signal: "0190b2c0a3e0" },
          { type: "failed", error: failure("no"), asked: 1, signal: "0190b2c0a3e0" },
        ];
        const entries = kinds.flatMap((kind, kindIndex) =>
          events.map((given, eventIndex): JournalEntry => {
            const ordinal = kindIndex * events.length + eventIndex;
            const position = ofNoStep.has(kind) ? -1 : kindIndex;
            const isObject = kind === "attributes" && given.type === "completed";
            const event = isObject ? { ...given, value: '{"text":"ü 🚀 \\"quoted\\"","gone":null}' } : given;
            return { ordinal, position, kind, name: `Group.${kind} '${eventIndex}'`, event };
          }),
        );
        await workflows.appendJournal(ORDER, entries, fence, null);
        expect(await journalOf(workflows, ORDER)).toEqual(entries);
      }),
    );

    it(
      "is read in the order of ordinals, with gaps, in whatever order they were appended",
      run(async ({ messages, workflows }, context) => {
        const fence = await context.claim(messages);
        await workflows.appendJournal(ORDER, [completed(3), completed(10)], fence, null);
        await workflows.appendJournal(ORDER, [completed(7), completed(2)], fence, null);
        expect(await journalOf(workflows, ORDER)).toEqual([2, 3, 7, 10].map((ordinal) => completed(ordinal)));
      }),
    );

    it(
      "is of one execution: the same id under another type, and another id, have their own",
      run(async ({ messages, workflows }, context) => {
        const fence = await context.claim(messages);
        const executions = [
          ORDER,
          { ...ORDER, entityType: "Other" },
          { ...ORDER, entityType: "workflow:order" },
          { ...ORDER, executionId: "Order-1" },
          { ...ORDER, executionId: "order-1 " },
          { ...ORDER, executionId: "order-1/2 ü" },
        ];
        for (const [index, execution] of executions.entries()) {
          await workflows.appendJournal(execution, [completed(0, String(index))], fence, null);
        }
        for (const [index, execution] of executions.entries()) {
          expect(await journalOf(workflows, execution)).toEqual([completed(0, String(index))]);
        }
      }),
    );

    it(
      "takes no harm from a repeated append: entries that are there stay as they were, the others are added",
      run(async ({ messages, workflows }, context) => {
        const fence = await context.claim(messages);
        const entries = [completed(0), completed(1)];
        await workflows.appendJournal(ORDER, entries, fence, null);
        await workflows.appendJournal(ORDER, entries, fence, null);
        await workflows.appendJournal(ORDER, [completed(1, "changed"), completed(2)], fence, null);
        expect(await journalOf(workflows, ORDER)).toEqual([completed(0), completed(1), completed(2)]);
        await Promise.all([
          workflows.appendJournal(ORDER, [completed(3, "first")], fence, null),
          workflows.appendJournal(ORDER, [completed(3, "second"), completed(4)], fence, null),
        ]);
        expect(await journalOf(workflows, ORDER)).toEqual([
          completed(0),
          completed(1),
          completed(2),
          completed(3, "first"),
          completed(4),
        ]);
      }),
    );

    it(
      "takes an append of nothing",
      run(async ({ messages, workflows }, context) => {
        const fence = await context.claim(messages);
        await workflows.appendJournal(ORDER, [], fence, null);
        expect(await journalOf(workflows, ORDER)).toEqual([]);
      }),
    );

    it(
      "takes thousands of entries, at once and one by one",
      run(async ({ messages, workflows }, context) => {
        const fence = await context.claim(messages);
        const entries = Array.from({ length: 2_000 }, (_, ordinal) => completed(ordinal, "x".repeat(100)));
        await workflows.appendJournal(ORDER, entries.slice(0, 1_500), fence, null);
        await Promise.all(
          entries.slice(1_500).map((entry) => workflows.appendJournal(ORDER, [entry], fence, null)),
        );
        expect(await journalOf(workflows, ORDER)).toEqual(entries);
      }),
    );

    it(
      "that was read does not change with what is appended after",
      run(async ({ messages, workflows }, context) => {
        const fence = await context.claim(messages);
        await workflows.appendJournal(ORDER, [completed(0)], fence, null);
        const read = await journalOf(workflows, ORDER);
        await workflows.appendJournal(ORDER, [completed(1)], fence, null);
        expect(read).toEqual([completed(0)]);
      }),
    );
  });
}

function journalFences(factory: StorageFactory): void {
  const { describe, expect, it } = vitest();
  const run = storageCases(factory);

  describe("an append", () => {
    it(
      "is refused with FencedError, whole, once the shard was claimed again (INV-1)",
      run(async ({ messages, workflows }, context) => {
        const stale = await context.claim(messages);
        await workflows.appendJournal(ORDER, [completed(0)], stale, null);
        const fence = await context.claim((await context.open()).messages);
        const refused = workflows.appendJournal(ORDER, [completed(1), completed(2)], stale, null);
        await expect(refused).rejects.toBeInstanceOf(FencedError);
        await expect(refused).rejects.toMatchObject({ shardId: "default:1" });
        // Also where it has nothing to write, and where nobody ever claimed the shard.
        const repeated = workflows.appendJournal(ORDER, [completed(0)], stale, null);
        await expect(repeated).rejects.toBeInstanceOf(FencedError);
        const unclaimed: Fence = { shardId: "default:9", epoch: 1 };
        const never = workflows.appendJournal(ORDER, [completed(1)], unclaimed, null);
        await expect(never).rejects.toBeInstanceOf(FencedError);
        expect(await journalOf(workflows, ORDER)).toEqual([completed(0)]);
        await workflows.appendJournal(ORDER, [completed(1)], fence, null);
        expect(await journalOf(workflows, ORDER)).toEqual([completed(0), completed(1)]);
      }),
    );

    it(
      "of many entries is there whole or not at all, for whoever reads or claims meanwhile",
      run(async (old, context) => {
        const next = await context.open();
        for (let round = 0; round < 6; round += 1) {
          const execution = { ...ORDER, executionId: `order-${round}` };
          const fence = await context.claim(old.messages);
          const entries = Array.from({ length: 50 }, (_, ordinal) => completed(ordinal));
          const appending = Promise.allSettled([
            old.workflows.appendJournal(execution, entries, fence, null),
          ]);
          for (let turn = 0; turn < round; turn += 1) await Promise.resolve();
          const [seen] = await Promise.all([
            journalOf(next.workflows, execution),
            next.messages.claimShards(["default:1"]),
          ]);
          const atClaim = await journalOf(next.workflows, execution);
          const [appended] = await appending;
          for (const journal of [seen, atClaim]) if (journal.length > 0) expect(journal).toEqual(entries);
          expect(atClaim).toHaveLength(appended.status === "fulfilled" ? entries.length : 0);
          expect(await journalOf(next.workflows, execution)).toEqual(atClaim);
        }
      }),
    );

    it(
      "that is refused does not take another shard's with it",
      run(async ({ messages, workflows }, context) => {
        const stale = await context.claim(messages);
        const held = await context.claim(messages, "default:2");
        await context.claim((await context.open()).messages);
        const other = { ...ORDER, executionId: "order-2" };
        const settled = await Promise.allSettled([
          workflows.appendJournal(other, [completed(0)], held, null),
          workflows.appendJournal(ORDER, [completed(0)], stale, null),
          workflows.appendJournal(other, [completed(1)], held, null),
        ]);
        expect(settled.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
        expect(await journalOf(workflows, other)).toEqual([completed(0), completed(1)]);
      }),
    );

    it.each([0, 2, 8])(
      "becomes durable after those called before it, and none after a claim resolved (INV-1, after %i turns)",
      async (turns) => {
        await run(async (old, context) => {
          const next = await context.open();
          const fence = await context.claim(old.messages);
          const entries = Array.from({ length: 40 }, (_, ordinal) => completed(ordinal));
          const append = (entry: JournalEntry): Promise<void> =>
            old.workflows.appendJournal(ORDER, [entry], fence, null);
          const appends = entries.slice(0, 20).map(append);
          for (let turn = 0; turn < turns; turn += 1) await Promise.resolve();
          const claiming = next.messages.claimShards(["default:1"]);
          appends.push(...entries.slice(20).map(append));
          const settling = Promise.allSettled(appends);
          await claiming;
          const atClaim = await journalOf(next.workflows, ORDER);
          const settled = await settling;
          const written = settled.filter(({ status }) => status === "fulfilled").length;
          expect(atClaim).toEqual(entries.slice(0, written));
          expect(await journalOf(next.workflows, ORDER)).toEqual(atClaim);
          for (const outcome of settled) {
            if (outcome.status === "rejected") expect(outcome.reason).toBeInstanceOf(FencedError);
          }
        })();
      },
    );
  });
}

function journalTransactions(factory: StorageFactory): void {
  const { describe, expect, it } = vitest();
  const run = storageCases(factory);

  describe("an append with a transaction", () => {
    it(
      "commits its writes and the entries together, or neither (INV-3)",
      run(async ({ messages, workflows }, context) => {
        const probe = context.backend.transactions;
        if (messages.beginTransaction === undefined || probe === undefined) {
          expect([messages.supports.transactions, probe]).toEqual([false, undefined]);
          return;
        }
        const fence = await context.claim(messages);

        const first = messages.beginTransaction();
        await probe.write(first, "reserved");
        await workflows.appendJournal(ORDER, [completed(0), completed(1)], fence, first);
        expect(await probe.has("reserved")).toBe(true);
        expect(await journalOf(workflows, ORDER)).toEqual([completed(0), completed(1)]);

        // What is there may be another's, or the caller's own of a commit whose outcome he did not hear.
        const repeated = messages.beginTransaction();
        await probe.write(repeated, "repeated");
        const repeating = workflows.appendJournal(ORDER, [completed(2), completed(1)], fence, repeated);
        await expect(repeating).rejects.toMatchObject({ code: "PERSISTENCE", outcome: "unknown" });
        await repeated.rollback();
        expect(await journalOf(workflows, ORDER)).toEqual([completed(0), completed(1)]);

        const rolledBack = messages.beginTransaction();
        await probe.write(rolledBack, "rolled back");
        await rolledBack.rollback();

        const failed = messages.beginTransaction();
        await probe.write(failed, "failed");
        await expect(probe.fail(failed)).rejects.toThrow();
        const appending = workflows.appendJournal(ORDER, [completed(2)], fence, failed);
        await expect(appending).rejects.toBeInstanceOf(TransactionUnavailableError);

        await context.claim((await context.open()).messages);
        const fenced = messages.beginTransaction();
        await probe.write(fenced, "fenced");
        await expect(workflows.appendJournal(ORDER, [completed(2)], fence, fenced)).rejects.toBeInstanceOf(
          FencedError,
        );
        await fenced.rollback();

        for (const key of ["repeated", "rolled back", "failed", "fenced"])
          expect([key, await probe.has(key)]).toEqual([key, false]);
        expect(await journalOf(workflows, ORDER)).toEqual([completed(0), completed(1)]);
      }),
    );
  });
}
