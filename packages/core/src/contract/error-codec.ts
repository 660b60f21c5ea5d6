// Error codec: how a thrown thing becomes data, and an error again at the caller.
//
// A library's own error arrives as an instance of its class, one whose class the definition lists in `errors` too, and
// all others as RemoteError. No constructor runs on arrival: the fields are set on an Error made for the class.

import type { EncodedError } from "../data/encoded-error.ts";
import { isHoldfastError } from "../errors/holdfast-error.ts";
import { RemoteError } from "../errors/remote-error.ts";
import { SerializationError } from "../errors/storage.ts";
import * as config from "../errors/config.ts";
import * as routing from "../errors/routing.ts";
import * as storage from "../errors/storage.ts";
import * as workflow from "../errors/workflow.ts";
import { beginningOf } from "./beginning.ts";
import { plainIssues } from "./issues.ts";
import { decodePayload, encodePayload } from "./payload.ts";
import type { ErrorClass } from "./rpc.ts";

const MAX_CAUSES = 8;
const OWN_CLASSES: ReadonlyMap<string, ErrorClass> = new Map(
  [config, routing, storage, workflow].flatMap((module) =>
    Object.values(module).map((errorClass): [string, ErrorClass] => [errorClass.name, errorClass]),
  ),
);
/** So much of each text is left of an error that is too large. */
const SHORT = 200;
const FIELDS = "an error's fields";
const NAMED_FIELDS: ReadonlySet<string> = new Set(["name", "message", "code", "stack", "cause"]);

/** The field of an error that went in the place of an answer, which is recorded as it was: asked for again under its key, it may fit. */
export const UNSENT = "unsent";

export interface EncodeOptions {
  readonly exposeStacks: boolean;
  /** Whether it is what a handler came to: what its own call could repeat, its caller cannot without the handler running again. */
  readonly isReply?: boolean;
}

/** Encodes whatever was thrown, also what is not an Error. Never throws. */
export function encodeError(thrown: unknown, options: EncodeOptions, depth: number = 0): EncodedError {
  try {
    return thrown instanceof Error ? encode(thrown, options, depth) : encodeNonError(thrown);
  } catch {
    // A proxy that does not say what it is.
    return encodeNonError(thrown);
  }
}

function encode(thrown: Error, options: EncodeOptions, depth: number): EncodedError {
  const isRemote = thrown instanceof RemoteError;
  const name = text(read(thrown, "name"), "Error");
  const className = isRemote ? name : text(read(read(thrown, "constructor"), "name"), name);
  const code = read(thrown, "code");
  const stack = options.exposeStacks ? read(thrown, "stack") : null;
  const cause = read(thrown, "cause");
  return {
    name,
    ...(className === name || className === "" ? {} : { className }),
    message: text(read(thrown, "message"), ""),
    code: typeof code === "string" || typeof code === "number" ? String(code) : null,
    stack: typeof stack === "string" ? stack : null,
    data: isRemote
      ? encodeFields(thrown.data, thrown.data["code"])
      : encodeFields(plainly(thrown, options), code),
    cause: cause === undefined || depth >= MAX_CAUSES ? null : encodeError(cause, options, depth + 1),
    own: !isRemote && isHoldfastError(thrown) && OWN_CLASSES.has(name),
  };
}

/**
 * An error as it is told where it is too large as it is: its texts and those of its causes are cut, and left out are stacks, and
 * of each one's fields those that do not fit into `mostData`.
 */
export function shortened(error: EncodedError, mostData: number): EncodedError {
  const { name, className, message, code, data, cause } = error;
  return {
    ...error,
    name: short(name),
    ...(className === undefined ? {} : { className: short(className) }),
    message: short(message),
    code: code === null ? null : short(code),
    stack: null,
    data: data === null || data.length <= mostData ? data : smallFields(data, mostData, error.own),
    cause: cause === null ? null : shortened(cause, mostData),
  };
}

