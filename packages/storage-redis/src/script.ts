// Script: a Lua source under the name by which Redis knows it.

import { createHash } from "node:crypto";
import { APPEND_JOURNAL } from "./lua/append-journal.ts";
import { ACKNOWLEDGE_CHUNKS, READ_CHUNKS, SAVE_CHUNK } from "./lua/chunks.ts";
import { CLAIM_SHARDS } from "./lua/claim-shards.ts";
import {
  DROP_DEAD_LETTER,
  LIST_DEAD_LETTERS,
  REQUEUE_DEAD_LETTER,
  SAVE_DEAD_LETTER,
} from "./lua/dead-letters.ts";
import { ENTER_SESSION } from "./lua/enter-session.ts";
import { SENDER } from "./lua/fence.ts";
import { FORGET_ANSWERED } from "./lua/forget-answered.ts";
import { LIST_EXECUTIONS } from "./lua/list-executions.ts";
import { LOOK_UP, LOOK_UP_BY_KEY } from "./lua/look-up.ts";
import { PROBE } from "./lua/probe.ts";
import { READ_EXECUTION } from "./lua/read-execution.ts";
import { READ_PENDING } from "./lua/read-pending.ts";
import { REOPEN_EXECUTION } from "./lua/reopen-execution.ts";
import { SAVE_REPLY } from "./lua/save-reply.ts";
import { SAVE_REQUEST } from "./lua/save-request.ts";
import { TRIM_EXECUTION } from "./lua/trim-execution.ts";
import { UPDATE_PENDING } from "./lua/update-pending.ts";

export interface Script {
  readonly source: string;
  /** What Redis calls it: the SHA-1 of its source. */
  readonly sha: string;
  /** Whether it takes at the end of its arguments from whom it comes (lua/fence.ts). */
  readonly isWrite: boolean;
}

function script(source: string): Script {
  const sha = createHash("sha1").update(source).digest("hex");
  return { source, sha, isWrite: source.startsWith(SENDER) };
}

/** One for each method of the interfaces that needs one, and what sessions and pending requests need besides. */
type ScriptName =
  | "acknowledgeChunks"
  | "appendJournal"
  | "claimShards"
  | "dropDeadLetter"
  | "enterSession"
  | "forgetAnswered"
  | "listDeadLetters"
  | "listExecutions"
  | "lookUp"
  | "lookUpByKey"
  | "probe"
  | "readChunks"
  | "readExecution"
  | "readPending"
  | "reopenExecution"
  | "requeueDeadLetter"
  | "saveChunk"
  | "saveDeadLetter"
  | "saveReply"
  | "saveRequest"
  | "trimExecution"
  | "updatePending";

export const SCRIPTS: Readonly<Record<ScriptName, Script>> = {
  acknowledgeChunks: script(ACKNOWLEDGE_CHUNKS),
  appendJournal: script(APPEND_JOURNAL),
  claimShards: script(CLAIM_SHARDS),
  dropDeadLetter: script(DROP_DEAD_LETTER),
  enterSession: script(ENTER_SESSION),
  forgetAnswered: script(FORGET_ANSWERED),
  listDeadLetters: script(LIST_DEAD_LETTERS),
  listExecutions: script(LIST_EXECUTIONS),
  lookUp: script(LOOK_UP),
  lookUpByKey: script(LOOK_UP_BY_KEY),
  probe: script(PROBE),
  readChunks: script(READ_CHUNKS),
  readExecution: script(READ_EXECUTION),
  readPending: script(READ_PENDING),
  reopenExecution: script(REOPEN_EXECUTION),
  requeueDeadLetter: script(REQUEUE_DEAD_LETTER),
  saveChunk: script(SAVE_CHUNK),
  saveDeadLetter: script(SAVE_DEAD_LETTER),
  saveReply: script(SAVE_REPLY),
  saveRequest: script(SAVE_REQUEST),
  trimExecution: script(TRIM_EXECUTION),
  updatePending: script(UPDATE_PENDING),
};
