// Roster: who can be measured, what each one needs, and where its module is.

export type ServiceName = "postgres" | "nats" | "redis";

export interface Listed {
  /** For people: the product, or the limit. */
  readonly title: string;
  readonly kind: "limit" | "holdfast" | "peer";
  readonly module: URL;
  readonly needs: readonly ServiceName[];
}

/** Peers are a package of their own, with dependencies that nobody else needs. */
export const PEERS_FOLDER: URL = new URL("../peers/", import.meta.url);

export type ContestantName = keyof typeof ROSTER;

export const ROSTER = {
  "raw-memory": own("a Map and a promise", "limit"),
  "raw-postgres": own("PostgreSQL, bare", "limit", "postgres"),
  "raw-grpc": own("gRPC unary", "limit"),
  "raw-nats": own("NATS request/reply", "limit", "nats"),
  "holdfast-memory": own("Holdfast", "holdfast"),
  "holdfast-postgres": own("Holdfast", "holdfast", "postgres"),
  "holdfast-grpc": own("Holdfast", "holdfast"),
  "holdfast-nats": own("Holdfast", "holdfast", "nats"),
  dbos: peer("DBOS", "postgres"),
  effect: peer("Effect", "postgres"),
  "effect-memory": peer("Effect"),
  openworkflow: peer("OpenWorkflow", "postgres"),
  "pg-boss": peer("pg-boss", "postgres"),
  "graphile-worker": peer("graphile-worker", "postgres"),
  bullmq: peer("BullMQ (Redis)", "redis"),
} as const satisfies Readonly<Record<string, (name: string) => Listed>>;

export function listed(name: ContestantName): Listed {
  return ROSTER[name](name);
}

export const PEERS: readonly ContestantName[] = names().filter((name) => listed(name).kind === "peer");

export function names(): readonly ContestantName[] {
  return Object.keys(ROSTER) as ContestantName[];
}

function own(title: string, kind: "limit" | "holdfast", ...needs: readonly ServiceName[]) {
  return (name: string): Listed => ({
    title,
    kind,
    module: new URL(`contestants/${name}.ts`, import.meta.url),
    needs,
  });
}

function peer(title: string, ...needs: readonly ServiceName[]) {
  return (name: string): Listed => ({
    title,
    kind: "peer",
    module: new URL(`${name}.ts`, PEERS_FOLDER),
    needs,
  });
}
