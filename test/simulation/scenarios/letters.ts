// Letters: requests and executions that become dead letters, and a person who mends what they failed on, and requeues or drops
// them, while runners fail. What is requeued is handled once, however often it was begun before. What is dropped is not, and its
// key is free.

import { DeadLetteredError, defineEntity, defineWorkflow, rpc, WorkflowFailedError } from "@holdfast/core";
import {
  checkExactlyOnce,
  checkReplies,
  Violation,
  type Scenario,
  type SimulatedProcess,
  type Simulation,
  type Told,
} from "@holdfast/testing";
import { FencedStore } from "../fenced-store.ts";

interface Letter {
  readonly key: string;
  readonly lastsMs: number;
}

interface Round {
  readonly id: string;
  readonly keys: readonly string[];
}

const Box = defineEntity({ name: "Box", rpcs: { post: rpc<Letter, number>({ persisted: true }) } });

const Rounds = defineWorkflow<Round, readonly number[]>({
  name: "Rounds",
  key: ({ id }) => id,
  hashKey: false,
});

const LETTERS = 10;
const BOXES = 3;
const ROUNDS = 2;
/** More than it takes by far: each is a dead letter a few times at most. */
const MOST_TRIES = 40;
const LOOKS_EVERY_MS = 400;

export const letters: Scenario = {
  name: "letters",
  duration: "4s",
  start: (sim) => new Letters(sim),
};

class Letters {
  readonly options: { readonly storageMessageMaxRetries: number };
  readonly #sim: Simulation;
  readonly #store = new FencedStore<number, { key: string; place: number }>(0);
  readonly #letters: readonly (Letter & {
    readonly box: string;
    readonly isDropped: boolean;
    readonly hasKey: boolean;
  })[];
  /** What fails, until somebody mends it. */
  readonly #broken = new Set<string>();
  readonly #toDrop = new Set<string>();
  readonly #told: Told[] = [];
  readonly #acknowledged: string[] = [];
  #isOver = false;

  constructor(sim: Simulation) {
    this.#sim = sim;
    this.options = { storageMessageMaxRetries: sim.integer(0, 2) };
    this.#letters = Array.from({ length: LETTERS }, (_, index) => {
      const key = `letter ${index}`;
      if (sim.random() < 0.5) this.#broken.add(key);
      return {
        key,
        lastsMs: [0, 0, 20, 700][sim.integer(0, 3)] ?? 0,
        box: `${sim.integer(0, BOXES - 1)}`,
        isDropped: sim.random() < 0.4,
        hasKey: sim.random() < 0.7,
      };
    });
    for (const { key, isDropped } of this.#letters) if (isDropped) this.#toDrop.add(key);
  }

  register(process: SimulatedProcess) {
    const box = Box.implement({
      post: async ({ key, lastsMs }, ctx) => {
        const done = this.#store.done(ctx.requestId);
        if (done !== null) return done.result.place;
        if (lastsMs > 0) await process.sleep(lastsMs);
        if (this.#broken.has(key)) throw Object.assign(new Error(`${key} has no stamp`), { retryable: true });
        return this.#store.change(ctx.entityId, ctx, (count) => ({
          state: count + 1,
          result: { key, place: count + 1 },
        })).place;
      },
    });
    const rounds = Rounds.implement({
      async execute(ctx, { keys }) {
        const places: number[] = [];
        for (const key of keys) {
          places.push(await ctx.entity(Box, "round").post({ key, lastsMs: 5 }));
          await ctx.run("walk", () => process.sleep(20));
        }
        return places;
      },
    });
    return [box, rounds];
  }

  async run(): Promise<void> {
    const sent = Promise.all([
      this.#sim.operations(LETTERS, (index) => this.#send(index)),
      this.#sim.operations(ROUNDS, (index) => this.#walk(`round-${index}`)),
    ]).finally(() => (this.#isOver = true));
    await Promise.all([sent, this.#sort()]);
  }

  /** The person. */
  async #sort(): Promise<void> {
    const { deadLetters } = this.#sim.cluster;
    for (let isOver = false; !isOver;) {
      isOver = this.#isOver;
      for (const { requestId, input, entityType } of await deadLetters.list()) {
        const key = entityType === "Box" ? (input as Letter).key : "";
        // Of what may have been done nothing is dropped: sent again, it would be done twice.
        const isDropped = this.#broken.has(key) && this.#toDrop.has(key);
        await (isDropped ? deadLetters.drop(requestId) : deadLetters.requeue(requestId));
        this.#broken.delete(key);
      }
      await this.#sim.sleep(LOOKS_EVERY_MS);
    }
  }

  async #send(index: number): Promise<void> {
    const letter = this.#letters[index];
    if (letter === undefined) return;
    const { key, lastsMs, box, hasKey } = letter;
    const options = hasKey ? { idempotencyKey: key } : {};
    const post = (): Promise<number> => this.#sim.cluster.entity(Box, box).post({ key, lastsMs }, options);
    const place = await this.#insist(key, () => post().catch(deadLetter), hasKey ? MOST_TRIES : 1);
    // Sent again without a key it would be another one.
    if (place === null) return;
    this.#acknowledged.push(key);
    this.#told.push({ request: key, reply: place });
    if (hasKey) this.#told.push({ request: key, reply: await post() });
  }

  async #walk(id: string): Promise<void> {
    const keys = [0, 1, 2].map((number) => `${id}/${number}`);
    const workflow = this.#sim.cluster.workflow(Rounds);
    const places = await this.#insist(
      id,
      () =>
        workflow.execute({ id, keys }).catch(async (error: unknown) => {
          // It asked for one that is a dead letter, and so failed.
          if (!(error instanceof WorkflowFailedError)) return deadLetter(error);
          await workflow.get(id).resume();
          return null;
        }),
      MOST_TRIES,
    );
    this.#acknowledged.push(...keys);
    this.#told.push({ request: id, reply: places });
  }

  /** Asks again while it is a dead letter. Null: it is one after so many tries. */
  async #insist<Reply>(what: string, ask: () => Promise<Reply | null>, tries: number): Promise<Reply | null> {
    for (let tried = 1; tried <= tries; tried += 1) {
      const reply = await ask();
      if (reply !== null) return reply;
      await this.#sim.sleep(LOOKS_EVERY_MS);
    }
    if (tries === 1) return null;
    throw new Violation("what is requeued is handled", `${what} was asked for ${tries} times`);
  }

  async check(): Promise<void> {
    checkReplies(this.#told);
    checkExactlyOnce({
      effects: this.#store.changes.map(({ result }) => result.key),
      acknowledged: this.#acknowledged,
      asked: this.#letters.map(({ key }) => key),
    });
    const left = await this.#sim.cluster.deadLetters.list();
    if (left.length > 0) throw new Violation("what is requeued is handled", `${left.length} are left`);
  }
}

function deadLetter(error: unknown): null {
  if (error instanceof DeadLetteredError) return null;
  throw error;
}
