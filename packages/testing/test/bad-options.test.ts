import {
  ConfigError,
  defineEntity,
  defineWorkflow,
  rpc,
  type ExportedJournal,
  type WorkflowImplementation,
} from "@holdfast/core";
import {
  checkLinearizable,
  counterModel,
  createTestCluster,
  messageStorageConformance,
  replayWorkflow,
  runnerStorageConformance,
  transportConformance,
  workflowStorageConformance,
  type TestCluster,
} from "@holdfast/testing";
import { describe, expect, it } from "vitest";

const Bell = defineEntity({ name: "Bell", rpcs: { ring: rpc<void, string>() } });
const bell = Bell.implement({ ring: () => "ding" });

/** What a call ends with; `null` where it threw instead of giving a promise, or came to nothing. */
async function rejectionOf(call: () => Promise<unknown>): Promise<unknown> {
  let ending: Promise<unknown>;
  try {
    ending = call();
  } catch {
    return null;
  }
  return ending.then(
    () => null,
    (error: unknown) => error,
  );
}

describe("an option of a test cluster that is out of range", () => {
  it.each([
    ["seed", "42", /^Option "seed" is "42", but it takes a whole number of 0 or more\.$/u],
    ["seed", Number.NaN, /^Option "seed" is NaN/u],
    ["seed", 1.5, /^Option "seed" is 1\.5/u],
    ["seed", -1, /^Option "seed" is -1/u],
    ["seed", null, /^Option "seed" is null/u],
    ["startAt", "2030-01-01", /^Option "startAt" is "2030-01-01", but it takes a valid Date/u],
    ["startAt", 1_893_456_000_000, /^Option "startAt" is 1893456000000/u],
    ["startAt", new Date(Number.NaN), /^Option "startAt" is NaN/u],
    ["startAt", new Date(-1), /^Option "startAt" is -1, but it takes a valid Date from 1970 to 9999\.$/u],
    ["startAt", new Date("+010000-01-01"), /^Option "startAt" is 253402300800000/u],
    ["startAt", null, /^Option "startAt" is null/u],
    ["shuffle", "no", /^Option "shuffle" is "no", but it takes true or false\.$/u],
    ["isPatient", 0, /^Option "isPatient" is 0, but it takes true or false\.$/u],
    ["runners", "3", /^Option "runners" is "3"/u],
    ["register", bell, /^Option "register" is a value of type object, but it takes a list of/u],
    ["register", null, /^Option "register" is null/u],
    ["perRunner", { runnerWeight: 2 }, /^Option "perRunner" is a value of type object, .* a function/u],
    ["perRunner", () => 2, /^Option "perRunner\(0\)" is 2, but it takes an object of options/u],
    ["perRunner", async () => ({}), /^Option "perRunner\(0\)" is .* an object of options/u],
    ["perRunner", () => ({ storage: "memory:" }), /^Option "storage" is "given", but it takes nothing/u],
    ["perRunner", () => ({ runners: 3 }), /^Option "runners" is "given", but it takes nothing/u],
    ["role", "client", /^Option "role" is "given", but it takes nothing/u],
    ["trace", [], /^Option "trace" is an empty array, but it takes a function/u],
    ["tamper", {}, /^Option "tamper" is .* a function/u],
    ["config", "holdfast.config.ts", /^Option "config" is "given", but it takes nothing/u],
    ["sead", 7, /^Option "sead" .* Did you mean "seed"\?$/u],
  ])("is refused: %s of %j", async (option, value, message) => {
    const error = await rejectionOf(() => createTestCluster({ [option]: value }));
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as ConfigError).message).toMatch(message);
  });

  it("is refused where there is no object of options", async () => {
    await expect(createTestCluster(null as never)).rejects.toThrow(/^Option "options" is null/u);
    await expect(createTestCluster(3 as never)).rejects.toThrow(/^Option "options" is 3/u);
  });
});

describe("a fault that there is not", () => {
  it.each<[string, unknown, RegExp]>([
    ["drop", "0.5", /^Option "faults\.drop" is "0\.5", but it takes a probability from 0 to 1/u],
    ["drop", null, /^Option "faults\.drop" is null/u],
    ["drop", Number.NaN, /^Option "faults\.drop" is NaN/u],
    ["delay", "50ms", /^Option "faults\.delay" is "50ms", .* two durations/u],
    ["delay", ["50ms"], /^Option "faults\.delay" is an array, .* two durations/u],
    ["delay", null, /^Option "faults\.delay" is null, .* two durations/u],
    ["storageDelay", ["0ms", "soon"], /^Option "faults\.storageDelay" is "soon"/u],
    ["dorp", 0.5, /^Option "faults\.dorp" is "given"/u],
  ])("is refused, and those in force stay: %s of %j", async (fault, value, message) => {
    const faults: string[] = [];
    await using cluster = await createTestCluster({
      trace: (event) => void (event.type === "fault" && faults.push(event.what)),
    });
    const set = (): void => cluster.faults({ [fault]: value });
    expect(set).toThrow(ConfigError);
    expect(set).toThrow(message);
    expect(faults).toEqual([]);
  });

  it("is refused where there is no object of faults, nor list of runners", async () => {
    await using cluster = await createTestCluster();
    const faults = cluster.faults as (...given: unknown[]) => void;
    expect(() => faults(undefined)).toThrow(/^Option "faults" is missing, but it takes an object/u);
    expect(() => faults(0.5)).toThrow(/^Option "faults" is 0\.5, but it takes an object/u);
    expect(() => faults({}, 0)).toThrow(/^Option "runners" is 0, but it takes a list of numbers/u);
    expect(() => faults({}, [1])).toThrow(/^Option "runner" is 1, but it takes a number from 0 to 0/u);
  });
});

