// Signals and cancellations: senders whose signals an execution takes one after the other, and callers who cancel some of
// them. Each signal is taken once, each sender's in order; what was done is undone once, the last first. Some executions continue
// as new between two words, which forgets what they did, and neither what they were told before nor what was told to them twice.

import {
  defineEntity,
  defineWorkflow,
  ExecutionStateError,
  rpc,
  WorkflowCancelledError,
  type WorkflowHandle,
} from "@holdfast/core";
import type { OpenStorage } from "@holdfast/core/adapter";
import {
  checkExactlyOnce,
  checkOrder,
  checkReplies,
  Violation,
  type Scenario,
  type SimulatedProcess,
  type Simulation,
  type Told,
} from "@holdfast/testing";
import * as z from "zod";
import { FencedStore } from "../fenced-store.ts";
import { withLateWrites } from "../late-writes.ts";

const Ledger = defineEntity({ name: "Ledger", rpcs: { note: rpc<string, number>({ persisted: true }) } });

const Word = z.object({ sender: z.string(), number: z.int() });
type Word = z.infer<typeof Word>;

/** It listens to so many words, pauses between two of them, and has so many in one run. `taken` are those of the runs before. */
const Talk = z.object({
  id: z.string(),
  words: z.int(),
  pauseMs: z.int(),
  perRun: z.int(),
  taken: z.array(Word),
});

const Conversation = defineWorkflow({
  name: "Conversation",
  input: Talk,
  output: z.array(Word),
  key: ({ id }) => id,
  hashKey: false,
  signals: { say: Word },
});
type Handle = WorkflowHandle<NonNullable<(typeof Conversation)["types"]>>;

const TALKS = 5;
const SENDERS = 2;
const EACH = 3;
/** The part of the writes of journals that come after who asked has heard that their outcome is unknown. */
const LATE = 0.05;

export const signals: Scenario = {
  name: "signals",
  duration: "12s",
  start: (sim) => new Signals(sim),
};

