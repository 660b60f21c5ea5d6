export type MemberState = "created" | "starting" | "running" | "draining" | "stopped";

/** For messages: what a member is, where it is not what it should be. */
export function describeState(state: MemberState): string {
  return state === "created" ? "not started; await cluster.start() first" : state;
}
