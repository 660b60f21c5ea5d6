// Stage storage: the journal, the inbox and the reply of one execution, what is durable of them, and what goes wrong.

import type { InboxMessage, WorkflowStorage } from "../src/adapter/workflow-storage.ts";
import type { Clock } from "../src/adapter/clock.ts";
import { sleep } from "../src/clock/sleep.ts";
import type { Fence } from "../src/data/epoch.ts";
import type { JournalEntry } from "../src/data/journal-entry.ts";
import { FencedError, PersistenceError, TransactionUnavailableError } from "../src/errors/storage.ts";
import type { StageTransaction } from "./stage-definitions.ts";

/** What happens at one write of the journal. */
export type Fault =
  | "crash-before"
  | "crash-after"
  | "not-written"
  | "unknown-written"
  | "unknown-lost"
  | "fenced"
  /** A statement in the transaction failed before. */
  | "cannot-commit";

/** What a process of the stage is to storage. */
export interface StorageClient {
  readonly clock: Clock;
  /** Whether it has crashed: it is answered no more. */
  readonly isGone: () => boolean;
  /** Ends it. */
  readonly crash: () => void;
  /** Another place at which it may crash. Returns whether it lives on. */
  readonly passes: () => boolean;
}

/** An entry, and the wall time at which it was written. */
export type WrittenEntry = JournalEntry & { readonly at: number };

export const FENCE: Fence = { shardId: "default:1", epoch: 7 };

export class StageStorage {
  /** What is durable. */
  readonly journal: JournalEntry[] = [];
  /** All that ever was, in the order in which it was written: also what was trimmed. */
  readonly written: WrittenEntry[] = [];
  /** Labels that transactional activities committed. */
  readonly committed: string[] = [];
  /** Messages that were accepted for the execution. */
  inbox: readonly InboxMessage[] = [];
  /** By the request id of a message: the wall time at which it was answered. */
  readonly answeredAt: Map<string, number> = new Map<string, number>();
  /** How many writes were made so far; the first is number 1. */
  writes = 0;
  /** Whether a write failed, or the process crashed, after the code had ended: its last entries may not be there. */
  lostItsEnd = false;
  /** By the number of the write. */
  readonly faults: Map<number, Fault> = new Map<number, Fault>();
  /** Turns that a write takes. */
  latencyTurns = 1;
  /** By the number of the write: milliseconds that it takes besides, whether or not its copy of the execution is over. */
  readonly slowWrites: Map<number, number> = new Map<number, number>();
  /** Whether the last copy's code has ended. */
  hasEnded: () => boolean = () => false;

  /** Storage as one process has it. What has no transaction becomes durable in the order in which it was called. */
  connect(client: StorageClient): WorkflowStorage & { reply(recorded: () => void): Promise<void> } {
    const { clock, isGone, passes } = client;
    let lane: Promise<void> = Promise.resolve();
    const write = async (
      fence: Fence,
      transaction: StageTransaction | null,
      apply: () => void,
    ): Promise<void> => {
      if (isGone()) return never();
      this.writes += 1;
      const fault = this.faults.get(this.writes);
      const slowMs = this.slowWrites.get(this.writes) ?? 0;
      this.lostItsEnd ||= fault === "not-written" || fault === "unknown-lost" || fault === "fenced";
      const turn = transaction === null ? lane : Promise.resolve();
      const done = (async () => {
        await turn;
        for (let turns = 0; turns < this.latencyTurns; turns += 1) await clock.nextTurn();
        if (slowMs > 0) await sleep(clock, slowMs);
      })();
      if (transaction === null) lane = done;
      await done;
      if (isGone()) return never();
      switch (fault) {
        case undefined:
          return apply();
        case "crash-before":
          client.crash();
          return never();
        case "crash-after":
          apply();
          client.crash();
          return never();
        case "not-written":
          throw failure("not-written");
        case "unknown-lost":
          throw failure("unknown");
        case "unknown-written":
          apply();
          // What was appended after it is not written.
          this.lostItsEnd ||= this.hasEnded();
          throw failure("unknown");
        case "cannot-commit":
          if (transaction === null) return apply();
          throw new TransactionUnavailableError({ wanted: "stage", why: "a statement in it failed" });
        case "fenced":
          throw new FencedError({ ...fence, current: fence.epoch + 1 });
      }
    };
    return {
      readExecution: async () => {
        if (!passes()) return never();
        return { entries: [...this.journal], inbox: [...this.inbox] };
      },
      appendJournal: (_execution, entries, fence, transaction) => {
        const tx = transaction as StageTransaction | null;
        return write(fence, tx, () => this.#append(entries, tx, clock.now()));
      },
      trimExecution: async (_execution, { belowOrdinal, requestIds, answeredBefore }) => {
        if (!passes()) return never();
        const kept = this.journal.filter(({ ordinal }) => ordinal >= belowOrdinal);
        this.journal.splice(0, this.journal.length, ...kept);
        this.inbox = this.inbox.filter(
          ({ requestId }) =>
            !requestIds.includes(requestId) ||
            (this.answeredAt.get(requestId) ?? answeredBefore) >= answeredBefore,
        );
        return passes() ? undefined : never();
      },
      listExecutions: () => Promise.reject(new Error("not on this stage")),
      reopenExecution: () => Promise.reject(new Error("not on this stage")),
      /** What the execution came to. Durable no earlier than what was appended before. */
      reply: (recorded) => write(FENCE, null, recorded),
    };
  }

  #append(entries: readonly JournalEntry[], transaction: StageTransaction | null, at: number): void {
    for (const entry of entries) {
      if (this.journal.some(({ ordinal }) => ordinal === entry.ordinal)) {
        if (transaction === null) continue;
        throw new PersistenceError({
          operation: "appendJournal",
          outcome: "unknown",
          detail: "it is there already",
        });
      }
      this.written.push({ ...entry, at });
      this.journal.push(entry);
      this.journal.sort((a, b) => a.ordinal - b.ordinal);
    }
    if (transaction !== null) this.committed.push(...transaction.labels);
  }
}

export function never(): Promise<never> {
  return new Promise(() => undefined);
}

function failure(outcome: "not-written" | "unknown"): PersistenceError {
  return new PersistenceError({ operation: "appendJournal", outcome, detail: "told to" });
}
