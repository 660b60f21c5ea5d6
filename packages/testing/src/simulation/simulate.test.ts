import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError, defineEntity, rpc } from "@holdfast/core";
import { describe, expect, it } from "vitest";
import type { Scenario, ScenarioRun, Simulation } from "./scenario.ts";
import { simulate, type SimulateOptions } from "./simulate.ts";
import { SimulationError } from "./simulation-error.ts";
import { Violation } from "./violation.ts";

const Well = defineEntity({ name: "Well", rpcs: { draw: rpc<void, void>() } });
const well = Well.implement({ draw: () => new Promise<void>(() => undefined) });

/** A scenario without faults that does nothing, except for what is given. */
const scenario = (differently: (sim: Simulation) => Partial<ScenarioRun>): Scenario => ({
  name: "wells",
  runners: 2,
  duration: "1s",
  faults: [],
  start: (sim) => ({
    register: [well],
    run: async () => undefined,
    check: () => undefined,
    ...differently(sim),
  }),
});

/** What keeps a cluster from ending. */
const endlessly = (sim: Simulation): Partial<ScenarioRun> => ({
  options: { entityTerminationTimeout: "1 hour" },
  run: async () =>
    void sim.cluster
      .entity(Well, "w")
      .draw()
      .catch(() => undefined),
});

const dry = (): never => {
  throw new Violation("no debt", "the well is dry");
};

/** How `simulate` fails. */
async function failureOf(given: Scenario, options: SimulateOptions = {}): Promise<SimulationError> {
  const error: unknown = await simulate(given, { seed: 7, ...options }).catch((thrown: unknown) => thrown);
  if (!(error instanceof SimulationError)) throw new Error("No violation was reported", { cause: error });
  expect(error.message).toMatch(/^"wells" breaks a rule under seed 7: /u);
  expect(error.details.seed).toBe(7);
  return error;
}

describe("a violation", () => {
  const broken = scenario(() => ({ check: dry }));

  it("is reported with its seed although its trace cannot be written, and says so beside it", async () => {
    const folder = await mkdtemp(join(tmpdir(), "simulate-"));
    for (const traceFile of [join(folder, "missing", "trace.json"), folder]) {
      const error = await failureOf(broken, { traceFile });
      expect(error.details.invariant).toBe("no debt");
      expect(error.cause).toBeInstanceOf(Violation);
      expect(error.message).toContain("Replay it: simulate(scenario, { seed: 7,");
      expect(error.message).toContain(`Its trace was not written to ${traceFile}: E`);
      expect(error.stack).toContain("Its trace was not written to");
    }
    const traceFile = join(folder, "trace.json");
    expect((await failureOf(broken, { traceFile })).message).not.toContain("not written");
    expect(JSON.parse(await readFile(traceFile, "utf8"))).toMatchObject({ seed: 7, invariant: "no debt" });
  });

  it("is reported with its seed although the cluster does not end after it", async () => {
    const endless = scenario((sim) => ({ ...endlessly(sim), check: dry }));
    expect((await failureOf(endless)).details.invariant).toBe("no debt");
  });

  it("is reported with its seed although the scenario cannot be made anew to find a smaller one", async () => {
    let made = 0;
    const once = scenario(() => {
      made += 1;
      if (made > 1) throw new Error("Something is left of the run before");
      return { check: dry };
    });
    expect((await failureOf(once)).details.invariant).toBe("no debt");
  });
});

describe("a cluster", () => {
  it("that does not end is a violation by itself", async () => {
    const endless = scenario(endlessly);
    expect((await failureOf(endless)).message).toMatch(/The cluster did not settle within/u);
  });

  it("that work hangs says what no runner serves", async () => {
    const Far = defineEntity({
      name: "Far",
      shardGroup: "far",
      rpcs: { draw: rpc<void, void>({ persisted: true }) },
    });
    const error = await failureOf(
      scenario((sim) => ({
        register: [Far.implement({ draw: async () => undefined })],
        run: () => sim.cluster.entity(Far, "f").draw(),
      })),
    );
    expect(error.message).toContain(
      'which is its patience; no runner hosts the shard group "far" of entity "Far"',
    );
    expect(error.details.invariant).toBe("nothing hangs");
  });

  it("that work takes long in is waited for as long as the scenario says", async () => {
    const slow = scenario((sim) => ({ run: () => sim.sleep(3_600_000) }));
    const { message } = await failureOf(slow);
    expect(message).toMatch(/work of wells had not ended \d+ s after the faults, which is its patience/u);
    expect(message).toMatch(/operations\.$/mu);
    await expect(simulate({ ...slow, patience: "1 hour" }, { seed: 7 })).resolves.toMatchObject({ seeds: 1 });
  });

  it("that never gets its shards again after the faults is a violation", async () => {
    const cutOff = scenario((sim) => ({
      async run() {
        await sim.sleep(sim.durationMs + 1_000);
        sim.cluster.faults({ leaseErrorBeforeEffect: 1 });
        await sim.sleep(60_000);
      },
    }));
    const { details, message } = await failureOf(cutOff);
    expect(details.invariant).toBe("the cluster is whole again");
    expect(message).toMatch(/0 of 8 shards have an owner, and \d of 2 runners are up/u);
  });

  it("is waited for as long as its own leases, and those of who died at the end, last", async () => {
    const slow = scenario((sim) => ({
      options: { runnerLockTtl: "10 minutes", runnerLockRefreshInterval: "1 minute" },
      async run() {
        await sim.sleep(sim.durationMs + 290_000);
        await sim.cluster.crash(0);
      },
    }));
    await expect(simulate(slow, { seed: 7 })).resolves.toMatchObject({ seeds: 1 });
  });
});