class Signals {
  /** A write that comes late costs an attempt. */
  readonly options = { storageMessageMaxRetries: 50 };
  readonly #sim: Simulation;
  readonly #ledger = new FencedStore<readonly string[], number>([]);
  readonly #talks: readonly {
    readonly pauseMs: number;
    readonly gapMs: number;
    readonly repeats: boolean;
    readonly perRun: number;
    readonly cancelledAfterMs: number | null;
  }[];
  readonly #outcomes = new Map<string, readonly Word[] | "cancelled">();
  readonly #told: Told[] = [];

  constructor(sim: Simulation) {
    this.#sim = sim;
    this.#talks = Array.from({ length: TALKS }, () => ({
      pauseMs: [0, 0, 100, 3_000][sim.integer(0, 3)] ?? 0,
      gapMs: [0, 20, 1_000][sim.integer(0, 2)] ?? 0,
      repeats: sim.random() < 0.4,
      perRun: [1, 2, SENDERS * EACH][sim.integer(0, 2)] ?? 1,
      cancelledAfterMs: sim.random() < 0.5 ? sim.integer(0, 6_000) : null,
    }));
  }

  readonly tamper = (storage: OpenStorage): OpenStorage => withLateWrites(this.#sim, LATE, storage);

  register(process: SimulatedProcess) {
    const ledger = Ledger.implement({
      note: async (line, ctx) => {
        await process.sleep(5);
        return this.#ledger.change(ctx.entityId, ctx, (lines) => ({
          state: [...lines, line],
          result: lines.length,
        }));
      },
    });
    const conversation = Conversation.implement({
      async execute(ctx, { taken: before, ...talk }) {
        const { id, words, pauseMs, perRun } = talk;
        const taken: Word[] = [...before];
        const note = (line: string): Promise<number> => ctx.entity(Ledger, id).note(line);
        while (taken.length < words) {
          const number = taken.length;
          taken.push(await ctx.signal("say"));
          ctx.onCompensate(`undo ${number}`, () => note(`undo ${number}`));
          await note(`do ${number}`);
          if (pauseMs > 0 && number % 2 === 0) await ctx.sleep(pauseMs);
          if (taken.length % perRun === 0 && taken.length < words)
            return ctx.continueAsNew({ ...talk, taken });
        }
        return taken;
      },
    });
    return [ledger, conversation];
  }

  run(): Promise<void> {
    return this.#sim.operations(TALKS, async (index) => {
      const talk = this.#talks[index];
      if (talk === undefined) return;
      const id = `talk-${index}`;
      const { pauseMs, perRun, cancelledAfterMs } = talk;
      const input = { id, words: SENDERS * EACH, pauseMs, perRun, taken: [] };
      const handle: Handle = await this.#sim.cluster.workflow(Conversation).start(input);
      const senders = Array.from({ length: SENDERS }, (_, sender) => this.#speak(handle, `${sender}`, talk));
      await Promise.all([...senders, this.#cancel(handle, cancelledAfterMs)]);
      for (let asked = 0; asked < 2; asked += 1) {
        const outcome = await handle.result().catch((error: unknown) => {
          if (error instanceof WorkflowCancelledError && cancelledAfterMs !== null)
            return "cancelled" as const;
          throw error;
        });
        this.#outcomes.set(id, outcome);
        this.#told.push({ request: id, reply: outcome });
      }
    });
  }

  /** Sends its words in order, each once the last one was accepted, and some of them again. */
  async #speak(
    handle: Handle,
    sender: string,
    { gapMs, repeats }: { gapMs: number; repeats: boolean },
  ): Promise<void> {
    for (let number = 1; number <= EACH; number += 1) {
      for (let times = 0; times < (repeats && number % 2 === 1 ? 2 : 1); times += 1) {
        const idempotencyKey = `${sender}/${number}`;
        try {
          await handle.signal("say", { sender, number }, { idempotencyKey });
        } catch (error) {
          // It has ended: by a cancellation, or because this very word was the last that it took.
          if (error instanceof ExecutionStateError) return;
          throw error;
        }
      }
      if (gapMs > 0) await this.#sim.sleep(gapMs);
    }
  }

  async #cancel(handle: Handle, afterMs: number | null): Promise<void> {
    if (afterMs === null) return;
    await this.#sim.sleep(afterMs);
    await handle.cancel("changed my mind");
    await handle.cancel("and again");
  }

  check(): void {
    checkReplies(this.#told);
    for (const [id, outcome] of this.#outcomes) {
      const lines = this.#ledger.peek(id);
      checkExactlyOnce({ effects: lines.map((line) => `${id}: ${line}`), acknowledged: [] });
      const { perRun = 0 } = this.#talks[Number(id.replace("talk-", ""))] ?? {};
      if (outcome === "cancelled") this.#checkUndone(id, lines, perRun);
      else this.#checkTaken(id, outcome, lines);
    }
  }

  #checkTaken(id: string, taken: readonly Word[], lines: readonly string[]): void {
    const said = Array.from({ length: SENDERS }, (_, sender) =>
      Array.from({ length: EACH }, (__, number) => `${id}: ${sender}/${number + 1}`),
    ).flat();
    const effects = taken.map(({ sender, number }) => `${id}: ${sender}/${number}`);
    checkExactlyOnce({ effects, acknowledged: said, asked: [] });
    checkOrder(taken.map((word) => ({ ...word, entity: id })));
    const expected = taken.map((_, number) => `do ${number}`).join(", ");
    if (lines.join(", ") !== expected)
      throw new Violation("steps in order", `${id} did ${lines.join(", ")}, and was to do ${expected}`);
  }

  /** All that its last run did is undone after it, the last first, and perhaps something that had not been done yet. */
  #checkUndone(id: string, lines: readonly string[], perRun: number): void {
    const done = lines.filter((line) => line.startsWith("do ")).length;
    const undone = lines.length - done;
    const before = done - (done % perRun);
    // Where its last run was about to begin, it may be the one before that undoes, of which all was done.
    const isOf = (first: number): boolean => {
      const expected = [
        ...count(done).map((number) => `do ${number}`),
        ...count(undone)
          .toReversed()
          .map((number) => `undo ${first + number}`),
      ];
      return lines.join() === expected.join() && undone >= done - first && undone <= done - first + 1;
    };
    if (!isOf(before) && !(done === before && done > 0 && isOf(done - perRun)))
      throw new Violation("compensation", `${id}, which was cancelled, did ${lines.join(", ")}`);
  }
}

function count(length: number): readonly number[] {
  return Array.from({ length }, (_, number) => number);
}
