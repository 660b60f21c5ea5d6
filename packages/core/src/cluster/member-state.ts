export type MemberState = "created" | "starting" | "running" | "draining" | "stopped";

/** For messages: what a member is, where it is not what it should be. */
export function describeState(state: MemberState): string {
  if (state === "created") return "not started; await cluster.start() first";
  if (state === "starting") return "starting; await what cluster.start() gave first";
  return state === "running" ? state : `${state}; use another member, or make one with createCluster()`;
}
