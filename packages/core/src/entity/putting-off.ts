// PuttingOff: requests that go back to storage before they are answered, and come again later: executions that wait.
//
//   P1  What comes for a request while it is being put off makes it due at once: it is not slept through.

import type { MessageStorage } from "../adapter/message-storage.ts";
import type { Logger } from "../contract/logger.ts";
import type { Fence } from "../data/epoch.ts";
import type { ShardId } from "../data/shard-id.ts";
import { FencedError } from "../errors/storage.ts";
import type { Activation } from "./activation.ts";
import type { Counters } from "./counters.ts";
import type { HostedRequest } from "./hosted-request.ts";
import type { Inbox } from "./inbox.ts";

export interface PuttingOffOptions {
  readonly messages: MessageStorage;
  readonly logger: Logger;
  readonly counters: Counters;
  /** Requests in memory here, by id. */
  readonly requests: ReadonlyMap<string, HostedRequest>;
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

export class PuttingOff {
  readonly #options: PuttingOffOptions;

  constructor(options: PuttingOffOptions) {
    this.#options = options;
  }

  /** @param until wall time, or null: until it is hastened */
  async putOff(request: HostedRequest, activation: Activation, until: number | null): Promise<void> {
    const { messages, counters, logger, fenced, forget, inbox } = this.#options;
    let deliverAt = request.isHastened ? AT_ONCE : (until ?? FAR_FUTURE_MS);
    const write = (): Promise<void> =>
      messages.reschedule(request.id, { deliverAt, attempts: 0 }, activation.fence);
    try {
      await write();
      // Something came for it while that was written (P1).
      if (request.isHastened && deliverAt !== AT_ONCE) {
        deliverAt = AT_ONCE;
        await write();
      }
      counters.suspended += 1;
    } catch (error) {
      if (error instanceof FencedError) return fenced(activation.fence.shardId);
      // It stays pending with its old due time, so it is read again and finds out anew that it has to wait.
      logger.warn("A request could not be put off", { requestId: request.id, error: String(error) });
    }
    forget(request, activation);
    inbox.noteDue(deliverAt);
  }

  /** Has a request that was put off run now. @throws {FencedError} @throws {PersistenceError} */
  async hasten(requestId: string, fence: Fence): Promise<void> {
    const request = this.#options.requests.get(requestId);
    if (request !== undefined) {
      request.isHastened = true;
      return;
    }
    // If it came into memory meanwhile, it has read what it is hastened for; being due does it no harm.
    await this.#options.messages.reschedule(requestId, { deliverAt: null, attempts: 0 }, fence);
    void this.#options.inbox.wake();
  }
}
