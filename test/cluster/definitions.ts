// What the runners under test serve and the load calls. Every effect that a handler has is a row (tables.ts).

import { defineEntity, defineWorkflow, rpc } from "@holdfast/core";

/** Names an operation of the load. `number` counts the operations of one sender on one entity, or is null where nothing is said of order. */
export interface Entry {
  readonly key: string;
  readonly sender: string;
  readonly number: number | null;
  /** When it is due, in ms since 1970, if it was scheduled. */
  readonly dueAt?: number;
  /** How long its handler takes, with its transaction open. */
  readonly lastsMs?: number;
}

/** A counter: each `add` is one more, and one row. */
export const Ledger = defineEntity({
  name: "Ledger",
  rpcs: { add: rpc<Entry, number>({ persisted: true }) },
});

/** Passes what it gets on to a ledger, under the entry's own key. */
export const Relay = defineEntity({
  name: "Relay",
  rpcs: { pass: rpc<{ entry: Entry; ledger: string }, number>({ persisted: true }) },
});

/** One value, written and read through the transaction. */
export const Register = defineEntity({
  name: "Register",
  rpcs: {
    write: rpc<{ key: string; value: number }, void>({ persisted: true }),
    read: rpc<{ key: string }, number | null>({ persisted: true }),
  },
});

/** What nobody keeps: volatile calls and streams. */
export const Echo = defineEntity({
  name: "Echo",
  rpcs: {
    say: rpc<{ key: string }, string>(),
    count: rpc<{ upTo: number }, number>({ stream: true }),
    keptCount: rpc<{ key: string; upTo: number }, number>({ stream: true, persisted: true }),
  },
});

export interface TransferInput {
  readonly key: string;
  readonly ledger: string;
  readonly sleepMs: number;
}

/** Two activities with a sleep between them, an entity's call, and two activities at a time. */
export const Transfer = defineWorkflow<TransferInput, { readonly entries: number }>({
  name: "Transfer",
  key: (input) => input.key,
  hashKey: false,
});

/** The activities of each execution, each of which leaves one row. */
export const ACTIVITIES = ["debit", "credit", "noteA", "noteB"] as const;
