import type { OpenRunners } from "@holdfast/core/adapter";

/** One RunnerStorage with no members in it, as its suite uses it. */
export interface RunnersBackend {
  /** Opens a session. Each call gives one more on the same data, as another process would have. */
  open(): Promise<OpenRunners>;
  /** A term of a lease that suits this backend: the suite waits for multiples of it. Virtual time allows a long one. */
  readonly ttlMs: number;
  /** Lets at least `ms` of the backend's own time pass: by advancing a clock, or by waiting. */
  elapse(ms: number): Promise<void>;
  /** Ends the backend and its data. The suite has closed its sessions before. */
  dispose(): Promise<void>;
}

/** Called once for each case: what it returns shares no data with what it returned before. */
export type RunnersFactory = () => RunnersBackend | Promise<RunnersBackend>;
