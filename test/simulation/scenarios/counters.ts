// Counters and registers that read, wait and write, in a store that fencing tokens guard. Two handlers of one entity at a
// time, a request that runs again under another id, a reply that is another's: each of them shows in the answers. Half of the
// requests have no key, so that they may run ahead of being stored.

import { defineEntity, rpc, type HandlerContext } from "@holdfast/core";
import {
  checkExactlyOnce,
  checkLinearizable,
  checkReplies,
  counterModel,
  registerModel,
  type CounterOperation,
  type RegisterOperation,
  type Scenario,
  type SimulatedProcess,
  type Simulation,
  type Told,
  Violation,
} from "@holdfast/testing";
import { FencedStore } from "../fenced-store.ts";
import { HandlerWatch } from "../handler-watch.ts";
import { insist } from "../insist.ts";

interface Lasting {
  readonly key: string;
  readonly lastsMs: number;
}

const KEPT = { persisted: true, uninterruptible: true } as const;

const Counter = defineEntity({
  name: "Counter",
  rpcs: { add: rpc<Lasting & { amount: number }, number>(KEPT), get: rpc<void, number>() },
});

const Register = defineEntity({
  name: "Register",
  rpcs: {
    write: rpc<Lasting & { value: number }, null>(KEPT),
    read: rpc<Lasting, number | null>(KEPT),
  },
});

const OPERATIONS = 36;

export const counters: Scenario = {
  name: "counters",
  duration: "12s",
  start: (sim) => new Counters(sim),
};

