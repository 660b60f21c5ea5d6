import type { EncodedError, Envelope, JournalEntry, JournalEvent, ShardId } from "@holdfast/core/adapter";
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { SqlFailure } from "./errors.ts";
import { GroupCommitter } from "./group-committer.ts";
import { lineOf, type WriteOp, type WriteResult } from "./write-op.ts";

/** Groups that were asked for, each held until the test lets it go. */
class Writer {
  readonly groups: { readonly ops: readonly WriteOp[]; readonly finish: (error?: SqlFailure) => void }[] = [];
  readonly write = (ops: readonly WriteOp[]): Promise<readonly WriteResult[]> =>
    new Promise((resolve, reject) => {
      const finish = (error?: SqlFailure): void => {
        if (error === undefined) resolve(ops.map((): WriteResult => ({ type: "done" })));
        else reject(error);
      };
      this.groups.push({ ops, finish });
    });

  names(group: number): string[] {
    return (this.groups[group]?.ops ?? []).map(nameOf);
  }
}

describe("the group committer", () => {
  it("joins the writes of one turn, whoever makes them, into one group", async () => {
    const { writer, committer } = make();
    const writes = [writeTo(committer, journal("a", 0)), writeTo(committer, reply("b", "default:2"))];
    await Promise.resolve().then(() => writes.push(writeTo(committer, journal("c", 0))));
    await turn();
    expect(writer.groups).toHaveLength(1);
    expect(writer.names(0)).toEqual(["a:0", "b", "c:0"]);
    writer.groups[0]?.finish();
    expect(await Promise.all(writes)).toEqual([{ type: "done" }, { type: "done" }, { type: "done" }]);
  });

  it("writes also while a test's framework keeps the platform's turns back", async () => {
    const { writer, committer } = make();
    vi.useFakeTimers();
    void writeTo(committer, journal("a", 0));
    await new Promise<void>((resolve) => process.nextTick(resolve));
    vi.useRealTimers();
    await turn();
    expect(writer.names(0)).toEqual(["a:0"]);
  });

  it("joins what goes on at the end of the turn: an execution ends there after its last step", async () => {
    const { writer, committer } = make();
    const run = async (name: string): Promise<void> => {
      void writeTo(committer, journal(name, 0));
      await new Promise(setImmediate);
      void writeTo(committer, reply(`end of ${name}`, `default:${name.charCodeAt(0)}`));
    };
    const answered = Promise.resolve();
    for (const name of ["a", "b"]) void answered.then(() => run(name));
    await turn();
    expect(writer.groups).toHaveLength(1);
    expect(writer.names(0)).toEqual(["a:0", "b:0", "end of a", "end of b"]);
  });

  it("sends much as soon as all promises are dealt with, and not what another event of the turn adds", async () => {
    const { writer, committer } = make({ lanes: 2 });
    const answered = async (name: string, from: number): Promise<void> => {
      await Promise.resolve();
      for (let shard = from; shard < from + 100; shard += 1)
        void writeTo(committer, reply(`${name}-${shard}`, `default:${shard}`));
    };
    // Two answers that came together are two events of one turn.
    const sentBetween = await new Promise<number>((resolve) => {
      setImmediate(() => void answered("a", 0));
      setImmediate(() => {
        resolve(writer.groups.length);
        void answered("b", 100);
      });
    });
    await turn();
    expect(sentBetween).toBe(1);
    expect(writer.names(0)).toHaveLength(100);
    expect(writer.names(0).every((name) => name.startsWith("a"))).toBe(true);
    expect(writer.names(1).every((name) => name.startsWith("b"))).toBe(true);
  });

  it("gathers what comes for a busy shard until its group is done", async () => {
    const { writer, committer } = make({ lanes: 2 });
    void writeTo(committer, reply("1", "default:1"));
    await turn();
    void writeTo(committer, reply("2", "default:1"));
    await turn();
    void writeTo(committer, reply("3", "default:1"));
    void writeTo(committer, reply("other", "default:2"));
    await turn();
    expect(writer.groups.map((_, index) => writer.names(index))).toEqual([["1"], ["other"]]);
    writer.groups[0]?.finish();
    await turn();
    expect(writer.names(2)).toEqual(["2", "3"]);
  });

  it("holds up a request for those to its entity, and for nothing else of a busy shard", async () => {
    const { writer, committer } = make({ lanes: 2 });
    void writeTo(committer, reply("1", "default:1"));
    void writeTo(committer, request("2", "default:1", "a"));
    await turn();
    void writeTo(committer, request("3", "default:1", "a"));
    void writeTo(committer, request("4", "default:1", "b"));
    await turn();
    expect([writer.names(0), writer.names(1)]).toEqual([["1", "2"], ["4"]]);
    writer.groups[0]?.finish();
    await turn();
    expect(writer.names(2)).toEqual(["3"]);
  });

  it("shares much between the lanes by whole lines, so that both go on by themselves", async () => {
    const { writer, committer } = make({ lanes: 2 });
    const writeAll = (shards: readonly number[]): void => {
      for (let count = 0; count < 50; count += 1)
        for (const shard of shards) void writeTo(committer, reply(`${shard}-${count}`, `default:${shard}`));
    };
    const shardsOf = (group: number): string[] =>
      [...new Set(writer.names(group).map((name) => name.slice(0, 1)))].toSorted();
    writeAll([1, 2, 3, 4]);
    await turn();
    expect([shardsOf(0), shardsOf(1)]).toEqual([
      ["1", "2"],
      ["3", "4"],
    ]);
    writeAll([1, 2, 5]);
    writer.groups[0]?.finish();
    await turn();
    expect(shardsOf(2)).toEqual(["1", "2", "5"]);
  });

  it("puts two writes of one kind to one request into two groups", async () => {
    const { writer, committer } = make();
    void writeTo(committer, reply("1", "default:1"));
    void writeTo(committer, reply("1", "default:1"));
    void writeTo(committer, reply("2", "default:2"));
    await turn();
    expect(writer.names(0)).toEqual(["1", "2"]);
    writer.groups[0]?.finish();
    await turn();
    expect(writer.names(1)).toEqual(["1"]);
  });

  it("divides a group that the database refused until the write at fault fails alone", async () => {
    const { committer, poison } = make({ poison: "5" });
    const results = await Promise.allSettled(
      Array.from({ length: 9 }, (_, index) => writeTo(committer, reply(String(index), "default:1"))),
    );
    expect(results.map(({ status }) => status === "rejected")).toEqual(
      Array.from({ length: 9 }, (_, index) => String(index) === poison),
    );
  });

  it("divides no group whose outcome is unknown, and tells it to each", async () => {
    const { writer, committer } = make();
    const settling = Promise.allSettled([
      writeTo(committer, reply("1", "default:1")),
      writeTo(committer, reply("2", "default:2")),
    ]);
    await turn();
    writer.groups[0]?.finish(new SqlFailure({ outcome: "unknown", sqlState: null, message: "lost" }));
    for (const result of await settling)
      expect(result).toMatchObject({ status: "rejected", reason: { outcome: "unknown" } });
    expect(writer.groups).toHaveLength(1);
  });

  it("lets no append pass that was called after one that failed, and before that was told", async () => {
    const { writer, committer } = make();
    const first = [writeTo(committer, journal("a", 0)), writeTo(committer, journal("b", 0))];
    await turn();
    const later = [writeTo(committer, journal("a", 1)), writeTo(committer, journal("c", 0))];
    const settling = Promise.allSettled([...first, ...later]);
    writer.groups[0]?.finish(new SqlFailure({ outcome: "unknown", sqlState: null, message: "lost" }));
    await turn();
    expect(writer.names(1)).toEqual(["c:0"]);
    writer.groups[1]?.finish();
    expect((await settling).map(({ status }) => status)).toEqual([
      "rejected",
      "rejected",
      "rejected",
      "fulfilled",
    ]);
    const afterwards = writeTo(committer, journal("a", 0));
    await turn();
    writer.groups[2]?.finish();
    expect(await afterwards).toEqual({ type: "done" });
  });

  it.each<[string, (id: number, error: EncodedError) => WriteOp]>([
    [
      "replies",
      (id, error) => ({
        type: "reply",
        reply: { requestId: `${id}`, exit: { ok: false, error } },
        fence: { shardId: `default:${id}`, epoch: 1 },
      }),
    ],
    [
      "dead letters",
      (id, error) => ({
        type: "dead",
        requestId: `${id}`,
        letter: { error, attempts: 1, deadSince: 0 },
        fence: { shardId: `default:${id}`, epoch: 1 },
      }),
    ],
    [
      "failed attempts",
      (id, error) => journal(`${id}`, 0, { type: "attempt-failed", attempt: 1, error, retryAt: 0 }),
    ],
    [
      "heartbeats",
      (id, { message: lastHeartbeat }) =>
        journal(`${id}`, 0, { type: "attempt-failed", attempt: 1, error: FAILED, retryAt: 0, lastHeartbeat }),
    ],
  ])("puts no more into a group than it may carry, whatever is large: %s", async (_what, write) => {
    const { writer, committer } = make();
    const error = { ...FAILED, message: "x".repeat(1024 * 1024) };
    for (let id = 0; id < 20; id += 1) void writeTo(committer, write(id, error));
    await turn();
    expect(writer.groups[0]?.ops.length).toBeLessThan(5);
  });

  it("is drained once nothing waits and nothing is under way", async () => {
    const { writer, committer } = make();
    await committer.drained();
    void writeTo(committer, reply("1", "default:1"));
    let isDrained = false;
    const draining = committer.drained().then(() => (isDrained = true));
    await turn();
    expect(isDrained).toBe(false);
    writer.groups[0]?.finish();
    await draining;
  });

  it("settles every write once, and writes each line's in the order of calls, on whatever lanes (property)", async () => {
    const plan = fc.array(
      fc.record({
        shard: fc.integer({ min: 0, max: 3 }),
        entity: fc.option(fc.integer({ min: 0, max: 3 })),
        pause: fc.boolean(),
      }),
      { maxLength: 60 },
    );
    await fc.assert(
      fc.asyncProperty(
        plan,
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 1, max: 7 }),
        async (steps, lanes, maxRows) => {
          const written: string[] = [];
          const lines = new Set<string>();
          const committer = new GroupCommitter({
            lanes,
            maxRows,
            write: async (ops) => {
              const here = new Set(ops.map(lineOf));
              for (const line of here) {
                expect(lines.has(line)).toBe(false);
                lines.add(line);
              }
              expect(ops.length).toBeLessThanOrEqual(maxRows);
              written.push(...ops.map(nameOf));
              await turn();
              for (const line of here) lines.delete(line);
              return ops.map((): WriteResult => ({ type: "done" }));
            },
          });
          const writes: Promise<WriteResult>[] = [];
          for (const [index, { shard, entity, pause }] of steps.entries()) {
            const name = String(index);
            const shardId: ShardId = `default:${shard}`;
            writes.push(
              writeTo(
                committer,
                entity === null ? reply(name, shardId) : request(name, shardId, `e${entity}`),
              ),
            );
            if (pause) await turn();
          }
          await Promise.all(writes);
          const byLine = Map.groupBy(steps.keys(), (index) => {
            const { shard, entity } = steps[index] as (typeof steps)[number];
            return entity === null ? `shard ${shard}` : `entity ${entity}`;
          });
          for (const indexes of byLine.values()) {
            const names = indexes.map(String);
            expect(written.filter((name) => names.includes(name))).toEqual(names);
          }
          await committer.drained();
        },
      ),
      { numRuns: 60 },
    );
  });
});