describe("a replay", () => {
  const busy = scenario((sim) => ({ run: () => sim.operations(2, async () => undefined) }));

  it.each<[string, NonNullable<SimulateOptions["only"]>, RegExp]>([
    ["fault", { faults: [0], operations: [] }, /^Option "only\.faults" is 0, .*seed 7 has 0 faults/u],
    [
      "operation",
      { faults: [], operations: [1, 2] },
      /^Option "only\.operations" is 2, .*seed 7 has 2 operations/u,
    ],
  ])(
    "of a %s that its seed does not have is refused: it would show nothing",
    async (_what, only, message) => {
      await expect(simulate(busy, { seed: 7, only })).rejects.toSatisfy(
        (error) => error instanceof ConfigError && message.test(error.message),
      );
    },
  );

  it("of what its seed has is one run", async () => {
    const only = { faults: [], operations: [1] };
    await expect(simulate(busy, { seed: 7, only })).resolves.toMatchObject({ seeds: 1 });
  });
});

describe("a simulation", () => {
  it.each<[string, unknown, RegExp]>([
    ["traceFile", 5, /^Option "traceFile" is 5, but it takes the path of a file/u],
    ["traceFile", "", /^Option "traceFile" is empty/u],
    ["faults", "crash", /^Option "faults" is "crash", but it takes a list of crash, /u],
    ["faults", 5, /^Option "faults" is 5/u],
    ["faults", ["crush"], /^Option "faults" is "crush"/u],
    ["only", 5, /^Option "options" is 5/u],
    ["only", { faults: 5 }, /^Option "only\.faults" is 5, but it takes a list of whole numbers/u],
    ["only", { faults: [], operations: ["1"] }, /^Option "only\.operations" is an array/u],
    ["only", { fault: [] }, /Did you mean "faults"\?$/u],
    ["progress", "loud", /^Option "progress" is "loud", but it takes a function/u],
    ["seed", "1", /^Option "seed" is "1"/u],
    ["duration", "soon", /^Option "duration" is "soon"/u],
    ["runners", 51, /^Option "runners" is 51/u],
  ])("refuses an option that is out of range: %s of %j", async (option, value, message) => {
    const error: unknown = await simulate(
      scenario(() => ({})),
      { seeds: 1, [option]: value },
    ).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as ConfigError).message).toMatch(message);
  });

  it("refuses a scenario that starts nothing", async () => {
    const whole = { register: [], run: async () => undefined, check: () => undefined };
    for (const started of [
      undefined,
      Promise.resolve(whole),
      { ...whole, register: "all" },
      { ...whole, run: undefined },
      { ...whole, check: 1 },
    ]) {
      const refused = simulate({ name: "none", start: () => started as never }, { seeds: 1 });
      await expect(refused).rejects.toThrow(
        /^Option "scenario\.start" .* returns \{ register, run, check \}/u,
      );
      await expect(refused).rejects.toThrow(ConfigError);
    }
  });

  it("says what is wrong with work that is none", async () => {
    const idle = await failureOf(scenario(() => ({ run: () => undefined as never })));
    expect(idle.message).toMatch(
      /Option "scenario\.run" is missing, but it takes a function that returns a/u,
    );
    const never = await failureOf(
      scenario((sim) => ({ run: () => sim.operations("many" as never, async () => undefined) })),
    );
    expect(never.message).toMatch(/Option "operations" is "many", but it takes a whole number/u);
    // oxlint-disable-next-line prefer-promise-reject-errors -- what this is about
    const nothing = await failureOf(scenario(() => ({ run: () => Promise.reject(null) })));
    expect(nothing.message).toMatch(/under seed 7: null/u);
  });

  it("has each process use the storage that the scenario makes of its handle", async () => {
    const Jar = defineEntity({ name: "Jar", rpcs: { fill: rpc<void, void>({ persisted: true }) } });
    let handles = 0;
    let saved = 0;
    const counted = scenario((sim) => ({
      register: [Jar.implement({ fill: () => undefined })],
      tamper(storage) {
        handles += 1;
        const { messages } = storage;
        const saveReply: typeof messages.saveReply = (...reply) => {
          saved += 1;
          return messages.saveReply(...reply);
        };
        const members = new Proxy(messages, {
          get(object, property) {
            if (property === "saveReply") return saveReply;
            const value: unknown = Reflect.get(object, property, object);
            return typeof value === "function" ? value.bind(object) : value;
          },
        });
        return { ...storage, messages: members };
      },
      // With a key it is stored before it runs, so that its reply is a write of its own.
      run: () => sim.cluster.entity(Jar, "j").fill(undefined, { idempotencyKey: "once" }),
    }));
    await simulate(counted, { seed: 7 });
    expect({ handles, saved }).toEqual({ handles: 3, saved: 1 });
  });

  it("rejects a sleep before there is a cluster", async () => {
    const early: unknown[] = [];
    const hasty = scenario((sim) => {
      early.push(sim.sleep(1).catch((error: unknown) => error));
      return {};
    });
    await simulate(hasty, { seeds: 1 });
    expect(await early[0]).toMatchObject({ name: "TestClusterError" });
  });
});
