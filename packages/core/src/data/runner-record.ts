/** What a member says of itself to the others. */
export interface RunnerRecord {
  /** New for each start and after each lost lease, so that nobody takes a successor for its forerunner. */
  readonly runnerId: string;
  /** Where its transport listens. */
  readonly address: string;
  readonly role: "runner" | "client";
  /** Its share of the shards relative to the others. 0 hosts nothing. */
  readonly weight: number;
  readonly shardGroups: readonly string[];
  /** The entity types, hidden ones of workflows included, that it serves. */
  readonly entityTypes: readonly string[];
  readonly shardsPerGroup: number;
  /** The version of the library's protocol between members. */
  readonly protocolVersion: number;
}

/** Stands for the address of this very process, which is reached without a transport. */
export const HERE = "here";
