// Load: senders that each send one operation after the other, from a client in this process, and note how each went.
//
// What a sender awaits before it goes on is accepted in that order, so that INV-4 can be checked of what it sent.

import type { Cluster } from "@holdfast/core";
import { chance, type Chance } from "./chance.ts";
import { lasting, until } from "./clock.ts";
import { Echo, Ledger, Register, Relay, Transfer, type Entry } from "./definitions.ts";
import type { History, Operation } from "./history.ts";

const LEDGERS = 30;
const REGISTERS = 4;
/** Time between two operations of a sender, at most. */
const PAUSE_MS = 40;

type Send = (sender: Sender) => Promise<unknown>;

interface Sender {
  readonly name: string;
  readonly below: Chance;
  count: number;
  readonly numbers: Map<string, number>;
}

export class Load {
  readonly #cluster: Cluster;
  readonly #history: History;
  readonly #below: Chance;
  readonly #senders: Promise<void>[] = [];
  #isOver = false;

  constructor(cluster: Cluster, history: History, seed: number) {
    this.#cluster = cluster;
    this.#history = history;
    this.#below = chance(seed);
  }

  start(): void {
    this.#run(6, "adder", (sender) => this.#add(sender, {}));
    this.#run(4, "slow", (sender) => this.#add(sender, { lastsMs: 50 + sender.below(300) }));
    this.#run(3, "notifier", (sender) => this.#notify(sender));
    this.#run(1, "scheduler", (sender) => this.#schedule(sender));
    this.#run(2, "passer", (sender) => this.#pass(sender));
    this.#run(6, "clerk", (sender) => this.#readOrWrite(sender));
    this.#run(3, "client", (sender) => this.#transfer(sender));
    this.#run(3, "speaker", (sender) => this.#say(sender));
    this.#run(1, "counter", (sender) => this.#count(sender));
    this.#run(2, "reader", (sender) => this.#keptCount(sender));
  }

  /** Nothing new is sent. Resolves when all that was sent is settled, or after `limitMs`. */
  async stop(limitMs: number): Promise<void> {
    this.#isOver = true;
    let isSettled = false;
    void Promise.all(this.#senders).then(() => (isSettled = true));
    await until("all is settled", limitMs, () => isSettled).catch(() => undefined);
  }

  #run(count: number, name: string, send: Send): void {
    for (let index = 0; index < count; index += 1) {
      const sender = {
        name: `${name}${index}`,
        below: chance(this.#below(2 ** 31)),
        count: 0,
        numbers: new Map(),
      };
      this.#senders.push(this.#loop(sender, send));
    }
  }

  async #loop(sender: Sender, send: Send): Promise<void> {
    while (!this.#isOver) {
      sender.count += 1;
      await send(sender);
      await lasting(sender.below(PAUSE_MS));
    }
  }

  #add(sender: Sender, more: Pick<Entry, "lastsMs">): Promise<unknown> {
    const { operation, entry } = this.#entry(sender, "add");
    return this.#history.record(operation, () =>
      this.#cluster.entity(Ledger, operation.entityId).add({ ...entry, ...more }),
    );
  }

  #notify(sender: Sender): Promise<unknown> {
    const { operation, entry } = this.#entry(sender, "notify");
    return this.#history.record(operation, () =>
      this.#cluster.entity(Ledger, operation.entityId).add.notify(entry),
    );
  }

  #schedule(sender: Sender): Promise<unknown> {
    const { operation, entry } = this.#entry(sender, "schedule");
    const dueAt = Date.now() + 200 + sender.below(800);
    return this.#history.record({ ...operation, number: null }, () =>
      this.#cluster
        .entity(Ledger, operation.entityId)
        .add.notify({ ...entry, number: null, dueAt }, { deliverAt: new Date(dueAt) }),
    );
  }

  #pass(sender: Sender): Promise<unknown> {
    const { operation, entry } = this.#entry(sender, "pass");
    // Its relay sends it on, so that nothing is said of the order in which it comes.
    const passed = { ...entry, number: null };
    return this.#history.record({ ...operation, number: null }, () =>
      this.#cluster
        .entity(Relay, `relay-${sender.below(LEDGERS)}`)
        .pass({ entry: passed, ledger: operation.entityId }),
    );
  }

  #readOrWrite(sender: Sender): Promise<unknown> {
    const key = keyOf(sender);
    const entityId = `register-${sender.below(REGISTERS)}`;
    const register = this.#cluster.entity(Register, entityId);
    const noted = { key, entityId, sender: sender.name };
    if (sender.below(2) === 0)
      return this.#history.record({ ...noted, kind: "read" }, () => register.read({ key }));
    const value = this.#below(2 ** 31);
    return this.#history.record({ ...noted, kind: "write", input: value }, () =>
      register.write({ key, value }),
    );
  }

  #transfer(sender: Sender): Promise<unknown> {
    const key = keyOf(sender);
    const input = { key, ledger: `ledger-${sender.below(LEDGERS)}`, sleepMs: 100 + sender.below(500) };
    return this.#history.record({ key, kind: "transfer", entityId: key, sender: sender.name }, () =>
      this.#cluster.workflow(Transfer).execute(input),
    );
  }

  #say(sender: Sender): Promise<unknown> {
    const key = keyOf(sender);
    const entityId = `echo-${sender.below(LEDGERS)}`;
    return this.#history.record({ key, kind: "say", entityId, sender: sender.name }, () =>
      this.#cluster.entity(Echo, entityId).say({ key }),
    );
  }

  #count(sender: Sender): Promise<unknown> {
    const key = keyOf(sender);
    const entityId = `echo-${sender.below(LEDGERS)}`;
    return this.#history.record({ key, kind: "count", entityId, sender: sender.name }, () =>
      collected(this.#cluster.entity(Echo, entityId).count({ upTo: 20 })),
    );
  }

  #keptCount(sender: Sender): Promise<unknown> {
    const key = keyOf(sender);
    const entityId = `echo-${sender.below(LEDGERS)}`;
    return this.#history.record({ key, kind: "keptCount", entityId, sender: sender.name }, () =>
      collected(this.#cluster.entity(Echo, entityId).keptCount({ key, upTo: 20 })),
    );
  }

  #entry(
    sender: Sender,
    kind: Operation["kind"],
  ): { operation: Pick<Operation, "key" | "kind" | "entityId" | "sender" | "number">; entry: Entry } {
    const entityId = `ledger-${sender.below(LEDGERS)}`;
    const number = (sender.numbers.get(entityId) ?? 0) + 1;
    sender.numbers.set(entityId, number);
    const entry = { key: keyOf(sender), sender: sender.name, number };
    return { operation: { ...entry, kind, entityId }, entry };
  }
}

/** What streams give in this load: the numbers from 0 on. Read to the end. */
export const STREAMED: readonly number[] = Array.from({ length: 20 }, (_, index) => index);

function keyOf(sender: Sender): string {
  return `${sender.name}-${sender.count}`;
}

async function collected(numbers: AsyncIterable<number>): Promise<readonly number[]> {
  const all: number[] = [];
  for await (const number of numbers) all.push(number);
  return all;
}
