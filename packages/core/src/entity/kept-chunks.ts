import type { MessageStorage } from "../adapter/message-storage.ts";
import type { Logger } from "../contract/logger.ts";
import type { Answer } from "./reply-waiters.ts";

/** The chunks of persisted streams that storage keeps until they are acknowledged. */
export class KeptChunks {
  readonly #messages: MessageStorage;
  readonly #logger: Logger;

  constructor(messages: MessageStorage, logger: Logger) {
    this.#messages = messages;
    this.#logger = logger;
  }

  /**
   * Sends what is kept of a stream, from `readFrom` on, to a consumer that joined or came back. Resolves to how to say from where
   * on it is kept, and how many there were, or to null if that could not be read. Never rejects.
   */
  async send(
    requestId: string,
    readFrom: number,
    answer: Answer,
  ): Promise<{ readonly keptFrom?: number; readonly chunkCount?: number } | null> {
    try {
      const { chunks, saved } = await this.#messages.readChunks(requestId, readFrom);
      const first = chunks[0]?.index ?? saved;
      const kept = first === 0 ? {} : { keptFrom: first };
      for (const chunk of chunks) answer({ type: "chunk", chunk, ...kept });
      return saved === 0 ? kept : { ...kept, chunkCount: saved };
    } catch (error) {
      this.#logger.warn("Kept chunks could not be read", { requestId, error: String(error) });
      return null;
    }
  }

  /** Forgets what the consumer has taken. Never rejects: what is left goes with the request. */
  async forget(requestId: string, upTo: number): Promise<void> {
    try {
      await this.#messages.acknowledgeChunks(requestId, upTo);
    } catch (error) {
      this.#logger.warn("Acknowledged chunks could not be deleted", { requestId, error: String(error) });
    }
  }
}
