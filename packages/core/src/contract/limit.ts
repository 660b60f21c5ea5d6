import { ConfigError } from "../errors/config.ts";

/** How many a list has at the most. @throws {ConfigError} */
export function checkLimit(limit: unknown): number {
  if (typeof limit === "number" && Number.isInteger(limit) && limit >= 0) return limit;
  throw new ConfigError({ option: "limit", got: limit, takes: "a whole number of 0 or more" });
}
