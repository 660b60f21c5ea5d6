// PuttingOff: requests that go back to storage before they are answered, and come again later: executions that wait.
//
//   P1  What comes for a request while it is being put off makes it due at once, and is told when that is durable: whoever
//       brought it may end then, and not before. While the request runs it is due in storage anyway.
//   P2  It leaves memory when storage has said what became of that: a write that may come late would put off what runs, or is due,
//       by then. Once a later one has resolved, it comes no more (message-storage.ts).

import type { Clock } from "../adapter/clock.ts";
import type { MessageStorage } from "../adapter/message-storage.ts";
import type { Random } from "../adapter/random.ts";
import { backoffMs, OWN_RETRIES } from "../clock/backoff.ts";
import { sleep } from "../clock/sleep.ts";
import type { Logger } from "../contract/logger.ts";
import type { BriefMap } from "../data/brief-map.ts";
import type { Fence } from "../data/epoch.ts";
import type { ShardId } from "../data/shard-id.ts";
import { FencedError, isNotWritten, PersistenceError } from "../errors/storage.ts";
import type { Activation } from "./activation.ts";
import type { Suspension } from "./behavior.ts";
import type { Counters } from "./counters.ts";
import type { HostedRequest } from "./hosted-request.ts";
import type { Inbox } from "./inbox.ts";

export interface PuttingOffOptions {
  readonly messages: MessageStorage;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly counters: Counters;
  /** Requests in memory here, by id. */
  readonly requests: Pick<BriefMap<HostedRequest>, "get">;
  readonly inbox: Inbox;
  /** Storage refused a write for this shard. */
  readonly fenced: (shardId: ShardId) => void;
  /** Lets a request leave memory. */
  readonly forget: (request: HostedRequest, activation: Activation) => void;
}

/** The due time of what is put off without one: something else wakes it. */
const FAR_FUTURE_MS = 8.64e15;
/** Wall time: at once. */
const AT_ONCE = 0;

/** What became of it: `moved`, its shard is gone from here, and storage may have it put off. */
type Outcome = "done" | "moved";

export class PuttingOff {
  readonly #options: PuttingOffOptions;
  readonly #underWay = new Map<string, Promise<Outcome>>();

  constructor(options: PuttingOffOptions) {
    this.#options = options;
  }

  /** Never rejects. */
  async putOff(request: HostedRequest, activation: Activation, suspension: Suspension): Promise<void> {
    const until = Math.min(suspension.until ?? FAR_FUTURE_MS, FAR_FUTURE_MS);
    const { counters, forget, inbox } = this.#options;
    // In the turn of the last write's answer, so that nothing comes for it that is noticed by nobody.
    const leave = (outcome: Outcome): Outcome => {
      this.#underWay.delete(request.id);
      forget(request, activation);
      if (outcome === "done") counters.suspended += 1;
      return outcome;
    };
    const due = { until, attempts: suspension.attempts };
    const writing = this.#write(request, activation.fence, due, leave);
    this.#underWay.set(request.id, writing);
    await writing;
    inbox.noteDue(request.isHastened ? AT_ONCE : until);
  }

  /**
   * Has a request that was put off run now. Resolves when it is sure to.
   *
   * @throws {FencedError} @throws {PersistenceError} it is not: the caller tries again
   */
  async hasten(
    { requestId, attempts }: { readonly requestId: string; readonly attempts: number },
    fence: Fence,
  ): Promise<void> {
    const { requests, messages, inbox } = this.#options;
    const request = requests.get(requestId);
    if (request !== undefined) {
      request.isHastened = true;
      if ((await this.#underWay.get(requestId)) !== "moved") return;
      const detail = "the shard moved while the request was put off";
      throw new PersistenceError({ operation: "hasten", outcome: "not-written", detail });
    }
    // If it came into memory meanwhile, it has read what it is hastened for; being due does it no harm.
    await messages.reschedule(requestId, { deliverAt: null, attempts }, fence);
    void inbox.wake();
  }

  async #write(
    request: HostedRequest,
    fence: Fence,
    { until, attempts }: { readonly until: number; readonly attempts: number },
    leave: (outcome: Outcome) => Outcome,
  ): Promise<Outcome> {
    const { messages, clock, random, logger, fenced } = this.#options;
    for (let failures = 0; ;) {
      const deliverAt = request.isHastened ? AT_ONCE : until;
      try {
        await messages.reschedule(request.id, { deliverAt, attempts }, fence);
        if (deliverAt === AT_ONCE || !request.isHastened) return leave("done");
      } catch (error) {
        if (error instanceof FencedError) {
          fenced(fence.shardId);
          return leave("moved");
        }
        const level = failures === 0 ? "warn" : "debug";
        logger[level]("A request could not be put off", { requestId: request.id, error: String(error) });
        // Due as it was: then it is read again, and finds out anew that it has to wait. That will do, but not to what came
        // meanwhile (P1). Nor does it matter when it is made due.
        const mayComeLate = deliverAt !== AT_ONCE && !isNotWritten(error);
        if (!request.isHastened && !mayComeLate) return leave("done");
        failures += 1;
        await sleep(clock, backoffMs(OWN_RETRIES, failures, random), request.signal);
        if (request.hasMoved()) return leave("moved");
      }
    }
  }
}
