import type { MessageStorage } from "../adapter/message-storage.ts";
import { decodeError } from "../contract/error-codec.ts";
import { checkOptionNames, type OptionNames } from "../contract/option-names.ts";
import { decodePayload } from "../contract/payload.ts";
import { checkWholeNumber } from "../contract/whole-number.ts";
import { executionTagOf } from "../contract/workflow-contract.ts";
import { givenHeaders } from "../data/envelope.ts";
import type { ShardId } from "../data/shard-id.ts";
import { ConfigError } from "../errors/config.ts";

/** A persisted request that failed its last attempt. */
export interface DeadLetterInfo {
  readonly requestId: string;
  readonly entityType: string;
  readonly entityId: string;
  /** The rpc's name. */
  readonly tag: string;
  readonly input: unknown;
  readonly headers: Readonly<Record<string, string>>;
  readonly attempts: number;
  /** What the last attempt failed with. */
  readonly error: Error;
  readonly deadSince: Date;
}

/** Which page of the dead letters. */
export interface DeadLetterQuery {
  /** Default 100. */
  readonly limit?: number;
  /** The request id of the last one seen. Default: none, the page begins with the oldest. */
  readonly after?: string;
}

const QUERY_NAMES: OptionNames<DeadLetterQuery> = { limit: true, after: true };

/** The requests that failed their last attempt, kept until they are requeued or dropped. */
export interface DeadLetters {
  /**
   * The oldest first. `after` is the request id of the last one seen, for the next page; if that one is a dead letter no
   * longer, the list begins again with the oldest.
   */
  list(query?: DeadLetterQuery): Promise<readonly DeadLetterInfo[]>;
  /** Lets a dead letter be attempted again, as often as a new request; an execution once less. Resolves to whether there was one. */
  requeue(requestId: string): Promise<boolean>;
  /**
   * Forgets a dead letter; with an execution of a workflow its journal and its signals, so that its id begins anew. A caller that
   * still waits for it asks once more, as for a new request. Resolves to whether there was one.
   */
  drop(requestId: string): Promise<boolean>;
}

/** @param wake tells the owner of a shard that there is work for it */
export function deadLetters(messages: () => MessageStorage, wake: (shardId: ShardId) => void): DeadLetters {
  /** Null: it is no dead letter. Its type never changes; whether it still is one, whoever takes it sees for itself. */
  const typeOf = async (requestId: string): Promise<string | null> => {
    if (typeof requestId !== "string")
      throw new ConfigError({
        option: "requestId",
        got: requestId,
        takes: "the request id of a dead letter",
      });
    const [state] = await messages().lookUp([requestId]);
    return state?.state === "dead" ? state.deadLetter.envelope.address.entityType : null;
  };
  return {
    async list(query = {}) {
      checkOptionNames(query, QUERY_NAMES);
      const { limit = 100, after = null } = query;
      const letters = await messages().listDeadLetters({ limit: checkWholeNumber(limit, "limit", 0), after });
      return letters.map(({ envelope, attempts, error, deadSince }) => ({
        requestId: envelope.requestId,
        entityType: envelope.address.entityType,
        entityId: envelope.address.entityId,
        tag: envelope.tag,
        input: decodePayload(envelope.payload, "A dead letter's input"),
        headers: givenHeaders(envelope),
        attempts,
        error: decodeError(error, []),
        deadSince: new Date(deadSince),
      }));
    },
    async requeue(requestId) {
      const type = await typeOf(requestId);
      if (type === null) return false;
      const address = await messages().requeueDeadLetter(requestId, executionTagOf(type));
      if (address !== null) wake(address.shardId);
      return address !== null;
    },
    async drop(requestId) {
      const type = await typeOf(requestId);
      return type !== null && messages().dropDeadLetter(requestId, executionTagOf(type));
    },
  };
}
