import { Buffer } from "node:buffer";
import { hash } from "node:crypto";
import { ConfigError } from "../errors/config.ts";
import { disregard } from "./call-back.ts";

// Storages look a request up by entity type, entity, tag and key in one index, whole. PostgreSQL's entries take 2,704 bytes.
const MAX_KEY_BYTES = 1_024;
/** The most that a definition's name or a tag may take in UTF-8. */
export const MAX_NAME_BYTES = 256;

/**
 * Whether it is a key: an entity's id, an idempotency key, or an execution's id that every storage can look up. Half of a surrogate
 * pair is none in UTF-8: two that differ in it alone would be one.
 */
function isKey(value: unknown): value is string {
  return (
    typeof value === "string" && value !== "" && takesAtMost(value, MAX_KEY_BYTES) && value.isWellFormed()
  );
}

/** @throws {ConfigError} it is no key; names `option` */
export function checkKey(value: unknown, option: string): string {
  if (isKey(value)) return value;
  disregard(value);
  const isHalved = typeof value === "string" && !value.isWellFormed();
  const takes = `a string of 1 to ${MAX_KEY_BYTES} bytes in UTF-8${isHalved ? ", without half of a surrogate pair" : ""}`;
  throw new ConfigError({ option, got: value, takes });
}

/** Whether a text is without what databases keep in none. */
export function isPlainText(text: string): boolean {
  return text.isWellFormed() && !text.includes("\0");
}

/** A key in the place of a text that is too long for one, or not to be seen: its SHA-256 in hexadecimal digits. */
export function hashOf(text: string): string {
  return hash("sha256", text);
}

/** Whether a text takes as many bytes in UTF-8, or fewer. */
export function takesAtMost(text: string, bytes: number): boolean {
  // Three bytes a UTF-16 unit is the most that UTF-8 takes, so most need not be counted.
  return text.length * 3 <= bytes || (text.length <= bytes && Buffer.byteLength(text) <= bytes);
}
