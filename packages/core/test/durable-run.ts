// DurableRun: the request that an execution is, from its acceptance to its reply, past suspensions and crashes.
//
// Plays the owner of its shard on a stage: has the execution run when it is due or hastened, hands it the messages that
// come meanwhile, and does all of that again in the next process, at once, after a crash. A message that was not answered
// when the process crashed is handed over again.

import type { RequestState } from "../src/adapter/message-storage.ts";
import type { InboxMessage } from "../src/adapter/workflow-storage.ts";
import { encodePayload } from "../src/contract/payload.ts";
import { EXECUTION_TAGS, WAKE } from "../src/contract/workflow-contract.ts";
import type { ExecutionStage, StageEnd } from "./execution-stage.ts";
import { OutsideWorld } from "./outside-world.ts";
import { Staged } from "./stage-definitions.ts";

const MOST_COPIES = 300;

export class DurableRun {
  readonly #stage: ExecutionStage;
  readonly world: OutsideWorld;
  /** Wall time at which it is due: durable. Infinite: when it is hastened. */
  #dueAt = 0;
  #isHosted = false;
  #isHastened = false;
  /** How often it was begun without being put off. */
  #attempts = 0;
  #reply: StageEnd | null = null;
  /** Messages whose handling is not recorded, in the order in which they were accepted. */
  readonly #unanswered = new Map<string, InboxMessage>();
  /** The process that was given them. */
  #toldProcess = 0;
  #wakes = 0;

  constructor(stage: ExecutionStage) {
    this.#stage = stage;
    this.world = new OutsideWorld(stage.clock, () => {
      this.#wakes += 1;
      this.#accept({ requestId: `wake ${this.#wakes}`, tag: WAKE, payload: encodePayload(null, "nothing") });
    });
    stage.lasts = (attempt, ms, signal) => this.world.lasts(attempt, ms, signal);
    stage.surround = (crashable) => ({
      workflow: this.world.clients(crashable),
      callEntity: crashable((target, input, options) => this.world.call(target, input, options)),
      notifyEntity: crashable(async (target, input, options) => {
        await this.world.call(target, input, options);
      }),
      lookUp: crashable(async (entityType, executionId) => this.#lookUp(entityType, executionId)),
      isHosted: () => this.#isHosted,
      hasten: crashable(async () => this.#hasten()),
    });
  }

  /** A message is sent at this time after the start. */
  post(afterMs: number, tag: string, input: unknown): void {
    const { clock } = this.#stage;
    const requestId = `${tag} at ${afterMs}`;
    this.world.at(clock.now() + afterMs, () =>
      this.#accept({ requestId, tag, payload: encodePayload(input, "a message") }),
    );
  }

  /** Runs the execution until it is answered, or waits for what never comes. */
  async run(): Promise<StageEnd> {
    const { clock } = this.#stage;
    await clock.settle();
    while (this.#stage.copies < MOST_COPIES) {
      if (this.#reply !== null) return this.#reply;
      if (this.#dueAt <= clock.now()) await this.#host();
      else if (this.#toldProcess === this.#stage.processes) {
        const next = Math.min(this.#dueAt, this.#nextMoment());
        if (next === Number.POSITIVE_INFINITY) return { type: "suspended", until: null };
        await clock.advance(next - clock.now());
      } else {
        this.#tellAgain();
        await clock.settle();
      }
    }
    throw new Error("The execution never ends");
  }

  /** Runs one copy, and records what came of it. */
  async #host(): Promise<void> {
    const stage = this.#stage;
    this.#isHosted = true;
    this.#isHastened = false;
    this.#attempts += 1;
    stage.begin(this.#attempts);
    this.#tellAgain();
    const end = await stage.settle();
    if (end.type === "suspended") await stage.crashOr(this.#putOff(end.until));
    else if (end.type !== "crashed") {
      if (end.type === "failed" && (end.error as { retryable?: boolean }).retryable === true) throw end.error;
      await stage.crashOr(stage.reply(() => (this.#reply = end)));
    }
    this.#isHosted = false;
    await stage.clock.settle();
  }

  async #putOff(until: number | null): Promise<void> {
    const turn = this.#stage.turns();
    for (;;) {
      const dueAt = this.#isHastened ? 0 : (until ?? Number.POSITIVE_INFINITY);
      await turn();
      this.#dueAt = dueAt;
      this.#attempts = 0;
      if (!this.#isHastened || dueAt === 0) return;
    }
  }

  #nextMoment(): number {
    const { clock } = this.#stage;
    const due = clock.nextDueAt();
    return due === null ? Number.POSITIVE_INFINITY : clock.now() + due - clock.monotonic();
  }

  #lookUp(entityType: string, executionId: string): RequestState | null {
    const pending = { state: "pending", requestId: "request-1", deliverAt: null, attempts: 1 } as const;
    const deliverAt = this.world.putOff.get(executionId);
    if (deliverAt !== undefined) return { ...pending, deliverAt };
    if (entityType !== Staged.entity.name) return this.world.isChild(executionId) ? pending : null;
    if (this.#reply === null) return pending;
    const exit = { ok: true, value: "null" } as const;
    return { state: "answered", requestId: pending.requestId, reply: { requestId: pending.requestId, exit } };
  }

  #hasten(): void {
    if (this.#isHosted) this.#isHastened = true;
    else this.#dueAt = 0;
  }

  #accept(message: InboxMessage): void {
    const { storage } = this.#stage;
    if (EXECUTION_TAGS.inbox.includes(message.tag)) storage.inbox = [...storage.inbox, message];
    this.#unanswered.set(message.requestId, message);
    if (this.#toldProcess === this.#stage.processes) void this.#deliver(message);
  }

  #tellAgain(): void {
    if (this.#toldProcess === this.#stage.processes) return;
    this.#toldProcess = this.#stage.processes;
    // Read from storage sooner or later after the execution itself: crashes at different places make that different.
    const delayTurns = this.#stage.places % 6;
    for (const message of this.#unanswered.values()) void this.#deliver(message, delayTurns);
  }

  async #deliver(message: InboxMessage, delayTurns: number = 0): Promise<void> {
    const turn = this.#stage.turns();
    for (let turns = 0; turns < delayTurns; turns += 1) await turn();
    await this.#stage.deliver(message);
    this.#unanswered.delete(message.requestId);
    this.#stage.storage.answeredAt.set(message.requestId, this.#stage.clock.now());
  }
}
