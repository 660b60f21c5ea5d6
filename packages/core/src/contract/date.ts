import { ConfigError } from "../errors/config.ts";

/** The wall time of a date, in milliseconds since 1970. @throws {ConfigError} it is no valid Date; names `option` */
export function timeOf(date: unknown, option: string): number {
  const time = date instanceof Date ? date.getTime() : Number.NaN;
  if (Number.isNaN(time)) throw new ConfigError({ option, got: date, takes: "a valid Date" });
  return time;
}