class Counters {
  readonly #sim: Simulation;
  readonly #counters = new FencedStore<number, { key: string; value: number }>(0);
  readonly #registers = new FencedStore<number | null, { key: string; value: number | null }>(null);
  readonly #counted = new Map<string, CounterOperation[]>();
  readonly #registered = new Map<string, RegisterOperation[]>();
  readonly #watch: HandlerWatch;
  readonly #told: Told[] = [];
  readonly #acknowledged: string[] = [];
  /** Which requests began, under which epoch, in which life of which process. */
  readonly #begun = new Set<string>();
  #violation: Violation | null = null;
  readonly #plan: readonly {
    readonly what: number;
    readonly id: number;
    readonly lastsMs: number;
    readonly hasKey: boolean;
    readonly again: boolean;
  }[];

  constructor(sim: Simulation) {
    this.#sim = sim;
    this.#watch = new HandlerWatch(sim);
    this.#plan = Array.from({ length: OPERATIONS }, () => {
      const hasKey = sim.random() < 0.5;
      return {
        what: sim.integer(0, 5),
        id: sim.integer(1, 2),
        // Longer than an entity may take to end, now and then.
        lastsMs: [0, 0, 20, 400, 2_500][sim.integer(0, 4)] ?? 0,
        hasKey,
        again: hasKey && sim.random() < 0.5,
      };
    });
  }

  register(process: SimulatedProcess) {
    const [counts, registers, watch] = [this.#counters, this.#registers, this.#watch];
    return [
      Counter.implement({
        add: ({ key, amount, lastsMs }, ctx) =>
          watch.during(`counter ${ctx.entityId}`, process, ctx, async () => {
            this.#noteBegun(process, ctx);
            const done = counts.done(ctx.requestId);
            if (done !== null) return done.result.value;
            const value = counts.read(ctx.entityId, ctx) + amount;
            if (lastsMs > 0) await process.sleep(lastsMs);
            return counts.write(ctx.entityId, ctx, { state: value, result: { key, value } }).value;
          }),
        get: (_input: void, ctx: HandlerContext) =>
          watch.during(`counter ${ctx.entityId}`, process, ctx, () => counts.read(ctx.entityId, ctx)),
      }),
      Register.implement({
        write: ({ key, value, lastsMs }, ctx) =>
          watch.during(`register ${ctx.entityId}`, process, ctx, async () => {
            if (lastsMs > 0) await process.sleep(lastsMs);
            registers.write(ctx.entityId, ctx, { state: value, result: { key, value: null } });
            return null;
          }),
        read: ({ key, lastsMs }, ctx) =>
          watch.during(`register ${ctx.entityId}`, process, ctx, async () => {
            const { value } = registers.change(ctx.entityId, ctx, (state) => ({
              state,
              result: { key, value: state },
            }));
            if (lastsMs > 0) await process.sleep(lastsMs);
            return value;
          }),
      }),
    ];
  }

  run(): Promise<void> {
    return this.#sim.operations(OPERATIONS, async (index) => {
      const planned = this.#plan[index];
      if (planned === undefined) return;
      const { what, id, lastsMs, hasKey, again } = planned;
      const key = `operation ${index}`;
      const ask = this.#ask(what, { key, lastsMs }, { number: index + 1, id: `${id}`, hasKey });
      if (ask === null) return this.#get(`${id}`);
      await ask();
      if (again) await ask();
    });
  }

  check(): void {
    this.#watch.check();
    if (this.#violation !== null) throw this.#violation;
    checkReplies(this.#told);
    const effects = [...this.#counters.changes, ...this.#registers.changes].map(({ result }) => result.key);
    checkExactlyOnce({ effects, acknowledged: this.#acknowledged });
    for (const [id, operations] of this.#counted)
      checkLinearizable(`counter ${id}`, counterModel, operations);
    for (const [id, operations] of this.#registered)
      checkLinearizable(`register ${id}`, registerModel, operations);
  }

  /** While its shard stays where it is nothing runs twice, whatever storage does. */
  #noteBegun({ runner, life }: SimulatedProcess, { requestId, fencingToken }: HandlerContext): void {
    const begun = `${requestId} on runner ${runner}, in its life ${life}, under ${fencingToken}`;
    if (this.#begun.has(begun)) this.#violation ??= new Violation("once", `${begun} began twice`);
    this.#begun.add(begun);
  }

  #ask(
    what: number,
    lasting: Lasting,
    { number, id, hasKey }: { readonly number: number; readonly id: string; readonly hasKey: boolean },
  ): (() => Promise<void>) | null {
    const { cluster } = this.#sim;
    const [counter, register] = [cluster.entity(Counter, id), cluster.entity(Register, id)];
    // Who asks again without a key asks for something else.
    const options = hasKey ? ({ idempotencyKey: lasting.key, timeout: "3s" } as const) : {};
    switch (what) {
      case 0:
      case 1:
        return this.#asked(this.#counted, id, { kind: "add", amount: number }, lasting.key, () =>
          counter.add({ ...lasting, amount: number }, options),
        );
      case 2:
        return null;
      case 3:
        return this.#asked(this.#registered, id, { kind: "read" }, lasting.key, () =>
          register.read(lasting, options),
        );
      default:
        return this.#asked(this.#registered, id, { kind: "write", value: number }, lasting.key, () =>
          register.write({ ...lasting, value: number }, options),
        );
    }
  }

  /** The first answer is the operation's; those of repeated calls are to be the same. */
  #asked<Input, Output>(
    history: Map<string, { input: Input; output: Output; invokedAt: number; completedAt: number }[]>,
    id: string,
    input: Input,
    key: string,
    call: () => Promise<Output>,
  ): () => Promise<void> {
    return async () => {
      const invokedAt = this.#sim.now();
      const output = await insist(call);
      this.#told.push({ request: key, reply: output });
      if (this.#acknowledged.includes(key)) return;
      this.#acknowledged.push(key);
      const operations = history.get(id) ?? [];
      history.set(id, operations);
      operations.push({ input, output, invokedAt, completedAt: this.#sim.now() });
    };
  }

  /** Volatile: one that fails says nothing. */
  async #get(id: string): Promise<void> {
    const invokedAt = this.#sim.now();
    const output = await this.#sim.cluster
      .entity(Counter, id)
      .get(undefined, { timeout: "5s" })
      .catch(() => null);
    if (output === null) return;
    const operations = this.#counted.get(id) ?? [];
    this.#counted.set(id, operations);
    operations.push({ input: { kind: "get" }, output, invokedAt, completedAt: this.#sim.now() });
  }
}
