// Migration 13: a request that is stored with its reply is never pending. Puts a better function in the place of the one that
// writes groups, under its name, and touches no table: runners of versions 1 to 12 go on beside those of version 13.
//
// Whoever gives a request its reply in the same group gives it ANSWERED for its attempts. Runners of releases before never do.

import { writeGroup } from "./migration-10.ts";

/** @param schema a checked identifier */
export function functionsOfVersion13(schema: string): string {
  return writeGroup(`"${schema}"`);
}