/**
 * Of an error's fields those that there is room for, the small ones first. Of those of the library's own errors the beginning stays
 * of the others: who catches one counts on what its class says that it has.
 */
function smallFields(data: string, most: number, isOwn: boolean): string | null {
  const sizeOf = (value: unknown): number => encodePayload(value, FIELDS).length;
  const sized = Object.entries(decodePayload(data, FIELDS) as Record<string, unknown>)
    .map(([key, value]) => ({ key, value, size: sizeOf(value) }))
    .toSorted((a, b) => a.size - b.size);
  const fields: [key: string, value: unknown][] = [];
  let left = most;
  for (const { key, value, size } of sized) {
    const room = left - key.length;
    const kept = size > room && isOwn ? shortenedValue(value, room) : value;
    const keptSize = sizeOf(kept);
    if (keptSize > room) continue;
    fields.push([key, kept]);
    left = room - keptSize;
  }
  return fields.length === 0 ? null : encodePayload(Object.fromEntries(fields), FIELDS);
}

/** With the beginning of each text, and of lists so much as there is room for. */
function shortenedValue(value: unknown, most: number): unknown {
  if (typeof value === "string") return short(value);
  if (Array.isArray(value)) {
    let left = most;
    const items = value.map((item) => shortenedValue(item, most));
    const isOver = (item: unknown): boolean => (left -= encodePayload(item, FIELDS).length + 1) < 2;
    const end = items.findIndex(isOver);
    return end === -1 ? items : items.slice(0, end);
  }
  if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype)
    return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, shortenedValue(item, most)]));
}

/** The beginning of a text that is too long. */
export function short(whole: string): string {
  return beginningOf(whole, SHORT);
}

/** A property of what a user's code threw. One that cannot be read must not lose the error itself. */
function read(of: unknown, key: string): unknown {
  try {
    return (of as Record<string, unknown>)[key];
  } catch {
    return undefined;
  }
}

/**
 * Makes the error that a caller catches. `classes` are those that the definition lists in `errors`.
 *
 * @throws {SerializationError} its fields were not made by `encodeError`: what is replayed must not go on without them (INV-8)
 */
export function decodeError(encoded: EncodedError, classes: readonly ErrorClass[]): Error {
  const options = encoded.cause === null ? undefined : { cause: decodeError(encoded.cause, classes) };
  const fields = decodeFields(encoded.data);
  const own = encoded.own ? OWN_CLASSES.get(encoded.name) : undefined;
  // A user's class that extends one of the library's has its name, unless it is given another.
  const mayBeListed = (candidate: ErrorClass): boolean =>
    own === undefined || (encoded.className !== undefined && candidate.prototype instanceof own);
  const errorClass = classes.find((each) => mayBeListed(each) && isOf(each, encoded)) ?? own;
  const error =
    errorClass === undefined
      ? new RemoteError(
          { name: encoded.name, message: encoded.message, code: encoded.code, data: fields },
          options,
        )
      : revive(errorClass, encoded, fields, options);
  if (encoded.stack !== null) hide(error, "stack", encoded.stack);
  return error;
}

function isOf(candidate: ErrorClass, { name, className }: EncodedError): boolean {
  if (candidate.name === className || candidate.name === name) return true;
  // Its own name only: a class that was given none has that of Error.
  try {
    return Object.hasOwn(candidate.prototype, "name") && candidate.prototype.name === name;
  } catch {
    // That of DOMException answers for its instances alone.
    return false;
  }
}

function revive(
  errorClass: ErrorClass,
  encoded: EncodedError,
  fields: Readonly<Record<string, unknown>>,
  options: ErrorOptions | undefined,
): Error {
  const error: Error = Reflect.construct(Error, [encoded.message, options], errorClass);
  hide(error, "name", encoded.name);
  // Not assigned: a class may have getters by these names, and setters that do something.
  for (const [key, value] of Object.entries({
    ...(encoded.code === null ? {} : { code: encoded.code }),
    ...fields,
  }))
    Object.defineProperty(error, key, { value, enumerable: true, configurable: true, writable: true });
  return error;
}

