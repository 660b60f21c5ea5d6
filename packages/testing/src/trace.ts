/** Something that happened in a test cluster, at a virtual wall time in milliseconds since 1970. */
export type TraceEvent = { readonly at: number } & TracedFact;

export type TracedFact =
  /** A message left `from`. `copies`: how many of it will arrive, unless the way is cut. */
  | {
      readonly type: "message";
      readonly from: string;
      readonly to: string;
      readonly message: string;
      /** Of the request that it concerns, if it concerns one. */
      readonly requestId: string | null;
      readonly copies: number;
      readonly delayMs: number;
    }
  /** A runner's call of its storage or lease store came back. */
  | {
      readonly type: "storage" | "lease";
      readonly runner: string;
      readonly operation: string;
      readonly outcome: "done" | "failed before" | "failed after" | "refused";
    }
  /** Something was done to a process. */
  | { readonly type: "process"; readonly runner: string; readonly what: string }
  /** The network or the rates of faults changed. */
  | { readonly type: "fault"; readonly what: string }
  /** What a scenario notes, such as calls and their ends. */
  | { readonly type: "note"; readonly who: string; readonly what: string };

/** Is given each event as it happens. Must not throw. */
export type Tracer = (event: TraceEvent) => void;
