import ms from "ms";
import { ConfigError } from "../errors/config.ts";

/** A number of milliseconds, or a string that the `ms` package reads: `"30s"`, `"5 minutes"`. */
export type Duration = number | string;

/** @throws {ConfigError} `duration` is no duration, or negative; names `option` */
export function milliseconds(duration: Duration, option: string): number {
  const value = typeof duration === "number" ? duration : read(duration);
  if (value === undefined || !Number.isFinite(value) || value < 0) {
    throw new ConfigError({
      option,
      got: duration,
      takes: 'a duration of 0 or more: milliseconds, or a string such as "30s"',
    });
  }
  return value;
}

/** `ms` throws errors of its own for what it does not take. Callers without types may have given anything. */
function read(duration: unknown): number | undefined {
  const isReadable = typeof duration === "string" && duration !== "" && duration.length <= 100;
  return isReadable ? ms(duration as ms.StringValue) : undefined;
}