function encodeNonError(thrown: unknown): EncodedError {
  let shown: string;
  try {
    shown = shownAs(thrown);
  } catch {
    shown = `a value of type ${typeof thrown} that cannot be serialised`;
  }
  const message = `Something that is not an Error was thrown: ${shown.length > 200 ? `${shown.slice(0, 200)}…` : shown}`;
  return { name: "NonError", message, code: "NON_ERROR", stack: null, data: null, cause: null, own: false };
}

/** As it is written in code or in JSON. @throws {SerializationError} it cannot be @throws what its own code throws */
function shownAs(thrown: unknown): string {
  if (thrown === undefined || typeof thrown === "number") return String(thrown);
  if (typeof thrown === "bigint") return `${thrown}n`;
  if (thrown instanceof Date) return Number.isNaN(thrown.getTime()) ? "Invalid Date" : thrown.toISOString();
  return encodePayload(thrown, "the thrown value");
}

/** An error's fields as they travel. */
function plainly(thrown: Error, { isReply = false }: EncodeOptions): object {
  if (!isHoldfastError(thrown)) return thrown;
  const fields: Record<string, unknown> = Object.fromEntries(Object.entries(thrown));
  if (thrown instanceof routing.InvalidInputError) fields["issues"] = plainIssues(thrown.issues);
  if (isReply) {
    fields["retryable"] = false;
    delete fields[UNSENT];
  }
  return fields;
}

function encodeFields(of: object, code: unknown): string | null {
  const fields: Record<string, unknown> = {};
  for (const key of Object.keys(of)) {
    if (!isField(key)) continue;
    try {
      const value: unknown = of[key as keyof typeof of];
      // As it will be: one level deeper than by itself.
      encodePayload({ [key]: value }, key);
      fields[key] = value;
    } catch {
      // One field that cannot travel (a socket, a request object) must not lose the error itself.
    }
  }
  const errors = aggregated(of);
  if (errors !== null && fields["errors"] === undefined) fields["errors"] = errors;
  // Beside its text, so that a number is one again.
  if (typeof code === "number") fields["code"] = code;
  return Object.keys(fields).length === 0 ? null : encodePayload(fields, FIELDS);
}

/** What an AggregateError was made of, which `Promise.any` says nowhere else: of each what it says itself. Null: it is none. */
function aggregated(thrown: object): readonly object[] | null {
  try {
    if (!(thrown instanceof AggregateError)) return null;
    return Array.from(thrown.errors, (each: unknown) => {
      if (!(each instanceof Error)) return { name: "NonError", message: encodeNonError(each).message };
      const code = read(each, "code");
      return {
        name: text(read(each, "name"), "Error"),
        message: text(read(each, "message"), ""),
        ...(typeof code === "string" || typeof code === "number" ? { code: String(code) } : {}),
      };
    });
  } catch {
    return null;
  }
}

function decodeFields(data: string | null): Readonly<Record<string, unknown>> {
  if (data === null) return {};
  const decoded = decodePayload(data, FIELDS);
  if (typeof decoded !== "object" || decoded === null)
    throw new SerializationError({ what: FIELDS, path: "", problem: "something else than fields" });
  const fields = Object.entries(decoded);
  return Object.fromEntries(fields.filter(([key, value]) => isField(key) || isNumericCode(key, value)));
}

function isField(key: string): boolean {
  return !NAMED_FIELDS.has(key) && key !== "__proto__";
}

function isNumericCode(key: string, value: unknown): boolean {
  return key === "code" && typeof value === "number";
}

function text(value: unknown, otherwise: string): string {
  return typeof value === "string" ? value : otherwise;
}

function hide(error: Error, key: string, value: string): void {
  Object.defineProperty(error, key, { value, enumerable: false, configurable: true, writable: true });
}
