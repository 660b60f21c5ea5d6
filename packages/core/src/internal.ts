// For the packages of this repository. Outside of semantic versioning: do not import it elsewhere.

export { clusterOf } from "./cluster/cluster.ts";
export { createMember, type ClusterServices } from "./cluster/create-cluster.ts";
export { Member } from "./cluster/member.ts";
export type { MemberState } from "./cluster/member-state.ts";
export { SeededRandom } from "./clock/seeded-random.ts";
export { SystemClock } from "./clock/system-clock.ts";
export { SystemRandom } from "./clock/system-random.ts";
export { VirtualClock, VirtualClockView } from "./clock/virtual-clock.ts";
export { checkOptionNames, type OptionNames } from "./contract/option-names.ts";
export { replayJournal, type ReplayedEnd } from "./define/replay-journal.ts";
export { assignShards } from "./sharding/rendezvous.ts";
export { shardIdFor, shardNumberOf } from "./sharding/shard-hash.ts";
export { MemoryNetwork, type NetworkConduct } from "./memory/memory-network.ts";
