import type { Reply } from "../data/reply.ts";
import type { Suspension } from "./behavior.ts";

/** What the run of a request comes to. */
export type RunResult =
  | { readonly type: "answered"; readonly reply: Reply }
  | { readonly type: "dead"; readonly error: unknown; readonly attempts: number }
  | { readonly type: "suspended"; readonly suspension: Suspension }
  /** Nothing was recorded, and this runner may not go on. */
  | { readonly type: "moved" }
  | { readonly type: "fenced" }
  /** Its outcome was recorded, and taken back: it waits in storage. */
  | { readonly type: "reopened" }
  /** Storage has nothing of it any more. */
  | { readonly type: "forgotten" }
  /** It ran, and may not be stored. */
  | { readonly type: "unstored"; readonly detail: string };

export const REOPENED: Extract<RunResult, { type: "reopened" }> = { type: "reopened" };
export const FORGOTTEN: Extract<RunResult, { type: "forgotten" }> = { type: "forgotten" };
export const MOVED: Extract<RunResult, { type: "moved" }> = { type: "moved" };
