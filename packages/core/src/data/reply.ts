import type { EncodedError } from "./encoded-error.ts";

/** How a request ended: with an encoded value, or with an error. */
export type Exit =
  | { readonly ok: true; readonly value: string }
  | { readonly ok: false; readonly error: EncodedError };

/** The answer to a request. Once recorded for a persisted request it never changes (INV-6). */
export interface Reply {
  readonly requestId: string;
  readonly exit: Exit;
}

/** One element of a streamed reply. `index` counts from 0 within the request. */
export interface Chunk {
  readonly requestId: string;
  readonly index: number;
  /** The encoded element. */
  readonly value: string;
}
