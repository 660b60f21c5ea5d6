// Vault: tables of the user's in the database that the cluster's storage is in, in memory. What a handler or an activity writes
// there is committed with its record, or not at all (INV-3).
//
//   V1  A transaction reads what is committed, and commits only if that is so still: else it asks for another attempt.
//   V2  Of two that commit, one is there whole before the other is looked at. Journals are appended in the same turn.

import {
  PersistenceError,
  transactionScopeOf,
  TransactionUnavailableError,
  type HasTransactionScope,
  type MessageStorage,
  type OpenStorage,
  type StorageTransaction,
  type WorkflowStorage,
} from "@holdfast/core/adapter";
import { overlaid } from "./late-writes.ts";

const KIND = "vault";

export interface VaultLine {
  readonly what: string;
  /** What whoever wrote it was told: what the account held then, or the number of a row. */
  readonly told: number;
  /** Null: it is a row of its own. */
  readonly account: string | null;
}

export class Vault {
  /** What was written, in the order in which it was committed. */
  readonly lines: VaultLine[] = [];
  readonly #accounts = new Map<string, number>();
  readonly #isLost: () => boolean;
  #rows = 0;
  #turn: Promise<unknown> = Promise.resolve();

  /** `isLost` says of each statement whether its connection is lost before it. */
  constructor(isLost: () => boolean) {
    this.#isLost = isLost;
  }

  holds(account: string): number {
    return this.#accounts.get(account) ?? 0;
  }

  /** Drawn from a sequence: no two are alike, and not all are used. */
  nextRow(): number {
    this.#rows += 1;
    return this.#rows;
  }

  /** The one transaction of this attempt. */
  transactionOf(context: HasTransactionScope): VaultTransaction {
    return transactionScopeOf(context, KIND).open(KIND) as VaultTransaction;
  }

  /** The same storage, which has this vault. */
  within(storage: OpenStorage): OpenStorage {
    const { messages, workflows } = storage;
    const vault: Pick<MessageStorage, "supports" | "saveReply" | "beginTransaction"> = {
      supports: { ...messages.supports, transactions: true },
      beginTransaction: (after) => new VaultTransaction(this, this.#isLost, after),
      saveReply: (reply, fence, transaction) =>
        transaction === null
          ? messages.saveReply(reply, fence, null)
          : this.#commit(transaction, async () => {
              const recorded = await messages.saveReply(reply, fence, null);
              return { result: recorded, isWritten: recorded === reply };
            }),
    };
    const journals: Pick<WorkflowStorage, "appendJournal"> = {
      appendJournal: (execution, entries, fence, transaction) => {
        const append = (): Promise<void> => workflows.appendJournal(execution, entries, fence, null);
        if (transaction === null) return this.#inTurn(append);
        return this.#commit(transaction, async () => {
          const stored = await workflows.readExecution(execution, { execution: "", inbox: [] });
          const taken = stored.entries.some(({ ordinal }) =>
            entries.some((each) => each.ordinal === ordinal),
          );
          if (taken)
            throw new PersistenceError({
              operation: "appendJournal",
              outcome: "unknown",
              detail: "its ordinal is there already",
            });
          return { result: await append(), isWritten: true };
        });
      },
    };
    return { ...storage, messages: overlaid(messages, vault), workflows: overlaid(workflows, journals) };
  }

  #commit<Result>(
    transaction: StorageTransaction,
    record: () => Promise<{ readonly result: Result; readonly isWritten: boolean }>,
  ): Promise<Result> {
    return this.#inTurn(async () => {
      const writes = (transaction as VaultTransaction).end();
      const { result, isWritten } = await record();
      if (!isWritten) return result;
      for (const line of writes) {
        if (line.account !== null) this.#accounts.set(line.account, line.told);
        this.lines.push(line);
      }
      return result;
    });
  }

  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => undefined);
    return done;
  }
}

export class VaultTransaction implements StorageTransaction {
  readonly kind = KIND;
  lostWith: Error | null = null;
  couldNotBegin = false;
  readonly #vault: Vault;
  readonly #isLost: () => boolean;
  readonly #after: Promise<unknown> | undefined;
  readonly #read = new Map<string, number>();
  readonly #lines: VaultLine[] = [];
  #isOver = false;

  constructor(vault: Vault, isLost: () => boolean, after: Promise<unknown> | undefined) {
    this.#vault = vault;
    this.#isLost = isLost;
    this.#after = after;
  }

  /** Adds to what an account holds, which this reads. Returns what it holds then. */
  async add(account: string, amount: number, what: string): Promise<number> {
    await this.#begin();
    const read = this.#read.get(account) ?? this.#vault.holds(account);
    this.#read.set(account, read);
    const own = this.#lines.findLast((line) => line.account === account)?.told;
    const told = (own ?? read) + amount;
    this.#lines.push({ what, told, account });
    return told;
  }

  /** Writes a row, which is in nobody's way. Returns its number. */
  async insert(what: string): Promise<number> {
    await this.#begin();
    const told = this.#vault.nextRow();
    this.#lines.push({ what, told, account: null });
    return told;
  }

  async rollback(): Promise<void> {
    this.#isOver = true;
  }

  /** Ends it. Returns what is to be committed. @throws nothing may be, and nothing will */
  end(): readonly VaultLine[] {
    this.#assertOpen();
    this.#isOver = true;
    for (const [account, read] of this.#read)
      if (this.#vault.holds(account) !== read)
        throw new TransactionUnavailableError(
          { wanted: KIND, why: `${account} was changed meanwhile` },
          { cause: Object.assign(new Error("could not serialize access"), { retryable: true }) },
        );
    return this.#lines;
  }

  async #begin(): Promise<void> {
    await this.#after;
    this.#assertOpen();
    if (!this.#isLost()) return;
    this.couldNotBegin = this.#lines.length === 0;
    this.lostWith = lost("query");
    throw this.lostWith;
  }

  #assertOpen(): void {
    if (this.lostWith !== null) throw this.lostWith;
    if (this.#isOver) throw lost("commit");
  }
}

function lost(operation: string): PersistenceError {
  return new PersistenceError({ operation, outcome: "not-written", detail: "its transaction is over" });
}
