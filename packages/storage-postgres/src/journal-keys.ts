import { hash } from "node:crypto";
import type { ExecutionKey } from "@holdfast/core/adapter";

/** The keys of executions' journals. */
export class JournalKeys {
  /** An execution appends many times, under the same object. */
  readonly #known = new WeakMap<ExecutionKey, string>();

  /** 128 bits of a hash, in hexadecimal. The schema's journal_key_v9 makes the same. */
  of(execution: ExecutionKey): string {
    let key = this.#known.get(execution);
    if (key === undefined) {
      key = hash("sha256", nameOf(execution)).slice(0, 32);
      this.#known.set(execution, key);
    }
    return key;
  }
}

/** Types have no slash. */
export function nameOf({ entityType, executionId }: ExecutionKey): string {
  return `${entityType}/${executionId}`;
}
