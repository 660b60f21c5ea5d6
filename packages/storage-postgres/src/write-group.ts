// WriteGroup: a group of writes as the one call that writes them, and its answer as their results.
//
// A group goes to write_group_v10, for which everything passes, and which leaves it to write_group_any_v9 where that is not so.
// What writes more than the former knows goes to the latter at once.

import type { EncodedError, Fence, JournalEntry, JournalEvent, Reply } from "@holdfast/core/adapter";
import type { SqlStatement, SqlValue } from "./driver.ts";
import { ANSWERED, GROUP_COLUMNS, type GroupColumn } from "./group-columns.ts";
import { nameOf } from "./journal-key.ts";
import { plainArray, textArray } from "./sql-array.ts";
import type { WriteOp, WriteResult } from "./write-op.ts";

type Cell = string | number | boolean | null;

/** The sequences of the requests of a group that passed whole, in their order. */
interface Passed {
  readonly s: readonly number[];
}

/** What passed of any other. Parts that it had nothing of are null or missing. */
interface Sorted {
  readonly s?: never;
  readonly f: readonly (number | null)[] | null;
  /** The accepted requests, each under its id. */
  readonly q?: Readonly<Record<string, number>> | null;
  readonly c?: readonly string[] | null;
  readonly r?: readonly string[] | null;
}

type Kind = "fence" | WriteOp["type"];

/** The columns of each kind of row, in the order of the functions' parameters. All fences are given whole. */
const COLUMNS: Readonly<Record<Kind, readonly Omit<GroupColumn, "name">[]>> = {
  fence: [
    { type: "text", isNullable: false, isWhole: true },
    { type: "bigint", isNullable: false, isWhole: true },
  ],
  request: GROUP_COLUMNS.q,
  update: GROUP_COLUMNS.u,
  journal: GROUP_COLUMNS.j,
  chunk: GROUP_COLUMNS.c,
  reply: GROUP_COLUMNS.r,
  dead: GROUP_COLUMNS.d,
};
/** Those that are sent without quotes. */
const PLAIN_TYPES: ReadonlySet<string> = new Set(["int", "bigint", "boolean"]);

/** What write_group_any_v9 takes, in its order. */
const KINDS = Object.keys(COLUMNS) as readonly Kind[];
/** What write_group_v10 takes, which is nearly every group. */
const COMMON_KINDS: readonly Kind[] = ["fence", "request", "update", "journal", "reply"];

/** What else there is to say of a write. */
export interface WriteTerms {
  /** Wall time of answering, in ms. */
  readonly now: number;
  /** What stands for the fences of all. Null: the rows of their shards are locked. */
  readonly gate: string | null;
  /** The group's own, for who has them. */
  readonly places?: Places;
}

export function writeGroupStatement(
  schema: string,
  group: readonly WriteOp[],
  terms: WriteTerms,
): SqlStatement {
  const isCommon = group.every(({ type }) => COMMON_KINDS.includes(type));
  if (!isCommon) return anyGroupStatement(schema, group, false, terms);
  return call(schema, "write_group_v10", valuesOf(group, COMMON_KINDS, terms));
}

/** @param isStrict the transaction fails where one of the writes does not pass */
export function anyGroupStatement(
  schema: string,
  group: readonly WriteOp[],
  isStrict: boolean,
  terms: WriteTerms,
): SqlStatement {
  return call(schema, "write_group_any_v9", [isStrict, ...valuesOf(group, KINDS, terms)]);
}

/** A call of a function that answers with one text. */
export function call(schema: string, functionName: string, values: readonly SqlValue[]): SqlStatement {
  const places = values.map((_, index) => `$${index + 1}`).join(", ");
  return {
    name: `holdfast_${functionName}`,
    text: `SELECT "${schema}".${functionName}(${places}) AS answer`,
    values,
  };
}

/** Where each fence of a group is among those that its function is given, from 1. */
export type Places = ReadonlyMap<Fence, number>;

