import { describe, expect, it } from "vitest";
import { SeededRandom } from "../clock/seeded-random.ts";
import { SystemClock } from "../clock/system-clock.ts";
import { VirtualClock } from "../clock/virtual-clock.ts";
import { Abort } from "../contract/abort.ts";
import { Children } from "./children.ts";
import type { StepScope } from "./step.ts";

const scope = () =>
  ({
    clock: new VirtualClock(),
    random: new SeededRandom(1),
    stopped: new Abort(),
    isStopped: () => false,
  }) as unknown as StepScope;
const addressOf = (executionId: string) => ({
  entityType: "workflow:Child",
  executionId,
  shardGroup: "default",
});

describe("the children of an execution that is cancelled", () => {
  it("are all told before anybody who asks goes on (D1)", async () => {
    const children = new Children(scope(), () => false);
    const telling = Promise.withResolvers<void>();
    const tellingOfLate = Promise.withResolvers<void>();
    children.started({ address: addressOf("1"), cancel: () => telling.promise });
    children.cancel("enough");
    const over: string[] = [];
    const asked = ["the next run", "the end"].map(async (who) => {
      await children.told();
      over.push(who);
    });
    await new SystemClock().nextTurn();
    expect(over).toEqual([]);
    children.started({ address: addressOf("late"), cancel: () => tellingOfLate.promise });
    telling.resolve();
    await new SystemClock().nextTurn();
    expect(over).toEqual([]);
    tellingOfLate.resolve();
    await Promise.all(asked);
    expect(over).toEqual(["the next run", "the end"]);
  });

  it("are waited for until it is known of each whether it was started, however often that is said of others (D1)", async () => {
    const children = new Children(scope(), () => false);
    const told: string[] = [];
    const childOf = (id: string) => ({ address: addressOf(id), cancel: async () => void told.push(id) });
    const [known, late] = [children.asking(), children.asking()];
    for (let times = 0; times < 2; times += 1) known(childOf("1"));
    children.cancel("enough");
    let isOver = false;
    const telling = children.told().then(() => (isOver = true));
    await new SystemClock().nextTurn();
    expect(isOver).toBe(false);
    late(childOf("late"));
    await telling;
    expect(told).toEqual(["1", "late"]);
  });
});

describe("the children of earlier runs", () => {
  const cancel = async (): Promise<void> => undefined;
  const ids = (children: Children): readonly string[] =>
    children.running.map(({ executionId }) => executionId);

  it("are carried along unless it is known that they have ended, or they are started anew meanwhile (D4)", async () => {
    const children = new Children(scope(), () => false);
    const ends: readonly [string, () => Promise<boolean>][] = [
      ["ended", async () => true],
      ["goes on", async () => false],
      ["cannot be looked up", () => Promise.reject(new Error("storage is away"))],
      ["started anew", async () => true],
    ];
    for (const [id, hasEnded] of ends) children.started({ address: addressOf(id), cancel, hasEnded });
    children.started({ address: addressOf("of this run"), cancel });
    const looking = children.leaveOutEnded();
    children.started({ address: addressOf("started anew"), cancel });
    await looking;
    expect(ids(children)).toEqual(["cannot be looked up", "goes on", "of this run", "started anew"]);
  });

  it("are looked up a part at a time, and each in its turn (D4)", async () => {
    const lookedUp: string[] = [];
    const sizes: number[] = [];
    const children = new Children(scope(), () => false);
    for (let n = 0; n < 1_000; n += 1) {
      const hasEnded = async (): Promise<boolean> => lookedUp.push(`${n}`) > 0;
      children.started({ address: addressOf(`${n}`), cancel, hasEnded });
    }
    for (let runs = 0; runs < 10; runs += 1) {
      await children.leaveOutEnded();
      sizes.push(children.running.length);
    }
    expect(sizes).toEqual([900, 800, 700, 600, 500, 400, 300, 200, 100, 0]);
    expect(new Set(lookedUp).size).toBe(lookedUp.length);
  });
});
