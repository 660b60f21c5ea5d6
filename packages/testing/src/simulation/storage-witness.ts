// StorageWitness: sees what storage does for all processes of a run, beneath the faults, and says whether its promises hold:
// no write under an epoch that is over (INV-1), and no reply that changes (INV-6). Every run is checked by it.

import type { Fence, OpenStorage, Reply } from "@holdfast/core/adapter";
import { checkOneOwner, type OwnedWrite } from "../checkers/one-owner.ts";
import { checkReplies, type Told } from "../checkers/replies.ts";

type Method = (...args: unknown[]) => Promise<unknown>;

export class StorageWitness {
  readonly #writes: OwnedWrite[] = [];
  readonly #told: Told[] = [];
  /** Counts the beginnings and ends of calls: they are the moments. */
  #moment = 0;
  /** How often each request's reply was taken back, by `handle.resume()`. */
  readonly #reopened = new Map<string, number>();

  /** The same storage, watched. */
  watch(storage: OpenStorage): OpenStorage {
    return {
      ...storage,
      messages: this.#watched(storage.messages),
      workflows: this.#watched(storage.workflows),
    };
  }

  /** @throws {Violation} */
  check(): void {
    checkOneOwner(this.#writes);
    checkReplies(this.#told);
  }

  #watched<Target extends object>(target: Target): Target {
    return new Proxy(target, {
      get: (object, property) => {
        const value: unknown = Reflect.get(object, property, object);
        if (typeof value !== "function" || typeof property === "symbol") return value;
        const call: Method = (...args) => Reflect.apply(value, object, args) as Promise<unknown>;
        // It returns at once; what is done with it comes back here.
        return property === "beginTransaction" ? call : this.#method(property, call);
      },
    });
  }

  #method(name: string, call: Method): Method {
    return async (...args) => {
      const from = this.#next();
      const result = await call(...args);
      const event = { from, to: this.#next(), what: name };
      if (name === "claimShards") {
        const [shardIds, epochs] = [args[0] as readonly string[], result as readonly number[]];
        for (const [index, resource] of shardIds.entries())
          this.#writes.push({ ...event, kind: "claim", resource, token: epochs[index] ?? -1 });
      }
      for (const fence of args.filter(isFence))
        this.#writes.push({ ...event, kind: "write", resource: fence.shardId, token: fence.epoch });
      if (name === "saveReply") this.#tell(result as Reply);
      if (name === "lookUp") for (const state of result as readonly unknown[]) this.#tellState(state);
      if (name === "lookUpByKey") this.#tellState(result);
      if (name === "reopenExecution" && result !== null) this.#reopen(args[1] as string);
      return result;
    };
  }

  #next(): number {
    this.#moment += 1;
    return this.#moment;
  }

  #tellState(state: unknown): void {
    if (typeof state === "object" && state !== null && "reply" in state) this.#tell(state.reply as Reply);
  }

  #tell({ requestId, exit }: Reply): void {
    this.#told.push({ request: `${requestId}#${this.#reopened.get(requestId) ?? 0}`, reply: exit });
  }

  #reopen(requestId: string): void {
    this.#reopened.set(requestId, (this.#reopened.get(requestId) ?? 0) + 1);
  }
}

function isFence(value: unknown): value is Fence {
  return typeof value === "object" && value !== null && "epoch" in value && "shardId" in value;
}
