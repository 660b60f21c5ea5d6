// Value text: how users' values go to PostgreSQL as text and come back, as the package `pg` has it, so that a statement
// gives the same on every driver.

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
  return params.map((value) => {
    if (typeof value !== "object" || value === null) return value;
    // Of bytes, times, and what says itself what it is to PostgreSQL, each client library has a form of its own.
    if (ArrayBuffer.isView(value) || value instanceof Date) return value;
    if (Array.isArray(value)) return givenValues(value);
    const text = textOf(value);
    return "toPostgres" in value ? value : text;
  });
}

/** A parameter as PostgreSQL reads it, whatever its type there. */
export function textOf(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  if (typeof value !== "object") return (value as { toString(): string }).toString();
  if (ArrayBuffer.isView(value)) return `\\x${hexOf(value)}`;
  if (value instanceof Date) return dateText(value);
  if (Array.isArray(value)) return arrayText(value);
  if ("toPostgres" in value && typeof value.toPostgres === "function") {
    return textOf(value.toPostgres(textOf) as unknown);
  }
  return JSON.stringify(value);
}

function arrayText(values: readonly unknown[]): string {
  const elements = values.map((value) => {
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

function hexOf({ buffer, byteOffset, byteLength }: ArrayBufferView): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString("hex");
}
