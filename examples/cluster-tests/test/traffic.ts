// Traffic: callers that never stop asking, and know what they were promised. What came of it is read from the front after.

import { setTimeout as wait } from "node:timers/promises";
import type { HttpClient } from "./http-client.ts";

/** Each caller asks about so often. */
const PAUSE_MS = 20;
/** One request in so many is a workflow of ten activities. */
const WORKFLOW_EVERY = 25;

/** A request that got no answer that it should have got. */
export interface Failure {
  readonly kind: "persisted" | "volatile" | "workflow";
  readonly status: number;
  readonly error: unknown;
}

/** What was sent, and what came of it. */
export interface Account {
  readonly answered: number;
  readonly failures: readonly Failure[];
  /** Accepted requests and activities whose effect is not there. */
  readonly lost: readonly string[];
  /** Effects that are there more than once. */
  readonly doubled: readonly string[];
}

export class Traffic {
  readonly #client: HttpClient;
  readonly #name: string;
  readonly #stopping = new AbortController();
  readonly #callers: readonly Promise<void>[];
  /** The keys that each counter was sent. */
  readonly #keys = new Map<string, string[]>();
  readonly #workflows: string[] = [];
  readonly #failures: Failure[] = [];
  #answered = 0;

  constructor(client: HttpClient, name: string, callers: number) {
    this.#client = client;
    this.#name = name;
    this.#callers = Array.from({ length: callers }, (_, index) => this.#call(`${name}-${index}`));
  }

  get answered(): number {
    return this.#answered;
  }

  /** The failures so far. */
  get failures(): readonly Failure[] {
    return this.#failures;
  }

  /** Resolves when a good many more requests are answered, if anyone asks. */
  async carryOn(): Promise<void> {
    const target = this.#answered + 12 * this.#callers.length;
    while (this.#answered < target) await wait(PAUSE_MS);
  }

  /** Ends the traffic, waits for what is under way, and holds what there is against what was promised. */
  async stop(): Promise<Account> {
    this.#stopping.abort();
    await Promise.all(this.#callers);
    const lost: string[] = [];
    const doubled: string[] = [];
    const compare = (what: string, sent: readonly string[], found: readonly string[]): void => {
      const times = new Map<string, number>();
      for (const key of found) times.set(key, (times.get(key) ?? 0) + 1);
      lost.push(...sent.filter((key) => !times.has(key)).map((key) => `${what} ${key}`));
      doubled.push(...[...times].filter(([, count]) => count > 1).map(([key]) => `${what} ${key}`));
    };
    for (const [id, keys] of this.#keys) {
      const { body } = await this.#client.get(`/counters/${id}/increments`);
      compare(
        id,
        keys,
        (body as { key: string }[]).map(({ key }) => key),
      );
    }
    const steps = Array.from({ length: 10 }, (_, index) => `step-${index + 1}`);
    for (const id of this.#workflows) {
      await this.#untilAnswered("workflow", () => this.#client.get(`/workflows/long/${id}/result`));
      const { body } = await this.#client.get(`/activities/${id}`);
      compare(
        id,
        steps,
        (body as { activity: string }[]).map(({ activity }) => activity),
      );
    }
    return { answered: this.#answered, failures: this.#failures, lost, doubled };
  }

  async #call(id: string): Promise<void> {
    const keys: string[] = [];
    this.#keys.set(id, keys);
    for (let turn = 0; !this.#stopping.signal.aborted; turn += 1) {
      const key = `${id}-${turn}`;
      if (turn % WORKFLOW_EVERY === 0) {
        await this.#untilAnswered("workflow", () =>
          this.#client.post("/workflows/long", { id: key, pauseMs: 20 }),
        );
        this.#workflows.push(key);
      } else if (turn % 2 === 0) {
        await this.#untilAnswered("persisted", () =>
          this.#client.post(`/counters/${id}`, { amount: 1, key }),
        );
        keys.push(key);
      } else {
        // At most once: nobody asks again.
        await this.#ask("volatile", () =>
          this.#client.post(`/stateless/${this.#name}-${turn}`, { a: turn, b: 1 }),
        );
      }
      await wait(PAUSE_MS);
    }
  }

  /** What is at-least-once is asked for again under the same key: each time that this was needed is a failure all the same. */
  async #untilAnswered(kind: Failure["kind"], ask: () => ReturnType<HttpClient["get"]>): Promise<void> {
    while (!(await this.#ask(kind, ask))) await wait(PAUSE_MS);
  }

  async #ask(kind: Failure["kind"], ask: () => ReturnType<HttpClient["get"]>): Promise<boolean> {
    const { status, body } = await ask();
    if (status < 300) this.#answered += 1;
    else this.#failures.push({ kind, status, error: body });
    return status < 300;
  }
}
