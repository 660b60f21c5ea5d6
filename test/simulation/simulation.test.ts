import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { ConfigError, defineEntity, rpc } from "@holdfast/core";
import { checkExactlyOnce, simulate, SimulationError, type Scenario } from "@holdfast/testing";
import { describe, expect, it } from "vitest";
import { FencedStore } from "./fenced-store.ts";
import { traceHashes } from "./trace-hashes.ts";

const SEEDS = 100;

describe("a simulated run", () => {
  it(`is the same run under the same seed, event for event, also in another process: ${SEEDS} seeds`, async () => {
    const program = fileURLToPath(new URL("trace-hashes.ts", import.meta.url));
    const elsewhere = promisify(execFile)(
      process.execPath,
      ["--conditions=@holdfast/source", program, "1", `${SEEDS}`],
      { maxBuffer: 2 ** 24 },
    );
    const first = await traceHashes(1, SEEDS);
    expect(new Set(first.map((line) => line.split(" ").at(-1))).size).toBe(SEEDS);
    expect(await traceHashes(1, SEEDS)).toEqual(first);
    expect(JSON.parse((await elsewhere).stdout)).toEqual(first);
  }, 600_000);
});

const Till = defineEntity({ name: "Till", rpcs: { pay: rpc<string, number>({ persisted: true }) } });

/** Its handler forgets on a second attempt that the first one may have had its effect. */
const forgetful: Scenario = {
  name: "forgetful tills",
  // No rates: their draws are moved by what is left out, and a run may then need more operations than break the rule.
  faults: ["crash", "deploy", "pause", "partition"],
  start(sim) {
    const paid = new FencedStore<number, string>(0);
    const acknowledged: string[] = [];
    return {
      register: (process) => [
        Till.implement({
          async pay(key, ctx) {
            const requestId = ctx.attempt === 1 ? ctx.requestId : `${ctx.requestId} again`;
            paid.change(ctx.entityId, { ...ctx, requestId }, (sum) => ({ state: sum + 1, result: key }));
            await process.sleep(500);
            return paid.peek(ctx.entityId);
          },
        }),
      ],
      run: () =>
        sim.operations(20, async (index) => {
          await sim.cluster.entity(Till, `${index % 4}`).pay(`payment ${index}`);
          acknowledged.push(`payment ${index}`);
        }),
      check: () => checkExactlyOnce({ effects: paid.changes.map(({ result }) => result), acknowledged }),
    };
  },
};

describe("a simulation", () => {
  it("refuses what is no scenario, and what is no option", async () => {
    const start = (): never => {
      throw new Error("Nothing starts");
    };
    for (const scenario of [start, undefined, { name: "no start" }])
      await expect(simulate(scenario as never)).rejects.toThrow(
        /^Option "scenario" is .*\{ name, start\(sim\) \}/u,
      );
    const misspelt = { sead: 1 } as object;
    await expect(simulate({ name: "any", start }, misspelt)).rejects.toThrow('Did you mean "seed"?');
    await expect(simulate({ name: "any", start }, { seeds: 0 })).rejects.toThrow(ConfigError);
  });
});

describe("a handler that has its effect again on a second attempt", () => {
  it("is found, made smaller, and found again by the line that replays it", async () => {
    const failure = await simulate(forgetful, { seeds: 200 }).catch((error: unknown) => error);
    if (!(failure instanceof SimulationError)) throw new Error("It was not found", { cause: failure });
    const { seed, invariant, only, faults, trace, traceHash } = failure.details;
    expect(invariant).toBe("exactly once");
    expect(failure.message).toContain(`simulate(scenario, { seed: ${seed}, only: ${JSON.stringify(only)} })`);
    expect(only.operations).toHaveLength(1);
    expect(only.faults).toHaveLength(faults.length);
    expect(faults.length).toBeLessThanOrEqual(2);
    expect(trace.length).toBeGreaterThan(0);

    const replayed = await simulate(forgetful, { seed, only }).catch((error: unknown) => error);
    expect(replayed).toMatchObject({ name: "SimulationError", details: { invariant, only, traceHash } });
    await simulate(forgetful, { seed, only: { faults: [], operations: only.operations } });
  });
});
