import { PersistenceError } from "@holdfast/core/adapter";
import type { RunnersFactory } from "./runners-backend.ts";
import { member, runnersCases, shards } from "./runners-case.ts";
import { vitest } from "./vitest-api.ts";

/** Sessions: opened, closed, and refusing what comes after. */
export function runnersLifecycle(factory: RunnersFactory): void {
  const { describe, expect, it } = vitest();
  const run = runnersCases(factory);

  describe("a session", () => {
    it(
      "may be closed twice, and leaves the others open",
      run(async (context) => {
        const session = await context.open();
        const other = await context.join("r1");
        await session.close();
        await session.close();
        expect(await other.refresh("r1")).toBe("held");
      }),
    );

    it(
      "refuses every call after it was closed with PersistenceError",
      run(async (context) => {
        const session = await context.open();
        const { runners } = session;
        await runners.register(member("r1"), context.ttlMs);
        await session.close();
        const calls: Readonly<Record<string, () => Promise<unknown>>> = {
          register: () => runners.register(member("r2"), context.ttlMs),
          refresh: () => runners.refresh("r1"),
          unregister: () => runners.unregister("r1"),
          listRunners: () => runners.listRunners(),
          acquireShards: () => runners.acquireShards("r1", shards(1)),
          releaseShards: () => runners.releaseShards("r1", shards(1)),
          listShards: () => runners.listShards(),
        };
        for (const [method, call] of Object.entries(calls)) {
          const outcome = await call().then(
            () => "resolved",
            (error: unknown) => error,
          );
          expect(outcome, method).toBeInstanceOf(PersistenceError);
          expect(outcome, method).toMatchObject({ outcome: "not-written" });
        }
      }),
    );
  });
}
