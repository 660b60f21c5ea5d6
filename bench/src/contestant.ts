// Contestant: a system that is measured, alone in a process of its own: a bare client of the limit, Holdfast, or a peer.

/** What one process offers to be measured. */
export interface Contestant {
  readonly workloads: Readonly<Record<string, Workload>>;
  /** Figures of its own, by name, as they are now. */
  figures?(): Readonly<Record<string, number>>;
  close(): Promise<void>;
}

export type Workload =
  /** Called by so many callers at once, each of which waits for its own answer before it calls again. */
  | {
      readonly kind: "closed loop";
      /** How many units one call does. 1 by default. */
      readonly unitsPerCall?: number;
      /** @param caller which of the callers calls, from 0 */
      call(caller: number): Promise<unknown>;
    }
  /** Does a fixed amount of work that it prepares first, untimed, and says how much and how long it took. */
  | { readonly kind: "batch"; run(): Promise<{ readonly units: number; readonly ms: number }> }
  /** Called alone, with pauses, on an idle system. Returns the milliseconds if they are not those of the call itself. */
  | { readonly kind: "alone"; call(): Promise<number | void> };

/** Where the services are that a contestant may use. Each contestant has a database of its own. */
export interface Services {
  /** URL of an empty database on a PostgreSQL server that syncs each commit to disk. */
  readonly postgres: string;
  /** Null where there is no such server. */
  readonly nats: string | null;
  readonly redis: string | null;
}

/** What a module in contestants/, or in ../peers, exports as `open`. */
export type OpenContestant = (services: Services) => Promise<Contestant>;
