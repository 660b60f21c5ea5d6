// GroupCommitter: joins the writes of a process into groups, each of which is one commit.
//
// Decides which waiting writes go together and on which lane. Knows no SQL (write-group.ts) and keeps nothing: a write
// waits here only while the lanes are busy, or for the rest of the turn in which it came.
//
//   G1  Writes of one line (`lineOf`) are on one lane at a time, in the order of calls.
//   G2  A free lane takes what waits at the end of the turn; no timer waits for company. What the turn had begun goes on
//       first: so the end of an execution joins its last step. Of much a lane takes its share, by whole lines, so that
//       the next one finds lines that are free, and at once: what one answer led to is on its way before the next answer
//       is read, and the lanes do not wait for each other (500 executions in flight: 4 % more).
//   G3  A group that fails on account of one of its writes is divided until that one fails alone.
//   G4  After an append to a journal failed, none passes that was called before the failure was told.
//   G5  Every write is settled once, with its result or with why it has none.

import { afterTurn } from "./after-turn.ts";
import { mayBeOneRow, SqlFailure } from "./errors.ts";
import {
  lineOf,
  rowsOf,
  sizeOf,
  streamOf,
  taken,
  uniqueKeyOf,
  type WriteOp,
  type WriteResult,
} from "./write-op.ts";

/** From here on a larger group gains little, so that waiting writes are shared between the lanes. */
const SHARED_FROM_ROWS = 100;
/** What a group may carry, in characters; one write alone may carry more. */
const MAX_GROUP_SIZE = 4 * 1024 * 1024;

export interface GroupCommitterOptions {
  readonly lanes: number;
  readonly maxRows: number;
  /** Writes a group in one transaction and returns a result for each write. @throws {SqlFailure} for all of them */
  readonly write: (group: readonly WriteOp[]) => Promise<readonly WriteResult[]>;
}

/** A write and who waits for it. No promise, since who calls makes one: one is enough for each of many. */
export interface PendingWrite {
  /** As it was asked for, and then as its group took it. */
  op: WriteOp;
  /** It is durable, or was refused. */
  resolve(result: WriteResult): void;
  /** It failed; `outcome` says whether it may be there. */
  reject(error: SqlFailure): void;
}

export class GroupCommitter {
  readonly #options: GroupCommitterOptions;
  #queue: PendingWrite[] = [];
  #queuedRows = 0;
  #freeLanes: number;
  /** The lines of each group under way. */
  #busyLines: readonly ReadonlySet<string>[] = [];
  #rowsUnderWay = 0;
  #isPumpDue = false;
  #idle: (() => void)[] = [];

  constructor(options: GroupCommitterOptions) {
    this.#options = options;
    this.#freeLanes = options.lanes;
  }

  /** Writes with the next group. */
  write(write: PendingWrite): void {
    this.#queue.push(write);
    this.#queuedRows += rowsOf(write.op);
    this.#pumpSoon();
  }

