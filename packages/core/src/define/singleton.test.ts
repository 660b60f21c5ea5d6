import { describe, expect, it } from "vitest";
import type { RunContext } from "../client/handler-context.ts";
import { DefinitionError } from "../errors/config.ts";
import { bindSingleton, defineSingleton, type RunScope, type SingletonContext } from "./singleton.ts";

const contextOf = (scope: RunScope): RunContext =>
  ({ signal: scope.signal, fencingToken: scope.fence.epoch, log: scope.logFields }) as unknown as RunContext;

describe("defineSingleton", () => {
  it("gives a definition that goes into register", () => {
    const leader = defineSingleton({ name: "leader", shardGroup: "control", async run() {} });
    expect(leader).toMatchObject({ kind: "singleton", name: "leader", shardGroup: "control" });
    expect(defineSingleton({ name: "leader", run() {} }).shardGroup).toBe("default");
  });

  it("calls run as a method of what was given", () => {
    const options = {
      name: "leader",
      run(): string {
        return this.name;
      },
    };
    expect(defineSingleton(options).run({} as SingletonContext)).toBe("leader");
  });

  it.each([
    [{ name: "", run() {} }, 'The name of a singleton is ""'],
    [{ name: "a/b", run() {} }, 'The name of a singleton is "a/b"'],
    [{ run() {} }, "The name of a singleton is missing"],
    [{ name: "leader" }, 'The singleton "leader" has no function "run"'],
    [
      { name: "leader", shardGroup: "a b", run() {} },
      'The name of the shard group of singleton "leader" is "a b"',
    ],
  ])("refuses %j in a sentence", (options, message) => {
    expect(() => defineSingleton(options as never)).toThrow(DefinitionError);
    expect(() => defineSingleton(options as never)).toThrow(message);
  });
});

describe("a bound singleton", () => {
  it("runs with the context that the cluster makes for its shard's fence, and its name", async () => {
    const contexts: SingletonContext[] = [];
    const leader = defineSingleton({ name: "leader", run: (ctx) => contexts.push(ctx) });
    const { signal } = new AbortController();
    await bindSingleton(leader, contextOf).run({ signal, fence: { shardId: "default:1", epoch: 5 } });
    expect(contexts).toEqual([{ name: "leader", signal, fencingToken: 5, log: { singleton: "leader" } }]);
  });
});
