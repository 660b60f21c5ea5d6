import { ConfigError } from "../errors/config.ts";

/** A text such as "false" would count as true. @throws {ConfigError} it is neither true nor false; names `option` */
export function checkBoolean(given: unknown, option: string): boolean {
  if (typeof given !== "boolean") throw new ConfigError({ option, got: given, takes: "true or false" });
  return given;
}
