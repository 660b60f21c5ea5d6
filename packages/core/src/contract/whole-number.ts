import { ConfigError } from "../errors/config.ts";

/** @throws {ConfigError} it is no whole number, or less than `least`; names `option` */
export function checkWholeNumber(given: unknown, option: string, least: number): number {
  if (typeof given === "number" && Number.isInteger(given) && given >= least) return given;
  throw new ConfigError({ option, got: given, takes: `a whole number of ${least} or more` });
}
