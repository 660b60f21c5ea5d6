import { describe, expect, it } from "vitest";
import { failureOf, isPlainError, isReadOnly, isSpoilt } from "./errors.ts";

/** As a driver words what a server said. Undefined: it was no server that said it. */
function told(code: string, severity?: string): Error {
  return Object.assign(new Error("told"), { code }, severity === undefined ? {} : { severity });
}

describe("an error of the server", () => {
  it.each([
    ["ERROR", "23505"],
    // Where the severity is a known one, it counts.
    ["ERROR", "XX000"],
    ["FEHLER", "23505"],
    ["FEHLER", "57014"],
    ["ERREUR", "40001"],
    ["ОШИБКА", "HF001"],
    ["エラー", "25P02"],
  ])("leaves its session alive: %s %s", (severity, code) => {
    expect(isPlainError(told(code, severity))).toBe(true);
    expect(failureOf(told(code, severity), true)).toMatchObject({ outcome: "not-written", sqlState: code });
  });

  it("leaves its session alive where a routine of its found a statement sent amiss", () => {
    expect(isPlainError(Object.assign(told("08P01", "ERROR"), { routine: "exec_bind_message" }))).toBe(true);
  });

  it.each([
    ["FATAL", "57P01"],
    ["FATAL", "40001"],
    ["PANIC", "XX000"],
    // An old PgBouncer whose server crashed.
    ["ERROR", "08P01"],
    ["ВАЖНО", "57P01"],
    ["致命错误", "08006"],
    ["PANIK", "53300"],
    ["FEHLER", "XX000"],
    ["FEHLER", "58030"],
    ["FATALE", "25P03"],
    ["FATALE", "25P04"],
  ])("may have ended its session: %s %s", (severity, code) => {
    expect(isPlainError(told(code, severity))).toBe(false);
    expect(failureOf(told(code, severity), true)).toMatchObject({ outcome: "unknown", sqlState: code });
  });
});

describe("an error of anybody else", () => {
  it.each([told("EPIPE"), told("23505"), told("ECONNRESET"), new Error("lost"), "23505", null, undefined])(
    "may have ended the session (%s)",
    (error) => {
      expect([isPlainError(error), isSpoilt(error), isReadOnly(error)]).toEqual([false, false, false]);
    },
  );
});

describe("a session that lives", () => {
  it.each(["ERROR", "FEHLER"])(
    "is spoilt where it takes no writes or lost what was prepared (%s)",
    (word) => {
      const codes = ["25006", "26000", "25001", "23505", "0A000", "40001"];
      expect(codes.filter((code) => isSpoilt(told(code, word)))).toEqual(["25006", "26000"]);
      expect(codes.filter((code) => isReadOnly(told(code, word)))).toEqual(["25006"]);
    },
  );
});
