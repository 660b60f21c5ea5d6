// Payload: how values become text, for the wire and for storage.
//
// JSON, so that a person can read the tables. What JSON would lose or change goes under one escape: an object with the
// single key "$": ["Date", 0]. A plain object that has that very shape is escaped itself. Whatever cannot come back as it
// was is refused with its path, because a workflow must see the same value live and in replay (INV-8).
//
// No name of a field that JSON escapes is written as one: V8 13.6 takes {"a":1,"\"":2} for {"a":1,"\\":2} if it has met the latter
// shape before, since it compares what it expects with the text before it is unescaped. Such fields are a list under "$".

import { Buffer, constants } from "node:buffer";
import { PayloadTooLargeError, SerializationError } from "../errors/storage.ts";
import { disregardAll } from "./call-back.ts";
import { takesAtMost } from "./key.ts";
import { nameOf, type What } from "./what.ts";

/** The default limit of one payload: 4 MiB. */
export const DEFAULT_MAX_PAYLOAD_BYTES: number = 4 * 1024 * 1024;

const ESCAPE = "$";
const MAX_DEPTH = 200;

/**
 * Encodes `value`. Takes JSON values, undefined, Date, bigint, Map, Set, Uint8Array, NaN, the infinities and -0, nested
 * up to 200 deep.
 *
 * @throws {SerializationError} a function, a symbol, an instance of a class, a circle; the message names its path
 */
export function encodePayload(value: unknown, what: What): string {
  let escaped: unknown;
  try {
    escaped = escape(value, "", 0, what);
  } catch (refused) {
    // It may hold promises that nobody awaited.
    disregardAll(value);
    throw refused;
  }
  const text = JSON.stringify(escaped);
  // Nearly no text has a name that JSON escapes, and one without a backslash has none.
  if (!text.includes("\\")) return text;
  const listed = listFields(escaped);
  return listed === escaped ? text : JSON.stringify(listed);
}

/** Like `encodePayload`, and refuses text over `limitBytes` (UTF-8). @throws {PayloadTooLargeError} */
export function encodeBoundedPayload(value: unknown, what: What, limitBytes: number): string {
  let text: string;
  try {
    text = encodePayload(value, what);
  } catch (error) {
    if (!isTooLong(error)) throw error;
    // How long it would be is not known.
    const { MAX_STRING_LENGTH: longest } = constants;
    const sizes = { payloadBytes: longest + 1, limitBytes: Math.min(limitBytes, longest) };
    throw new PayloadTooLargeError({ what: nameOf(what), ...sizes }, { cause: error });
  }
  if (takesAtMost(text, limitBytes)) return text;
  throw new PayloadTooLargeError({ what: nameOf(what), payloadBytes: Buffer.byteLength(text), limitBytes });
}

/** Whether a text was to be made that is longer than there are any. */
function isTooLong(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return (
    ("code" in error && error.code === "ERR_STRING_TOO_LONG") || error.message === "Invalid string length"
  );
}

/** @throws {SerializationError} `text` was not made by `encodePayload` */
export function decodePayload(text: string, what: What): unknown {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new SerializationError({ what: nameOf(what), path: "", problem: "no valid JSON" }, { cause });
  }
  // Nothing was escaped in nearly all payloads: they need no second walk.
  if (typeof parsed !== "object" || !text.includes(`{"${ESCAPE}":[`)) return parsed;
  try {
    return unescape(parsed, what);
  } catch (cause) {
    if (cause instanceof SerializationError) throw cause;
    // Nested as deep as nothing that was encoded, or an escape of an object where there is to be a text.
    throw new SerializationError({ what: nameOf(what), path: "", problem: "no escapes of ours" }, { cause });
  }
}

function escape(value: unknown, path: string, depth: number, what: What): unknown {
  switch (typeof value) {
    case "string":
    case "boolean":
      return value;
    case "number":
      return Number.isFinite(value) && !Object.is(value, -0)
        ? value
        : { [ESCAPE]: ["number", String(Object.is(value, -0) ? "-0" : value)] };
    case "undefined":
      return { [ESCAPE]: ["undefined"] };
    case "bigint":
      return { [ESCAPE]: ["bigint", value.toString()] };
    case "object":
      return value === null ? null : escapeObject(value, path, depth, what);
    default:
      throw new SerializationError({ what: nameOf(what), path, problem: `a ${typeof value}` });
  }
}

function escapeObject(value: object, path: string, depth: number, what: What): unknown {
  if (depth > MAX_DEPTH)
    throw new SerializationError({
      what: nameOf(what),
      path,
      problem: `nested over ${MAX_DEPTH} deep, or a circle`,
    });
  if (Array.isArray(value)) return escapeArray(value, path, depth, what);
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null)
    return escapeRecord(value as Record<string, unknown>, path, depth, what);
  if (value instanceof Date)
    return { [ESCAPE]: ["Date", Number.isNaN(value.getTime()) ? null : value.getTime()] };
  if (value instanceof Map)
    return { [ESCAPE]: ["Map", escapeArray([...value].flat(), fieldOf(path, "<map>"), depth, what)] };
  if (value instanceof Set)
    return { [ESCAPE]: ["Set", escapeArray([...value], fieldOf(path, "<set>"), depth, what)] };
  if (value instanceof Uint8Array)
    return {
      [ESCAPE]: [
        "Uint8Array",
        Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64"),
      ],
    };
  throw new SerializationError({
    what: nameOf(what),
    path,
    problem: problemOf(value),
  });
}