  /** Resolves when nothing waits and nothing is under way. */
  drained(): Promise<void> {
    if (this.#isIdle()) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  #isIdle(): boolean {
    return this.#queue.length === 0 && this.#freeLanes === this.#options.lanes;
  }

  /**
   * At the end of this turn, behind what was put there before its last promise was dealt with; much goes as soon as all
   * promises are (G2).
   */
  #pumpSoon(): void {
    if (this.#isPumpDue || this.#freeLanes === 0) return;
    this.#isPumpDue = true;
    process.nextTick(() => {
      if (this.#queuedRows >= SHARED_FROM_ROWS) this.#pump();
      else afterTurn(() => this.#pump());
    });
  }

  #pump(): void {
    this.#isPumpDue = false;
    while (this.#freeLanes > 0 && this.#queue.length > 0) {
      const group = this.#take();
      if (group.length === 0) return;
      void this.#flush(group);
    }
  }

  #take(): PendingWrite[] {
    const { lanes, maxRows } = this.#options;
    const share = Math.ceil((this.#queuedRows + this.#rowsUnderWay) / lanes);
    const limit = Math.min(maxRows, Math.max(SHARED_FROM_ROWS, share));
    const group: PendingWrite[] = [];
    const left: PendingWrite[] = [];
    const linesTaken = this.#shareOf(limit);
    const blocked = new Set<string>();
    const keys = new Set<string>();
    let rows = 0;
    let size = 0;
    let at = 0;
    for (; at < this.#queue.length && rows < maxRows && size < MAX_GROUP_SIZE; at += 1) {
      const waiting = this.#queue[at] as PendingWrite;
      const { op } = waiting;
      const line = lineOf(op);
      const key = uniqueKeyOf(op);
      if (blocked.has(line) || !linesTaken.has(line) || (key !== null && keys.has(key))) {
        blocked.add(line);
        left.push(waiting);
        continue;
      }
      if (group.length > 0 && (rows + rowsOf(op) > maxRows || size + sizeOf(op) > MAX_GROUP_SIZE)) break;
      // From here on it goes: a reply that is taken is not to wait.
      waiting.op = taken(op);
      if (key !== null) keys.add(key);
      group.push(waiting);
      rows += rowsOf(op);
      size += sizeOf(waiting.op);
    }
    this.#queue = left.length === 0 ? this.#queue.slice(at) : left.concat(this.#queue.slice(at));
    this.#queuedRows -= rows;
    this.#rowsUnderWay += rows;
    return group;
  }

  /** The free lines that have waited longest, with so many rows together or a few more. */
  #shareOf(limit: number): ReadonlySet<string> {
    const rowsOfLines = new Map<string, number>();
    for (const { op } of this.#queue) {
      const line = lineOf(op);
      if (!this.#isBusy(line)) rowsOfLines.set(line, (rowsOfLines.get(line) ?? 0) + rowsOf(op));
    }
    const lines = new Set<string>();
    let rows = 0;
    for (const [line, count] of rowsOfLines) {
      if (rows >= limit) break;
      lines.add(line);
      rows += count;
    }
    return lines;
  }

  #isBusy(line: string): boolean {
    return this.#busyLines.some((lines) => lines.has(line));
  }

  async #flush(group: readonly PendingWrite[]): Promise<void> {
    this.#freeLanes -= 1;
    const lines = new Set(group.map(({ op }) => lineOf(op)));
    this.#busyLines = [...this.#busyLines, lines];
    const broken = new Map<string, SqlFailure>();
    await this.#write(group, broken);
    if (broken.size > 0) this.#failFollowers(broken);
    this.#busyLines = this.#busyLines.filter((busy) => busy !== lines);
    for (const { op } of group) this.#rowsUnderWay -= rowsOf(op);
    this.#freeLanes += 1;
    if (this.#queue.length > 0) this.#pumpSoon();
    else if (this.#isIdle()) for (const resolve of this.#idle.splice(0)) resolve();
  }

  /** Writes a group, or its halves one after the other if it failed as a whole. Never rejects. */
  async #write(group: readonly PendingWrite[], broken: Map<string, SqlFailure>): Promise<void> {
    const passing = broken.size === 0 ? group : group.filter((waiting) => !failFollower(waiting, broken));
    if (passing.length === 0) return;
    try {
      const results = await this.#options.write(passing.map(({ op }) => op));
      for (let index = 0; index < passing.length; index += 1)
        (passing[index] as PendingWrite).resolve(results[index] as WriteResult);
    } catch (error) {
      if (passing.length > 1 && mayBeOneRow(error)) {
        const middle = passing.length >> 1;
        await this.#write(passing.slice(0, middle), broken);
        await this.#write(passing.slice(middle), broken);
        return;
      }
      const failure =
        error instanceof SqlFailure
          ? error
          : new SqlFailure({ outcome: "unknown", sqlState: null, message: String(error) }, { cause: error });
      for (const waiting of passing) {
        const stream = streamOf(waiting.op);
        if (stream !== null) broken.set(stream, failure);
        waiting.reject(failure);
      }
    }
  }

  /** Fails what waits for a journal with a gap (G4). */
  #failFollowers(broken: ReadonlyMap<string, SqlFailure>): void {
    this.#queue = this.#queue.filter((waiting) => {
      if (!failFollower(waiting, broken)) return true;
      this.#queuedRows -= rowsOf(waiting.op);
      return false;
    });
  }
}

function failFollower(waiting: PendingWrite, broken: ReadonlyMap<string, SqlFailure>): boolean {
  const stream = streamOf(waiting.op);
  const cause = stream === null ? undefined : broken.get(stream);
  if (cause === undefined) return false;
  const message = `an append to the same journal, called before this one, failed: ${cause.message}`;
  waiting.reject(new SqlFailure({ outcome: "not-written", sqlState: null, message }, { cause }));
  return true;
}