/** What all functions for groups take: the terms, and the columns of each kind as arrays. */
function valuesOf(
  group: readonly WriteOp[],
  kinds: readonly Kind[],
  { now, gate, places = placesOf(group) }: WriteTerms,
): SqlValue[] {
  const columns = columnsOf(group, places);
  const arrays = kinds.flatMap((kind) =>
    COLUMNS[kind].map((column, index) => {
      const values = shortened(columns.get(kind)?.[index] ?? [], column);
      return PLAIN_TYPES.has(column.type)
        ? plainArray(values as (number | boolean | null)[])
        : textArray(values as (string | null)[]);
    }),
  );
  return [gate, Math.floor(now), ...arrays];
}

/** A column that is the same in all rows is given once, or not at all if it is null (migration-10.ts). */
function shortened(
  values: readonly Cell[],
  { isNullable, isWhole }: Omit<GroupColumn, "name">,
): readonly Cell[] {
  const [first] = values;
  if (isWhole || first === undefined || (isNullable && first !== null)) return values;
  if (values.some((value) => value !== first)) return values;
  return first === null ? [] : [first];
}

/** The columns of the kinds that the group has. */
function columnsOf(group: readonly WriteOp[], places: Places): ReadonlyMap<Kind, readonly Cell[][]> {
  const columns = new Map<Kind, Cell[][]>();
  const of = (kind: Kind): Cell[][] => {
    const known = columns.get(kind) ?? COLUMNS[kind].map(() => []);
    columns.set(kind, known);
    return known;
  };
  const [shardIds, epochs] = of("fence") as [Cell[], Cell[]];
  // Equal fences have one place, and write the same there.
  for (const [{ shardId, epoch }, place] of places) {
    shardIds[place - 1] = shardId;
    epochs[place - 1] = epoch;
  }
  for (const op of group) {
    const place = op.fence === null ? 0 : (places.get(op.fence) ?? 0);
    addRows(of(op.type), place, op);
    if (op.type === "request" && op.reply !== undefined && op.fence !== null)
      addRow(of("reply"), place, replyRow(op.reply));
  }
  return columns;
}

/**
 * The place of each fence, from 1, also of that of an append of nothing: its caller learns that the shard moved. Equal ones
 * have one place. By shard, as write_group_v10 reads them.
 */
export function placesOf(group: readonly WriteOp[]): Places {
  const fences = new Set<Fence>();
  for (const { fence } of group) if (fence !== null) fences.add(fence);
  const places = new Map<Fence, number>();
  let last: Fence | null = null;
  let place = 0;
  for (const fence of [...fences].toSorted(compareFences)) {
    if (last === null || compareFences(last, fence) !== 0) place += 1;
    places.set(fence, place);
    last = fence;
  }
  return places;
}

function compareFences(a: Fence, b: Fence): number {
  if (a.shardId === b.shardId) return a.epoch - b.epoch;
  return a.shardId < b.shardId ? -1 : 1;
}

/** The result of each write, in the order of the group. */
export function writeGroupResults(
  group: readonly WriteOp[],
  answerText: string,
  places: Places = placesOf(group),
): WriteResult[] {
  const answer = JSON.parse(answerText) as Passed | Sorted;
  if (answer.s !== undefined) return resultsOfPassed(group, answer.s);
  const accepted = new Map(Object.entries(answer.q ?? {}));
  const streams = new Set(answer.c);
  const recorded = new Set(answer.r);
  return group.map((op): WriteResult => {
    if (op.fence !== null) {
      const current = answer.f?.[(places.get(op.fence) ?? 0) - 1] ?? null;
      if (current !== op.fence.epoch) return { type: "fenced", current };
    }
    if (op.type === "request") {
      const sequence = accepted.get(op.envelope.requestId);
      return sequence === undefined ? { type: "refused" } : acceptedAs(op, sequence);
    }
    if (op.type === "chunk" && !streams.has(op.chunk.requestId)) return { type: "refused" };
    if (op.type === "reply" && !recorded.has(op.reply.requestId)) return { type: "refused" };
    return DONE;
  });
}

const DONE: WriteResult = { type: "done" };

