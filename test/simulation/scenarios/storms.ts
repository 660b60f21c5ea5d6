// Storms: deploys and crashes all the time, on top of all other faults, while senders send one request after the other.
// Nothing that was accepted may be lost, overtaken, or answered in two ways.

import { defineEntity, rpc } from "@holdfast/core";
import {
  checkExactlyOnce,
  checkNoLostRequest,
  checkOrder,
  checkReplies,
  type Scenario,
  type SimulatedProcess,
  type Simulation,
  type Told,
} from "@holdfast/testing";
import { FencedStore } from "../fenced-store.ts";
import { HandlerWatch } from "../handler-watch.ts";

interface Line {
  readonly key: string;
  readonly sender: string;
  readonly number: number;
  readonly lastsMs: number;
}

const List = defineEntity({
  name: "List",
  mailboxCapacity: 1_000,
  rpcs: { append: rpc<Line, number>({ persisted: true }), say: rpc<string, string>() },
});

const RUNNERS = 4;
const LISTS = 5;
const SENDERS = 4;
const LINES = 32;
const WRECKS = 8;

export const storms: Scenario = {
  name: "storms",
  runners: RUNNERS,
  duration: "16s",
  start: (sim) => new Storms(sim),
};

class Storms {
  readonly options = { detachmentEnabled: false, storageMessageMaxRetries: 50 };
  readonly #sim: Simulation;
  readonly #store = new FencedStore<readonly Line[], { line: Line; place: number }>([]);
  readonly #watch: HandlerWatch;
  readonly #accepted: string[] = [];
  readonly #acknowledged: string[] = [];
  readonly #told: Told[] = [];
  readonly #said: string[] = [];
  readonly #wrecks: readonly { readonly runner: number; readonly isCrash: boolean; readonly forMs: number }[];
  readonly #lines: readonly { readonly lastsMs: number; readonly waits: boolean }[];

  constructor(sim: Simulation) {
    this.#sim = sim;
    this.#watch = new HandlerWatch(sim);
    this.options.detachmentEnabled = sim.random() < 0.5;
    this.#wrecks = Array.from({ length: WRECKS }, () => ({
      runner: sim.integer(0, RUNNERS - 1),
      isCrash: sim.random() < 0.4,
      forMs: sim.integer(0, 1) === 0 ? sim.integer(1, 300) : sim.integer(300, 6_000),
    }));
    this.#lines = Array.from({ length: LINES }, () => ({
      lastsMs: [0, 0, 30, 700][sim.integer(0, 3)] ?? 0,
      waits: sim.random() < 0.4,
    }));
  }

  register(process: SimulatedProcess) {
    return [
      List.implement({
        append: (line, ctx) =>
          this.#watch.during(`list ${ctx.entityId}`, process, ctx, async () => {
            if (line.lastsMs > 0) await process.sleep(line.lastsMs);
            return this.#store.change(ctx.entityId, ctx, (lines) => ({
              state: [...lines, line],
              result: { line, place: lines.length },
            })).place;
          }),
        say: (text) => {
          this.#said.push(text);
          return text;
        },
      }),
    ];
  }

  async run(): Promise<void> {
    const queues = Array.from({ length: SENDERS }, () => Promise.resolve());
    await Promise.all([
      this.#sim.operations(WRECKS, (index) => this.#wreck(index)),
      this.#sim.operations(LINES, async (index) => {
        const sender = index % SENDERS;
        // Each sender's next request goes out once its last one was accepted, in whatever order their moments come.
        const sending = (queues[sender] ?? Promise.resolve()).then(() => this.#send(sender));
        queues[sender] = sending.then(() => undefined);
        await sending;
      }),
    ]);
  }

  readonly #sent = Array.from({ length: SENDERS }, () => 0);

  async #send(sender: number): Promise<void> {
    const number = (this.#sent[sender] ?? 0) + 1;
    this.#sent[sender] = number;
    const key = `${sender}/${number}`;
    const { lastsMs, waits } = this.#lines[(sender * 7 + number) % LINES] ?? { lastsMs: 0, waits: true };
    const line = { key, sender: `${sender}`, number, lastsMs };
    const list = this.#sim.cluster.entity(List, `${(sender + number) % LISTS}`);
    if (number % 3 === 0) await this.#say(list, key);
    if (!waits) {
      await list.append.notify(line, { idempotencyKey: key });
      this.#accepted.push(key);
      return;
    }
    const place = await list.append(line, { idempotencyKey: key });
    this.#acknowledged.push(key);
    this.#told.push({ request: key, reply: place });
    this.#told.push({ request: key, reply: await list.append(line, { idempotencyKey: key }) });
  }

  async #say(list: { say(text: string): Promise<string> }, key: string): Promise<void> {
    const said = await list.say(key).catch(() => null);
    if (said !== null)
      this.#told.push({ request: `say ${key}`, reply: said }, { request: `say ${key}`, reply: key });
  }

  async #wreck(index: number): Promise<void> {
    const { runner, isCrash, forMs } = this.#wrecks[index] ?? { runner: 0, isCrash: false, forMs: 0 };
    const { cluster } = this.#sim;
    const wrecked = cluster.runners[runner];
    if (wrecked?.isAlive !== true || wrecked.isPaused) return;
    if (isCrash) wrecked.crash();
    else void wrecked.shutdown().catch(() => undefined);
    await this.#sim.sleep(forMs);
    cluster.revive(runner);
  }

  check(): void {
    this.#watch.check();
    const changes = this.#store.changes;
    checkNoLostRequest({
      accepted: [...this.#accepted, ...this.#acknowledged],
      handled: changes.map(({ result }) => result.line.key),
    });
    checkExactlyOnce({
      effects: changes.map(({ result }) => result.line.key),
      acknowledged: this.#acknowledged,
      asked: this.#accepted,
    });
    checkExactlyOnce({ effects: this.#said, acknowledged: [] });
    checkOrder(changes.map(({ key, result: { line } }) => ({ ...line, entity: key })));
    checkReplies(this.#told);
    for (const { result } of changes) this.#told.push({ request: result.line.key, reply: result.place });
    checkReplies(this.#told);
  }
}
