// Scenario: what is done to a cluster under load. What must hold after each is in check.ts.

import type { LeaseStore, Result, TransportKind, World } from "./world.ts";

export interface Scenario {
  readonly name: string;
  /** Where members and leases are. */
  readonly leases: LeaseStore;
  /** How members reach each other. Default gRPC. */
  readonly transport?: TransportKind;
  /** Whether it comes between members: needs Linux, where one machine has many addresses. Default false. */
  readonly isProxied?: boolean;
  /** Whether the tests leave it to `npm run faults`: its like runs there on another service. Default false. */
  readonly isRare?: boolean;
  /** Breaks the cluster and mends it. */
  run(world: World): Promise<void>;
  /** What else must hold of it. Returns a sentence for each thing that does not. */
  expect?(result: Result): readonly string[];
}
