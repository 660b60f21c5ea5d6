import { Gate } from "./gate.ts";
import type { RunnersFactory } from "./runners-backend.ts";
import { member, runnersCases } from "./runners-case.ts";
import { vitest } from "./vitest-api.ts";

/** What a member is told of the others. */
export function runnerWatching(factory: RunnersFactory): void {
  const { describe, expect, it } = vitest();
  const run = runnersCases(factory);

  describe("watch", () => {
    it(
      "tells of members that come, change, leave or run out, and of shards freed by others, if it declares that it does",
      run(async (context) => {
        const watcher = await context.join("watcher");
        let heard = new Gate();
        const end = await watcher.watch(() => heard.open());
        if (!watcher.supports.watch) {
          await end();
          return;
        }
        const other = (await context.open()).runners;
        const told = async (change: () => Promise<unknown>): Promise<void> => {
          await context.backend.elapse(0);
          heard = new Gate();
          await change();
          await heard.passed;
        };
        await told(() => other.register(member("r1"), context.ttlMs));
        await told(() => other.register(member("r1", { weight: 3 }), context.ttlMs));
        await other.acquireShards("r1", ["default:1"]);
        await told(() => other.releaseShards("r1", ["default:1"]));
        await told(() => other.unregister("r1"));
        await told(async () => {
          await other.register(member("r2"), context.ttlMs);
          await heard.passed;
          heard = new Gate();
          await context.outlastLeases();
        });
        await end();
      }),
    );

    it(
      "is each its own: one that is ended, and the end of another's session, leave the others",
      run(async (context) => {
        const watcher = await context.join("watcher");
        const leaving = await context.open();
        let heard = new Gate();
        const end = await watcher.watch(() => heard.open());
        const endOther = await watcher.watch(() => undefined);
        await leaving.runners.watch(() => undefined);
        if (watcher.supports.watch) {
          const other = (await context.open()).runners;
          for (const [weight, change] of [endOther, () => leaving.close()].entries()) {
            await change();
            await context.backend.elapse(0);
            heard = new Gate();
            await other.register(member("r1", { weight: weight + 2 }), context.ttlMs);
            await heard.passed;
          }
        }
        await end();
      }),
    );

    it(
      "tells nothing any more once it ended, which may be asked for twice",
      run(async (context) => {
        const watcher = await context.join("watcher");
        const end = await watcher.watch(() => undefined);
        await context.backend.elapse(context.ttlMs / 4);
        await end();
        await end();
        let calls = 0;
        const endOther = await watcher.watch(() => (calls += 1));
        await endOther();
        calls = 0;
        await context.join("r1");
        await context.backend.elapse(context.ttlMs / 4);
        expect(calls).toBe(0);
      }),
    );
  });
}