function resultsOfPassed(group: readonly WriteOp[], sequences: readonly number[]): WriteResult[] {
  let at = 0;
  return group.map((op): WriteResult => {
    if (op.type !== "request") return DONE;
    const sequence = sequences[at];
    at += 1;
    return sequence === undefined ? { type: "refused" } : acceptedAs(op, sequence);
  });
}

function acceptedAs({ reply }: RequestOp, sequence: number): WriteResult {
  return { type: "accepted", sequence, isAnswered: reply !== undefined };
}

/** An event as its two columns: a completed step's value as it is, what else it may be as JSON. */
export function eventColumns(event: JournalEvent): [event: string, data: string] {
  if (event.type === "completed") return [event.type, event.value];
  const { type, ...rest } = event;
  return [type, JSON.stringify(rest)];
}

export function eventOf(event: string, data: string): JournalEvent {
  if (event === "completed") return { type: "completed", value: data };
  return { type: event, ...(JSON.parse(data) as object) } as JournalEvent;
}

/** An error as JSON that begins with its code, so that one with a certain code is found without being read whole. */
export function errorText(error: EncodedError): string {
  const { code, ...rest } = error;
  return JSON.stringify({ code, ...rest });
}

/** How the text of an error with this code begins. */
export function errorBeginning(code: string): string {
  return `{"code":${JSON.stringify(code)},`;
}

/** The row of a write that has one, without the place of its fence; null: it has more, or none. */
export function onlyRowOf(op: WriteOp): Cell[] | null {
  if (op.type !== "journal") return rowOf(op);
  const [entry] = op.entries;
  return entry === undefined || op.entries.length > 1 ? null : entryRow(op, entry);
}

type JournalOp = Extract<WriteOp, { type: "journal" }>;
type RequestOp = Extract<WriteOp, { type: "request" }>;

function entryRow({ key, execution }: JournalOp, entry: JournalEntry): Cell[] {
  const { ordinal, position, kind, name } = entry;
  const [type, data] = eventColumns(entry.event);
  return [key, ordinal, position, kind, name, type, data, isFiled(kind, type) ? nameOf(execution) : null];
}

/** The row of a write without the place of its fence. */
export function rowOf(op: Exclude<WriteOp, JournalOp>): Cell[] {
  switch (op.type) {
    case "request": {
      const { envelope } = op;
      const { address } = envelope;
      return [
        envelope.requestId,
        address.shardId,
        address.entityType,
        address.entityId,
        envelope.tag,
        envelope.deduplicationKey,
        envelope.payload,
        JSON.stringify(envelope.headers),
        envelope.expects,
        envelope.uninterruptible,
        envelope.fromInside,
        envelope.readPendingFirst,
        envelope.sender,
        wholeMs(envelope.deliverAt),
        op.reply === undefined ? op.attempts : ANSWERED,
      ];
    }
    case "update":
      return [op.requestId, op.attempts, op.deliverAt !== undefined, wholeMs(op.deliverAt ?? null)];
    case "chunk":
      return [op.chunk.requestId, op.chunk.index, op.chunk.value];
    case "reply":
      return replyRow(op.reply);
    case "dead":
      return [op.requestId, op.letter.attempts, errorText(op.letter.error), Math.floor(op.letter.deadSince)];
  }
}

export function replyRow({ requestId, exit }: Reply): Cell[] {
  return [requestId, exit.ok, exit.ok ? exit.value : errorText(exit.error)];
}

/** Whether a trigger files an entry under its execution: that is what listings filter by. */
function isFiled(kind: string, event: string): boolean {
  return kind === "attributes" && event === "completed";
}

/** Never early: a part of a millisecond counts as a whole one. */
function wholeMs(time: number | null): number | null {
  return time === null ? null : Math.ceil(time);
}

function addRows(columns: readonly Cell[][], place: number, op: WriteOp): void {
  if (op.type === "journal") for (const entry of op.entries) addRow(columns, place, entryRow(op, entry));
  else addRow(columns, place, rowOf(op));
}

function addRow(columns: readonly Cell[][], place: number, row: readonly Cell[]): void {
  (columns[0] as Cell[]).push(place);
  for (let index = 1; index < columns.length; index += 1)
    (columns[index] as Cell[]).push(row[index - 1] ?? null);
}