function problemOf(value: object): string {
  const name: unknown = value.constructor?.name;
  if (typeof name === "string" && name !== "") return `an instance of ${name}`;
  return Symbol.asyncIterator in value
    ? "what a generator gives: a handler that yields is that of an rpc with stream: true"
    : "an instance of a class";
}

// Both walks give the value itself back while nothing in it had to be escaped: the common case copies nothing.
function escapeArray(array: readonly unknown[], path: string, depth: number, what: What): readonly unknown[] {
  let copy: unknown[] | undefined;
  for (let index = 0; index < array.length; index += 1) {
    const item = array[index];
    const escaped = escape(item, `${path}[${index}]`, depth + 1, what);
    if (copy === undefined && escaped !== item) copy = array.slice(0, index);
    copy?.push(escaped);
  }
  return copy ?? array;
}

function escapeRecord(record: Record<string, unknown>, path: string, depth: number, what: What): unknown {
  let copy: Record<string, unknown> | undefined;
  const keys = Object.keys(record);
  for (const key of keys) {
    const item = record[key];
    // A field that is undefined is left out, as JSON does it: reading it gives undefined all the same.
    const escaped = item === undefined ? undefined : escape(item, fieldOf(path, key), depth + 1, what);
    if (copy === undefined && escaped !== item) copy = { ...record };
    if (copy !== undefined) define(copy, key, escaped);
  }
  const result = copy ?? record;
  // What JSON leaves of it decides.
  return Array.isArray(result[ESCAPE]) && keys.every((key) => key === ESCAPE || result[key] === undefined)
    ? { [ESCAPE]: ["object", result[ESCAPE]] }
    : result;
}

/** What JSON escapes in a string, and a few control characters more. */
const ESCAPED_BY_JSON = /["\\\p{Cc}\p{Surrogate}]/u;

/** Lists the fields of records where JSON would escape a name. Gives the value itself back where there is none. */
function listFields(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) {
    const elements = value.map(listFields);
    return elements.every((element, index) => element === value[index]) ? value : elements;
  }
  const fields = Object.entries(value).filter(([, item]) => item !== undefined);
  const listed = fields.map(([key, item]) => [key, listFields(item)] as const);
  if (listed.some(([key]) => ESCAPED_BY_JSON.test(key))) return { [ESCAPE]: ["fields", listed.flat()] };
  return listed.every(([, item], index) => item === fields[index]?.[1]) ? value : Object.fromEntries(listed);
}

function fieldOf(path: string, key: string): string {
  return path === "" ? key : `${path}.${key}`;
}

function unescape(value: unknown, what: What): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => unescape(item, what));
  const keys = Object.keys(value);
  const record = value as Record<string, unknown>;
  const escaped = record[ESCAPE];
  if (keys.length === 1 && Array.isArray(escaped)) return unescapeTagged(escaped, what);
  const result: Record<string, unknown> = {};
  for (const key of keys) define(result, key, unescape(record[key], what));
  return result;
}

function unescapeTagged([tag, body]: readonly unknown[], what: What): unknown {
  switch (tag) {
    case "undefined":
      return undefined;
    case "number":
      return Number(body);
    case "bigint":
      return bigint(String(body), what);
    case "Date":
      return new Date(body === null ? Number.NaN : Number(body));
    case "Uint8Array":
      return Uint8Array.from(Buffer.from(String(body), "base64"));
    case "Set":
      return new Set(items(body, what));
    case "Map":
      return new Map(pairs(body, what));
    case "fields":
      return Object.fromEntries(pairs(body, what) as [string, unknown][]);
    case "object":
      return { [ESCAPE]: items(body, what) };
    default:
      throw new SerializationError({
        what: nameOf(what),
        path: "",
        problem: `escaped as "${String(tag)}", which this version does not know`,
      });
  }
}

function bigint(digits: string, what: What): bigint {
  if (!/^-?\d+$/.test(digits))
    throw new SerializationError({
      what: nameOf(what),
      path: "",
      problem: "an escape of a bigint without its digits",
    });
  return BigInt(digits);
}

function items(body: unknown, what: What): unknown[] {
  if (!Array.isArray(body))
    throw new SerializationError({ what: nameOf(what), path: "", problem: "an escape without its list" });
  return body.map((item) => unescape(item, what));
}

/** What a list of keys, each before its value, says. */
function pairs(body: unknown, what: What): [key: unknown, value: unknown][] {
  const flat = items(body, what);
  const all: [key: unknown, value: unknown][] = [];
  for (let index = 0; index < flat.length; index += 2) all.push([flat[index], flat[index + 1]]);
  return all;
}

/** Sets an own property, also one named `__proto__`, which a plain assignment would take for the prototype. */
function define(target: Record<string, unknown>, key: string, value: unknown): void {
  if (key === "__proto__")
    Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
  else target[key] = value;
}
