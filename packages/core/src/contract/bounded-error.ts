// Bounded errors: an error within the limit of a payload. What a handler or an activity threw may hold a whole response, in its
// message, its fields or its causes: it must become no reply that no transport carries, and no journal that nobody can read.

import type { EncodedError } from "../data/encoded-error.ts";
import { encodeError, short, shortened, type EncodeOptions } from "./error-codec.ts";
import { takesAtMost } from "./key.ts";
import { nameOf, type What } from "./what.ts";

export interface ErrorLimits {
  readonly exposeStacks: boolean;
  readonly maxPayloadBytes: number;
}

/**
 * What the fields of an error that is too large, and those of each of its causes, may take of the limit: the first share with which
 * it fits. An error of the library's needs its own, as what was not undone.
 */
const SHARES_FOR_FIELDS: readonly number[] = [1 / 2, 1 / 8, 1 / 32, 0];
/** What an exit takes besides its error. */
const EXIT_BYTES = 24;

/**
 * Encodes whatever was thrown, in as many bytes as a payload may take: without stacks where it is too large with them, else with
 * the beginning of its texts, and without fields for which there is no room. Never throws.
 *
 * @param what "The error of ...", and what it is too large for: "... was too large to send"
 */
export function encodeBoundedError(
  thrown: unknown,
  { exposeStacks, maxPayloadBytes }: ErrorLimits,
  what: { readonly name: What; readonly purpose: string },
  options: Pick<EncodeOptions, "isReply"> = {},
): EncodedError {
  const fits = (encoded: EncodedError): boolean => {
    const text = textOf(encoded);
    return text !== null && takesAtMost(text, maxPayloadBytes - EXIT_BYTES);
  };
  const whole = encodeError(thrown, { ...options, exposeStacks });
  if (fits(whole)) return whole;
  const withoutStacks = encodeError(thrown, { ...options, exposeStacks: false });
  if (fits(withoutStacks)) return withoutStacks;
  const size = `${textOf(whole)?.length ?? "too many"} characters`;
  const message = `${nameOf(what.name)} was too large to ${what.purpose} (${size}). It began: ${short(whole.message)}`;
  for (const share of SHARES_FOR_FIELDS) {
    const shorter = { ...shortened(withoutStacks, maxPayloadBytes * share), message };
    if (fits(shorter)) return shorter;
  }
  return { ...shortened(withoutStacks, 0), message, cause: null };
}

/** Null: it is longer than a text may be. */
function textOf(encoded: EncodedError): string | null {
  try {
    return JSON.stringify(encoded);
  } catch {
    return null;
  }
}
