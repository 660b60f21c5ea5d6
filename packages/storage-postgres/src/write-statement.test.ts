import type { EncodedError, Envelope, Fence, JournalEntry } from "@holdfast/core/adapter";
import { describe, expect, it } from "vitest";
import type { WriteOp } from "./write-op.ts";
import { commitStatement, writeStatement } from "./write-statement.ts";

const fence: Fence = { shardId: "default:1", epoch: 3 };
const reply: WriteOp = { type: "reply", reply: { requestId: "r1", exit: { ok: true, value: "1" } }, fence };
const entry: JournalEntry = {
  ordinal: 4,
  position: 2,
  kind: "activity",
  name: "charge",
  event: { type: "completed", value: "7" },
};
const error: EncodedError = {
  name: "E",
  message: "m",
  code: null,
  stack: null,
  data: null,
  cause: null,
  own: false,
};
const journal = (entries: readonly JournalEntry[]): WriteOp => ({
  type: "journal",
  execution: { entityType: "workflow:Order", executionId: "1" },
  key: "0f",
  entries,
  fence,
});

describe("the statement of a single write", () => {
  it.each<[string, WriteOp, string, readonly unknown[]]>([
    ["a reply", reply, "write_reply_v6", ["default:1", 3, 5, "r1", true, "1"]],
    [
      "an entry of a journal",
      journal([entry]),
      "write_step_v9",
      ["default:1", 3, "0f", 4, 2, "activity", "charge", "completed", "7", null],
    ],
    [
      "an entry that is filed under its execution",
      journal([{ ...entry, kind: "attributes" }]),
      "write_step_v9",
      ["default:1", 3, "0f", 4, 2, "attributes", "charge", "completed", "7", "workflow:Order/1"],
    ],
    [
      "a count of attempts",
      { type: "update", requestId: "r1", attempts: 2, deliverAt: undefined, fence },
      "write_attempts_v6",
      ["default:1", 3, "r1", 2, false, null],
    ],
  ])("is that of %s", (_what, op, functionName, values) => {
    const statement = writeStatement("holdfast", [op], { now: 5.5, gate: null });
    expect(statement.text).toContain(`"holdfast".${functionName}($1, `);
    expect(statement.text).toContain(`$${values.length})`);
    expect(statement.values).toEqual(values);
  });

  it("has no fence where a request is stored for others", () => {
    const envelope = {
      requestId: "q",
      address: { shardId: "default:9" },
      deliverAt: 2.5,
    } as unknown as Envelope;
    const { text, values } = writeStatement(
      "holdfast",
      [{ type: "request", envelope, attempts: 0, fence: null }],
      { now: 1, gate: null },
    );
    expect(text).toContain("write_request_v6");
    expect(values.slice(0, 4)).toEqual([null, null, "q", "default:9"]);
    expect(values.slice(-2)).toEqual([3, 0]);
  });

  it.each<[string, readonly WriteOp[]]>([
    ["more than one write", [reply, journal([entry])]],
    ["an append of nothing", [journal([])]],
    ["an append of two entries", [journal([entry, { ...entry, ordinal: 5 }])]],
  ])("is a group's for %s", (_what, group) => {
    expect(writeStatement("holdfast", group, { now: 1, gate: null }).text).toContain("write_group_v10");
  });

  it.each<[string, WriteOp]>([
    ["a chunk", { type: "chunk", chunk: { requestId: "r1", index: 0, value: "1" }, fence }],
    ["a dead letter", { type: "dead", requestId: "r1", letter: { error, attempts: 1, deadSince: 1 }, fence }],
  ])("is that of any group with %s in it", (_what, op) => {
    expect(writeStatement("holdfast", [reply, op], { now: 1, gate: null }).text).toContain(
      "write_group_any_v9",
    );
  });
});

describe("the statement that ends a handler's transaction", () => {
  it.each<[string, WriteOp, boolean, string]>([
    ["an entry's own where it is prepared", journal([entry]), true, 'INSERT INTO "holdfast".journal'],
    ["a function's for an entry elsewhere", journal([entry]), false, "commit_step_v9"],
    ["a function's for a reply", reply, true, "commit_reply_v3"],
    ["a group's for more than one entry", journal([entry, { ...entry, ordinal: 5 }]), true, "group_any_v9"],
  ])("is %s", (_what, op, isPrepared, text) => {
    expect(commitStatement("holdfast", op, { now: 1, isPrepared }).text).toContain(text);
  });
});
