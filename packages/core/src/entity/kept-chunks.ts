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

  /** Sends what is kept of a stream to a consumer that joined or came back. Returns whether it could be read. Never rejects. */
  async send(requestId: string, answer: Answer): Promise<boolean> {
    try {
      const { chunks } = await this.#messages.readChunks(requestId, 0);
      for (const chunk of chunks) answer({ type: "chunk", chunk });
      return true;
    } catch (error) {
      this.#logger.warn("Kept chunks could not be read", { requestId, error: String(error) });
      return false;
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
