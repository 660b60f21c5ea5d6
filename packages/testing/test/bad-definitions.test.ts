import {
  activity,
  AdapterNotInstalledError,
  ConfigError,
  createCluster,
  defineActivityGroup,
  defineCron,
  DefinitionError,
  defineEntity,
  defineRpcGroup,
  defineSingleton,
  defineWorkflow,
  query,
  rpc,
  type ClusterOptions,
} from "@holdfast/core";
import { createMember, SeededRandom, VirtualClock } from "@holdfast/core/internal";
import { createTestCluster } from "@holdfast/testing";
import { describe, expect, it } from "vitest";

const Desk = defineEntity({
  name: "Desk",
  rpcs: { note: rpc<string, string>(), charge: rpc<number, number>() },
});
const desk = Desk.implement({ note: (text) => text, charge: (cents) => cents });

/** The error with which a cluster is refused. */
function errorOf(made: Promise<unknown>): Promise<Error> {
  return made.then(
    () => {
      throw new Error("It was expected to be refused");
    },
    (error: Error) => error,
  );
}

describe("a definition that contradicts itself", () => {
  it.each<[string, () => unknown, RegExp]>([
    [
      "a name with a slash",
      () => defineEntity({ name: "a/b", rpcs: {} }),
      /^The name of an entity is "a\/b", but it takes/u,
    ],
    [
      "a name kept for the library",
      () => defineEntity({ name: "workflow:x", rpcs: {} }),
      /begins with a prefix that is kept for the library/u,
    ],
    [
      "an rpc named then",
      () => defineEntity({ name: "E", rpcs: { then: rpc() } }),
      /an rpc named "then", which no client can have/u,
    ],
    [
      "a missing handler",
      () => (Desk.implement as (handlers: object) => unknown)({}),
      /has no handler for: note, charge/u,
    ],
    [
      "a missing group",
      () => {
        const Audit = defineRpcGroup({ name: "Audit", rpcs: { log: rpc() } });
        return (
          defineEntity({ name: "E", groups: [Audit], rpcs: {} }).implement as unknown as (
            handlers: object,
          ) => unknown
        )({});
      },
      /lacks its rpc groups: Audit/u,
    ],
    [
      "two members of one name",
      () => {
        const Audit = defineRpcGroup({ name: "Audit", rpcs: { log: rpc() } });
        return (
          defineEntity({ name: "E", groups: [Audit], rpcs: { log: rpc() } }).implement as unknown as (
            handlers: object,
            options: object,
          ) => unknown
        )({ log: () => undefined }, { groups: [] });
      },
      /Two members of the entity "E" are named "log"/u,
    ],
    [
      "an rpc group that is listed twice",
      () => {
        const Audit = defineRpcGroup({ name: "Audit", rpcs: { log: rpc() } });
        return defineEntity({ name: "E", groups: [Audit, Audit], rpcs: {} });
      },
      /The rpc group "Audit" is given to the entity "E" twice\. Give it once\./u,
    ],
    [
      "an rpc group that is implemented twice",
      () => {
        const Audit = defineRpcGroup({ name: "Audit", rpcs: { log: rpc() } });
        const groups = [Audit.implement({ log: () => undefined }), Audit.implement({ log: () => undefined })];
        return (
          defineEntity({ name: "E", groups: [Audit], rpcs: {} }).implement as unknown as (
            handlers: object,
            options: object,
          ) => unknown
        )({}, { groups });
      },
      /The rpc group "Audit" is given to the implementation of the entity "E" twice/u,
    ],
    [
      "a primary key without persistence",
      () => rpc<string, void>({ primaryKey: (key) => key }),
      /must be persisted/u,
    ],
    [
      "a workflow without execute",
      () => (defineWorkflow<void, void>({ name: "W" }).implement as (code: object) => unknown)({}),
      /has no execute/u,
    ],
    [
      "an answer to a query that the workflow does not have",
      () =>
        (defineWorkflow<void, void>({ name: "W" }).implement as (code: object) => unknown)({
          execute: async () => undefined,
          queries: { stock: () => 1 },
        }),
      /^The implementation of the workflow "W" has functions without a query: stock\.$/u,
    ],
    [
      "an activity whose options follow its function",
      () =>
        (activity as unknown as (...given: readonly unknown[]) => unknown)(() => undefined, { retries: 3 }),
      /^The options of an activity go before its function: activity\(options, async/u,
    ],
    [
      "an rpc's schema that is none",
      () => rpc({ input: { parse: () => 1 } as never }),
      /^The input of an rpc is given what is no Standard Schema/u,
    ],
    [
      "a query's schema that is none",
      () => query({ output: null as never }),
      /^The output of a query is given what is no Standard Schema/u,
    ],
    [
      "a signal's schema that is none",
      () => defineWorkflow({ name: "W", signals: { go: {} as never } }),
      /^The signal "go" of workflow "W" is given what is no Standard Schema/u,
    ],
  ])("because of %s is a DefinitionError", (_what, define, message) => {
    expect(define).toThrow(DefinitionError);
    expect(define).toThrow(message);
  });

  it("because it is registered twice is a DefinitionError", async () => {
    await expect(createCluster({ register: [desk, desk] })).rejects.toThrow(
      'The entity "Desk" is registered twice.',
    );
  });

  it("because it is no implementation is a DefinitionError", async () => {
    await expect(createCluster({ register: [Desk as never] })).rejects.toThrow(
      /register got the definition "Desk" and not its implementation/u,
    );
    const group = defineRpcGroup({ name: "G", rpcs: {} });
    for (const given of [group, group.implement({}), defineActivityGroup({ name: "A", activities: {} })])
      await expect(createCluster({ register: [given as never] })).rejects.toThrow(
        "register got a group: give it to implement() of the entity or workflow that has it",
      );
    await expect(createCluster({ register: [null as never] })).rejects.toThrow(
      "register takes what implement()",
    );
  });

  it.each<[string, () => unknown, RegExp]>([
    ["a promise", async () => ({ note: String }), /is a promise: .* not be async\.$/u],
    ["nothing", () => undefined, /is no object of handlers\.$/u],
  ])("whose function makes %s of handlers says so to its callers", async (_what, make, message) => {
    const Note = defineEntity({ name: "Note", rpcs: { note: rpc<string, string>() } });
    await using test = await createTestCluster({ register: [Note.implement(make as never)] });
    const error = await errorOf(test.entity(Note, "a").note("x"));
    expect(error).toBeInstanceOf(DefinitionError);
    expect(error.message).toMatch(message);
  });
});

describe("an option of a definition", () => {
  const run = (): void => undefined;
  it.each<[string, (option: object) => unknown, string, string]>([
    ["an entity", (option) => defineEntity({ name: "E", rpcs: {}, ...option }), "maxIdletime", "maxIdleTime"],
    ["an rpc", (option) => rpc({ ...option }), "presisted", "persisted"],
    ["an rpc group", (option) => defineRpcGroup({ name: "G", rpcs: {}, ...option }), "rpc", "rpcs"],
    [
      "an entity's implementation",
      (option) => defineEntity({ name: "E", rpcs: {} }).implement({}, { ...option }),
      "group",
      "groups",
    ],
    ["a workflow", (option) => defineWorkflow({ name: "W", ...option }), "retension", "retention"],
    [
      "a workflow's implementation",
      (option) => defineWorkflow<void, void>({ name: "W" }).implement({ execute: async () => {}, ...option }),
      "activites",
      "activities",
    ],
    ["a query", (option) => query({ ...option }), "outptu", "output"],
    ["an activity", (option) => activity({ ...option }, run), "retires", "retries"],
    [
      "an activity group",
      (option) => defineActivityGroup({ name: "G", activities: {}, ...option }),
      "activites",
      "activities",
    ],
    ["a singleton", (option) => defineSingleton({ name: "S", run, ...option }), "sharedGroup", "shardGroup"],
    [
      "a cron",
      (option) => defineCron({ name: "C", schedule: "@daily", run, ...option }),
      "timezone",
      "timeZone",
    ],
  ])("of %s is a ConfigError where there is no such option", (_what, define, misspelt, meant) => {
    expect(() => define({ [misspelt]: 1 })).toThrow(ConfigError);
    expect(() => define({ [misspelt]: 1 })).toThrow(
      `Option "${misspelt}" is "given", but it takes nothing: there is no such option. Did you mean "${meant}"?`,
    );
    expect(() =>
      define(meant === "rpcs" || meant === "activities" ? {} : { [meant]: undefined }),
    ).not.toThrow();
  });

  it.each(["private", "Protected", "", null, true])("visibility is not %j", (visibility) => {
    const define = (): unknown => rpc({ visibility: visibility as "public" });
    expect(define).toThrow(ConfigError);
    expect(define).toThrow(/^Option "visibility" is .+, but it takes "public" or "protected"\.$/u);
  });

  it.each([
    ["persisted", "false"],
    ["stream", 1],
    ["uninterruptible", "yes"],
    ["primaryKey", "id"],
  ])("%s is not %j", (option, given) => {
    const define = (): unknown => rpc({ persisted: true, [option]: given });
    expect(define).toThrow(ConfigError);
    expect(define).toThrow(
      new RegExp(`^Option "${option}" is .+, but it takes (true or false|a function of the input)`),
    );
  });
});

describe("an option of a cluster", () => {
  it.each<[keyof ClusterOptions, readonly unknown[]]>([
    ["shardsPerGroup", [0, -1, 1.5, 65_537, "300"]],
    ["shardGroups", [[], ["a", "a"], [""], "default"]],
    ["runnerWeight", [-1, 0.5, 1_001]],
    ["entityMaxIdleTime", [-1, "soon", 0, "", true, {}, []]],
    ["entityMailboxCapacity", [0, 2.5, Number.NaN]],
    ["entityMaxConcurrentRequests", [-1, 0.5]],
    ["entityTerminationTimeout", [-1, "a while"]],
    ["storagePollInterval", [0, 9, "x"]],
    ["storageMessageMaxRetries", [-1, 1.5]],
    ["runnerLockTtl", [0, 99, "never"]],
    ["runnerLockRefreshInterval", [0, "20s"]],
    ["shardRebalanceDebounce", [-1, "x"]],
    ["sendRetryCount", [-1, 21, 0.5]],
    ["singletonCrashBackoffBase", [0, "x"]],
    ["detachmentEnabled", ["yes", 1]],
    ["exposeStacks", ["no", 0]],
    ["maxPayloadBytes", [0, 1_023, 1.5]],
    ["role", ["server"]],
    ["register", [5, {}, "Desk"]],
    ["logger", [5, {}, { warn() {} }]],
    ["storage", ["nowhere", "ftp://x", 5, {}]],
    ["runners", ["grpc://x", 5]],
    ["transport", ["postgres://x", {}]],
  ])("named %s is checked, and the error names it, what it got and what it takes", async (option, values) => {
    for (const value of values) {
      const error = await errorOf(createCluster({ [option]: value }));
      expect(error, `${option}: ${String(value)}`).toBeInstanceOf(ConfigError);
      expect(error.message).toMatch(new RegExp(`^Option "${option}" is .+, but it takes .+`, "u"));
      expect((error as ConfigError).option).toBe(option);
    }
  });

  it("that is misspelt gets a suggestion", async () => {
    const error = await errorOf(createCluster({ shardPerGroups: 5 } as ClusterOptions));
    expect(error.message).toBe(
      'Option "shardPerGroups" is "given", but it takes nothing: there is no such option. Did you mean "shardsPerGroup"?',
    );
  });

  it("that names an adapter which is not installed says what to install", async () => {
    const clock = new VirtualClock();
    const member = createMember(
      { transport: "nats://127.0.0.1:4222" },
      {
        clock,
        random: new SeededRandom(1, () => clock.now()),
        environment: {},
        // Here every adapter is installed. The error is the one that Node.js has for a package that is not.
        importModule: (packageName) => import(/* @vite-ignore */ `${packageName}-that-nobody-has`),
      },
    );
    const error = await errorOf(member);
    expect(error).toBeInstanceOf(AdapterNotInstalledError);
    expect(error.cause).toMatchObject({ code: "ERR_MODULE_NOT_FOUND" });
    expect(error.message).toBe(
      'Option "transport" names "nats:", which the package @holdfast/transport-nats provides, and that is not installed. Run: npm install @holdfast/transport-nats',
    );
  });

  it("never shows a password", async () => {
    const error = await errorOf(createCluster({ runners: "ftp://kim:secret@host" }));
    expect(error.message).not.toContain("secret");
  });
});
