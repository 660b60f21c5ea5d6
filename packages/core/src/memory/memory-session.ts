import { PersistenceError } from "../errors/storage.ts";

/** What the handles that were opened together share: they end together, and the data does not end with them. */
export class MemorySession {
  #closed = false;

  close(): void {
    this.#closed = true;
  }

  /** @throws {PersistenceError} the session was closed; nothing was written */
  assertOpen(operation: string): void {
    if (this.#closed) {
      throw new PersistenceError({
        operation,
        outcome: "not-written",
        detail: "this session of the memory storage was closed",
      });
    }
  }
}