describe("a method of a test cluster", () => {
  it.each<[string, (cluster: TestCluster) => Promise<unknown>]>([
    ["advance without a time", (cluster) => cluster.advance(undefined as never)],
    ["advance by no duration", (cluster) => cluster.advance("soon")],
    ["advance back", (cluster) => cluster.advance(-1)],
    ["sleep without a time", (cluster) => cluster.sleep(undefined as never)],
    ["sleep for no number", (cluster) => cluster.sleep("5s" as never)],
    ["sleep for NaN", (cluster) => cluster.sleep(Number.NaN)],
    ["crash of no runner", (cluster) => cluster.crash(1)],
    ["restart of no runner", (cluster) => cluster.restart(-1)],
    ["pause of no runner", (cluster) => cluster.pause("0" as never)],
    ["resume of no runner", (cluster) => cluster.resume("length" as never)],
    ["sleep of a process", (cluster) => cluster.runners[0]?.sleep("5s" as never) ?? Promise.resolve()],
  ])("rejects where it returns a promise: %s", async (_what, call) => {
    await using cluster = await createTestCluster();
    expect(await rejectionOf(() => call(cluster))).toBeInstanceOf(ConfigError);
  });

  it.each<[string, (cluster: TestCluster) => unknown]>([
    ["partition of no lists", (cluster) => cluster.partition(0 as never, 1 as never)],
    ["cut of no lists", (cluster) => cluster.cut([0], undefined as never)],
    ["partition of no runner", (cluster) => cluster.partition([0], [1])],
    ["revive of no runner", (cluster) => cluster.revive(1)],
    ["skew by NaN", (cluster) => cluster.skew(0, Number.NaN)],
    ["skew by no duration", (cluster) => cluster.skew(0, "-soon")],
    ["skew without a time", (cluster) => cluster.skew(0, undefined as never)],
    ["status of no runner", (cluster) => cluster.status("length" as never)],
    ["health of no runner", (cluster) => cluster.health(1)],
  ])("throws where it returns none: %s", async (_what, call) => {
    await using cluster = await createTestCluster();
    expect(() => call(cluster)).toThrow(ConfigError);
  });
});

describe("a clock that is set back", () => {
  it("takes a duration with a minus before it", async () => {
    await using cluster = await createTestCluster();
    cluster.skew(0, "-2s");
    expect(cluster.runners[0]?.now()).toBe(cluster.now() - 2_000);
    cluster.skew(0, -500);
    expect(cluster.runners[0]?.now()).toBe(cluster.now() - 500);
  });
});

describe("a history", () => {
  it("of an operation that ended before it began is refused", () => {
    const input = { kind: "add", amount: 1 } as const;
    const history = (invokedAt: number, completedAt: number) => () =>
      checkLinearizable("a counter", counterModel, [{ input, output: 1, invokedAt, completedAt }]);
    for (const refused of [history(2, 1), history(Number.NaN, 1), history(0, Number.NaN)]) {
      expect(refused).toThrow(ConfigError);
      expect(refused).toThrow(/^Option "operations\[0\]" is .* completedAt/u);
    }
  });
});

describe("a suite", () => {
  it("is refused without a factory", () => {
    const suites = {
      messageStorageConformance,
      workflowStorageConformance,
      runnerStorageConformance,
      transportConformance,
    };
    for (const [name, suite] of Object.entries(suites)) {
      const define = suite as (...given: unknown[]) => void;
      for (const refused of [() => define("mine"), () => define({}), () => define("mine", {})]) {
        expect(refused).toThrow(ConfigError);
        expect(refused).toThrow(`Option "${name}"`);
      }
    }
  });
});

describe("a journal that is cut off", () => {
  it("is refused", async () => {
    const Trip = defineWorkflow<{ id: string }, void>({ name: "Trip", key: ({ id }) => id });
    const trip: WorkflowImplementation = Trip.implement({ execute: async () => undefined });
    const journal = { format: "holdfast-journal-1", workflow: "Trip" } as ExportedJournal;
    await expect(replayWorkflow(trip, journal)).rejects.toThrow(ConfigError);
  });
});
