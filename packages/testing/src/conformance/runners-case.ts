import type { OpenRunners, RunnerRecord, RunnerStorage, ShardId } from "@holdfast/core/adapter";
import type { RunnersBackend, RunnersFactory } from "./runners-backend.ts";

/** What a case works with. */
export class RunnersCase {
  readonly backend: RunnersBackend;
  readonly ttlMs: number;
  readonly #sessions: OpenRunners[] = [];

  constructor(backend: RunnersBackend) {
    this.backend = backend;
    this.ttlMs = backend.ttlMs;
  }

  async open(): Promise<OpenRunners> {
    const session = await this.backend.open();
    this.#sessions.push(session);
    return session;
  }

  /** Opens a session and registers a member with it. */
  async join(runnerId: string): Promise<RunnerStorage> {
    const { runners } = await this.open();
    await runners.register(member(runnerId), this.ttlMs);
    return runners;
  }

  /** Lets every lease run out that is not refreshed meanwhile, with time to spare for a backend that looks now and then. */
  async outlastLeases(): Promise<void> {
    await this.backend.elapse(2 * this.ttlMs);
  }

  async end(): Promise<void> {
    for (const session of this.#sessions) await session.close();
    await this.backend.dispose();
  }
}

export function runnersCases(
  factory: RunnersFactory,
): (body: (context: RunnersCase) => Promise<void>) => () => Promise<void> {
  return (body) => async () => {
    const context = new RunnersCase(await factory());
    try {
      await body(context);
    } finally {
      await context.end();
    }
  };
}

export function member(runnerId: string, changes: Partial<RunnerRecord> = {}): RunnerRecord {
  return {
    runnerId,
    address: `memory://${runnerId}`,
    role: "runner",
    weight: 1,
    shardGroups: ["default"],
    entityTypes: ["Counter"],
    shardsPerGroup: 300,
    protocolVersion: 1,
    ...changes,
  };
}

export function shards(count: number, group: string = "default"): ShardId[] {
  return Array.from({ length: count }, (_, number): ShardId => `${group}:${number}`);
}