function make(options: { lanes?: number; poison?: string } = {}): {
  writer: Writer;
  committer: GroupCommitter;
  poison: string;
} {
  const writer = new Writer();
  const poison = options.poison ?? "";
  const refusing = async (ops: readonly WriteOp[]): Promise<readonly WriteResult[]> => {
    if (ops.some((op) => nameOf(op) === poison)) {
      throw new SqlFailure({ outcome: "not-written", sqlState: "22021", message: "poison" });
    }
    return ops.map((): WriteResult => ({ type: "done" }));
  };
  const write = poison === "" ? writer.write : refusing;
  return {
    writer,
    poison,
    committer: new GroupCommitter({ lanes: options.lanes ?? 1, maxRows: 500, write }),
  };
}

function writeTo(committer: GroupCommitter, op: WriteOp): Promise<WriteResult> {
  return new Promise((resolve, reject) => committer.write({ op, resolve, reject }));
}

/** Lets the committer see the end of this turn, and what follows from it. */
async function turn(): Promise<void> {
  for (let count = 0; count < 3; count += 1) await new Promise(setImmediate);
}

function nameOf(op: WriteOp): string {
  if (op.type === "request") return op.envelope.requestId;
  if (op.type === "reply") return op.reply.requestId;
  return op.type === "journal" ? `${op.execution.executionId}:${op.entries[0]?.ordinal}` : op.type;
}

function request(requestId: string, shardId: ShardId, entityId: string): WriteOp {
  const envelope = {
    requestId,
    address: { entityType: "Counter", entityId, shardId },
    payload: "{}",
  } as Envelope;
  return { type: "request", envelope, attempts: 0, fence: { shardId, epoch: 1 } };
}

const FAILED: EncodedError = {
  name: "Error",
  message: "failed",
  code: null,
  stack: null,
  data: null,
  cause: null,
  own: false,
};

function reply(requestId: string, shardId: ShardId): WriteOp {
  return {
    type: "reply",
    reply: { requestId, exit: { ok: true, value: "1" } },
    fence: { shardId, epoch: 1 },
  };
}

function journal(
  executionId: string,
  ordinal: number,
  event: JournalEvent = { type: "completed", value: "1" },
): WriteOp {
  const entry: JournalEntry = {
    ordinal,
    position: ordinal,
    kind: "run",
    name: "step",
    event,
  };
  return {
    type: "journal",
    execution: { entityType: "Order", executionId },
    key: executionId,
    entries: [entry],
    fence: { shardId: `default:${executionId.charCodeAt(0)}`, epoch: 1 },
  };
}
