// Migration 13: a request that is stored with its reply is never pending, and of a duplicate no reply is written. Puts better
// functions in the place of the two that write groups, under their names, and touches no table: runners of versions 1 to 12 go
// on beside those of version 13.
//
// Whoever gives a request its reply in the same group gives it ANSWERED for its attempts. Runners of releases before never do.

import { writeAnyGroup, writeGroup } from "./migration-10.ts";

/** @param schema a checked identifier */
export function functionsOfVersion13(schema: string): string {
  const s = `"${schema}"`;
  return [writeAnyGroup(s), writeGroup(s)].join("\n");
}
