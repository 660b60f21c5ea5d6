// Migration 14: long lists are gone through once. Adds a function, and puts better ones in the place of two, under their names.
// Touches no table: runners of versions 1 to 13 go on beside those of version 14.
//
// - A page of dead letters begins in the index where the one before it ended.
// - So does a batch of a sweep. Old answers to the other requests of executions that go on stay, and are passed over twice in a
//   sweep at the most, and not once in each batch.

import { listDeadLetters } from "./migration-1-functions.ts";
import { forgetAnswered, forgetAnsweredFrom } from "./migration-4-functions.ts";

/** @param schema a checked identifier */
export function functionsOfVersion14(schema: string): string {
  const s = `"${schema}"`;
  return [listDeadLetters(s), forgetAnsweredFrom(s), forgetAnswered(s)].join("\n");
}
