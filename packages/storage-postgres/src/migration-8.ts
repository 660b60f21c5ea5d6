// Migration 8: a function that wrote a group as that of version 7 did, and answered with lists. Touches no table: runners of
// versions 1 to 7 go on beside those of version 8.

import { writeCommonGroup } from "./migration-1-write.ts";

/** @param schema a checked identifier */
export function functionsOfVersion8(schema: string): string {
  return writeCommonGroup(`"${schema}"`, 8);
}
