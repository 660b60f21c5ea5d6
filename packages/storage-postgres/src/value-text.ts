// Value text: how users' values go to PostgreSQL as text and come back, as the package `pg` has it, so that a statement
// gives the same on every driver.

import { isDate } from "node:util/types";
import pgTypes from "pg-types";

/** The arrays that PostgreSQL has of its own common types, by the type of their elements. */
export const ARRAYS: Readonly<Record<number, number>> = {
  16: 1000,
  17: 1001,
  20: 1016,
  21: 1005,
  23: 1007,
  25: 1009,
  114: 199,
  700: 1021,
  701: 1022,
  1043: 1015,
  1082: 1182,
  1114: 1115,
  1184: 1185,
  1700: 1231,
  2950: 2951,
  3802: 3807,
};
const COMMON: readonly number[] = Object.entries(ARRAYS).flatMap(([type, array]) => [Number(type), array]);
/** Intervals, points and circles: values of these have a form of their own, too. */
const OTHERS: readonly number[] = [600, 718, 1186, 1187];

/** Reads a value of the type with this number. */
export function parserOf(type: number): (text: string) => unknown {
  return pgTypes.getTypeParser(type, "text") as (text: string) => unknown;
}

/** PGlite's options for a statement: it has other forms for some types, and is strict about what it takes for others. */
export function pgliteOptions(): {
  readonly parsers: Record<number, (text: string) => unknown>;
  readonly serializers: Record<number, (value: unknown) => string>;
} {
  return {
    parsers: Object.fromEntries([...COMMON, ...OTHERS].map((type) => [type, parserOf(type)])),
    serializers: Object.fromEntries(COMMON.map((type) => [type, (value: unknown) => textOf(value) ?? ""])),
  };
}

/**
 * The parameters of a statement as they are now: one that its user changes for the next statement is sent as it was given.
 *
 * @throws what a `toJSON`, a `toPostgres` or a bigint in what becomes JSON throws. Found by the client library it would be found
 * between two messages to the server, and taken for the loss of the session.
 */
export function givenValues(params: readonly unknown[]): readonly unknown[] {
  // Not `map`: of a list of a class of its own it makes another of that class.
  return Array.from(params, (value) => {
    if (typeof value !== "object" || value === null) return value;
    // Of bytes, times, and what says itself what it is to PostgreSQL, each client library has a form of its own.
    if (ArrayBuffer.isView(value)) return Buffer.from(bytesOf(value));
    if (isTime(value)) return copyOf(value);
    if (Array.isArray(value)) return listed(value);
    const text = textOf(value);
    return "toPostgres" in value ? value : text;
  });
}

/** In a list `pg` takes what says itself what it is for text, also where it is null, or bytes. */
function listed(values: readonly unknown[]): readonly unknown[] {
  return Array.from(givenValues(values), (value) =>
    typeof value === "object" && value !== null && "toPostgres" in value ? textOf(value) : value,
  );
}

/** One of a class of its own may have a zone of its own, which a copy would not have. */
function copyOf(time: Date): Date {
  return Object.getPrototypeOf(time) === Date.prototype ? new Date(time) : time;
}

/** Also one of another realm, as of a sandbox. */
function isTime(value: object): value is Date {
  return value instanceof Date || isDate(value);
}

/** A parameter as PostgreSQL reads it, whatever its type there. */
export function textOf(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  if (typeof value !== "object") return (value as { toString(): string }).toString();
  if (ArrayBuffer.isView(value)) return `\\x${hexOf(value)}`;
  if (isTime(value)) return dateText(value);
  if (Array.isArray(value)) return arrayText(value);
  if ("toPostgres" in value && typeof value.toPostgres === "function") {
    return textOf(value.toPostgres(textOf) as unknown);
  }
  return JSON.stringify(value);
}

function arrayText(values: readonly unknown[]): string {
  const elements = Array.from(values, (value) => {
    if (value === null || value === undefined) return "NULL";
    if (Array.isArray(value)) return arrayText(value);
    return `"${(textOf(value) ?? "").replaceAll(/["\\]/g, "\\$&")}"`;
  });
  return `{${elements.join(",")}}`;
}

/** In local time with its offset: a `timestamp` without a zone takes the former and leaves the latter away. */
function dateText(date: Date): string {
  const minutes = -date.getTimezoneOffset();
  const offset = `${minutes < 0 ? "-" : "+"}${two(Math.abs(minutes) / 60)}:${two(Math.abs(minutes) % 60)}`;
  const year = date.getFullYear();
  const day = `${String(year < 1 ? 1 - year : year).padStart(4, "0")}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return `${day}T${time}.${String(date.getMilliseconds()).padStart(3, "0")}${offset}${year < 1 ? " BC" : ""}`;
}

function two(value: number): string {
  return String(Math.floor(value)).padStart(2, "0");
}

function hexOf(view: ArrayBufferView): string {
  return bytesOf(view).toString("hex");
}

/** The bytes themselves, and no copy. */
function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}
