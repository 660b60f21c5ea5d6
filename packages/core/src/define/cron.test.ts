import { describe, expect, it } from "vitest";
import type { RunContext } from "../client/handler-context.ts";
import { TransactionScope, transactionScopeOf } from "../contract/transaction.ts";
import type { Call } from "../entity/behavior.ts";
import { DefinitionError } from "../errors/config.ts";
import { bindCron, defineCron, type CronContext } from "./cron.ts";
import type { RunScope } from "./singleton.ts";

const contextOf = (scope: RunScope): RunContext =>
  ({ signal: scope.signal, fencingToken: scope.fence.epoch, log: scope.logFields }) as unknown as RunContext;

describe("defineCron", () => {
  it("gives a definition that goes into register", () => {
    const cleanup = defineCron({
      name: "cleanup-job",
      schedule: "0 */5 * * * *",
      timeZone: "Europe/Paris",
      calculateNextFromPrevious: true,
      skipIfOlderThan: "1 hour",
      async run() {},
    });
    expect(cleanup).toMatchObject({
      kind: "cron",
      name: "cleanup-job",
      shardGroup: "default",
      schedule: "0 */5 * * * *",
      timeZone: "Europe/Paris",
      calculateNextFromPrevious: true,
      skipIfOlderThanMs: 3_600_000,
    });
  });

  it("goes by UTC, from now, and skips what is older than a day, unless it is told otherwise", () => {
    expect(defineCron({ name: "cleanup", schedule: "@daily", run() {} })).toMatchObject({
      timeZone: "UTC",
      calculateNextFromPrevious: false,
      skipIfOlderThanMs: 86_400_000,
    });
  });

  it.each([
    [{ name: "" }, 'The name of a cron is ""'],
    [{ name: "x".repeat(125) }, "The name of the entity type of cron"],
    [{ run: undefined }, 'The cron "cleanup" has no function "run"'],
    [{ shardGroup: "" }, 'The name of the shard group of cron "cleanup" is ""'],
    [{ schedule: "" }, 'The schedule of cron "cleanup" is ""'],
    [{ schedule: undefined }, 'The schedule of cron "cleanup" is of type undefined'],
    [{ schedule: "0 99 * * *" }, "It takes five fields"],
    [{ timeZone: "Mars/Olympus" }, 'The time zone of cron "cleanup" is "Mars/Olympus"'],
    [{ timeZone: 1 }, 'The time zone of cron "cleanup" is of type number'],
    [{ skipIfOlderThan: "soon" }, 'Option "skipIfOlderThan" of cron "cleanup" takes a duration'],
    [{ skipIfOlderThan: -1 }, 'Option "skipIfOlderThan" of cron "cleanup" takes a duration'],
    [{ skipIfOlderThan: true }, 'Option "skipIfOlderThan" of cron "cleanup" takes a duration'],
    [
      { calculateNextFromPrevious: "yes" },
      'Option "calculateNextFromPrevious" of cron "cleanup" takes true or false',
    ],
  ])("refuses %j in a sentence", (change, message) => {
    const options = { name: "cleanup", schedule: "@daily", run() {}, ...change };
    expect(() => defineCron(options as never)).toThrow(DefinitionError);
    expect(() => defineCron(options as never)).toThrow(message);
  });
});

describe("a bound cron", () => {
  it("runs with its instant, the context that the cluster makes, and the tick's transaction", async () => {
    const calls: [Date, CronContext][] = [];
    const cleanup = defineCron({ name: "cleanup", schedule: "@daily", run: (...call) => calls.push(call) });
    const transactions = new TransactionScope(undefined, "the test has none");
    const { signal } = new AbortController();
    const call = {
      signal,
      fence: { shardId: "default:1", epoch: 5 },
      attempt: 2,
      transactions,
    } as unknown as Call;
    const midnight = new Date("2030-01-01T00:00:00Z");
    await bindCron(cleanup, contextOf).run(midnight, call);

    expect(calls).toHaveLength(1);
    const [scheduledTime, ctx] = calls[0] as [Date, CronContext];
    expect(scheduledTime).toEqual(midnight);
    expect(ctx).toMatchObject({ name: "cleanup", attempt: 2, signal, fencingToken: 5 });
    expect(ctx.log).toEqual({ cron: "cleanup", scheduledTime: "2030-01-01T00:00:00.000Z", attempt: 2 });
    expect(transactionScopeOf(ctx, "postgres")).toBe(transactions);
  });
});
