import { HoldfastError } from "./holdfast-error.ts";

/**
 * An error that a handler, an activity or a workflow threw, as it reaches the caller: with the original `name`,
 * `message`, `code` and, unless `exposeStacks` is false, `stack`. Classes listed in `errors` of the definition arrive
 * as themselves instead.
 */
export class RemoteError extends HoldfastError {
  override readonly name: string;
  readonly code: string;
  /** The thrown error's own fields, where they could be serialised. */
  readonly data: Readonly<Record<string, unknown>>;

  constructor(
    original: { name: string; message: string; code: string | null; data: Readonly<Record<string, unknown>> },
    options?: ErrorOptions,
  ) {
    super(original.message, options);
    this.name = original.name;
    this.code = original.code ?? "REMOTE";
    this.data = original.data;
  }
}
