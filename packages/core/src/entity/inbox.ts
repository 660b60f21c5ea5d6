// Inbox: finds pending requests that this runner was not told of: accepted elsewhere, left by a former owner, due now.
//
// Reads when a shard is claimed, when somebody says that there is work, when the next one falls due, and every poll
// interval as the safety net. Runs nothing and keeps no request: it hands them to `admit`.
//
//   I1  Each read asks for everything due that is not in memory here, never for "later than the last seen": rows become
//       visible out of order.
//   I2  What ended or was put off while a read was under way is not taken from that read's answer, which is older.
//       Nor is what concerns a shard that left and came back meanwhile: the read left out what was in memory before.
//   I3  A shard counts as read once a read that began after its claim came back without more to come.

import type { Clock, Timer } from "../adapter/clock.ts";
import type { MessageStorage, PendingPage } from "../adapter/message-storage.ts";
import { Outage } from "../clock/outage.ts";
import type { Logger } from "../contract/logger.ts";
import type { EntityAddress } from "../data/entity-address.ts";
import type { PendingRequest } from "../data/envelope.ts";
import type { ShardId } from "../data/shard-id.ts";
import type { Counters } from "./counters.ts";

/** The first page, and each while an entity has no room: what finds none is read again. */
const PAGE = 256;
/** Storage may look through all that is pending for each page, so few large ones cost a deep backlog less. */
const LARGEST_PAGE = 1_024;
/** Of so many shards new work comes first at a time. Where it is of all of them, their backlogs are read one after the other. */
const FIRST_AT_ONCE = 8;

/** One reading of everything due on the shards served when it began. */
export interface Sweep {
  /** Empty: nothing is read. */
  readonly shardIds: readonly ShardId[];
  /** Whether the shard has been served without a break since the sweep began (I2). */
  covers(shardId: ShardId): boolean;
  /** Everything due on them was read and offered to `admit`. */
  caughtUp(): void;
}

/** What a read leaves out. */
export interface Held {
  readonly sequences: readonly number[];
  readonly full: readonly EntityAddress[];
}

export interface InboxOptions {
  readonly messages: MessageStorage;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly counters: Counters;
  readonly pollIntervalMs: number;
  readonly begin: () => Sweep;
  /** What is held here of these shards already. */
  readonly held: () => Held;
  /**
   * Null: that is done.
   *
   * @param withoutRoom that of the page, by their keys: what had no room for one of it takes none of the rest (INV-4)
   */
  readonly admit: (pending: PendingRequest, withoutRoom: Set<string>) => Promise<void> | null;
  /** Carries out a call of storage, and notes how it went. */
  readonly observed: <Result>(call: () => Promise<Result>) => Promise<Result>;
}

export class Inbox {
  readonly #options: InboxOptions;
  readonly #outage: Outage;
  /** What ended or was put off since the read under way began (I2). */
  #settled = new Set<string>();
  #limit = PAGE;
  #reading: Promise<void> | null = null;
  #readAgain = false;
  /** Shards with new work, which waits behind their backlogs, and not behind those of all others. */
  readonly #hurried = new Set<ShardId>();
  #poll: Timer | undefined;
  #due: Timer | undefined;
  #dueAt: number | null = null;
  #isClosed = false;

  constructor(options: InboxOptions) {
    this.#options = options;
    const { clock, logger } = options;
    this.#outage = new Outage({ clock, logger, ended: "Pending requests are read again" });
  }

  start(): void {
    this.#schedulePoll();
  }

  stop(): void {
    this.#isClosed = true;
    this.#poll?.cancel();
    this.#due?.cancel();
  }

  /**
   * There may be work. Resolves when a read that began after this call is done. Never rejects.
   *
   * @param shardId that of a request that was stored just now: its shard comes first while there is a backlog
   */
  async wake(shardId?: ShardId): Promise<void> {
    this.#readAgain = true;
    if (shardId !== undefined) this.#hurried.add(shardId);
    const under = this.#reading;
    // That read may have begun before the work was there; the one that follows it has not.
    if (under !== null) await under;
    this.#reading ??= this.#readAll().finally(() => (this.#reading = null));
    await this.#reading;
  }

  /** A request left this runner's memory: it ended, or was put off. */
  settled(requestId: string): void {
    if (this.#reading !== null) this.#settled.add(requestId);
  }

  /** Something falls due at this wall time. */
  noteDue(at: number): void {
    if (this.#isClosed || (this.#dueAt !== null && this.#dueAt <= at)) return;
    this.#due?.cancel();
    this.#dueAt = at;
    this.#due = this.#options.clock.setTimer(Math.max(0, at - this.#options.clock.now()), () => {
      this.#dueAt = null;
      void this.wake();
    });
  }

  #schedulePoll(): void {
    if (this.#isClosed) return;
    this.#poll = this.#options.clock.setTimer(this.#options.pollIntervalMs, () => {
      void this.wake();
      this.#schedulePoll();
    });
  }

  async #readAll(): Promise<void> {
    while (this.#readAgain && !this.#isClosed) {
      this.#readAgain = false;
      const sweep = this.#options.begin();
      if (sweep.shardIds.length === 0) continue;
      try {
        if (await this.#readThrough(sweep)) sweep.caughtUp();
        else this.#readAgain = true;
        this.#outage.succeeded();
      } catch (error) {
        // It may have been too much to read in time.
        this.#limit = Math.max(1, this.#limit >> 1);
        // Each request that is stored has them read: a line for each would be a flood.
        this.#outage.failed("Pending requests could not be read; the next poll tries again", {
          error: String(error),
        });
      }
    }
  }

  /** Reads all of it. False: not all. It was stopped, or shards with new work came or left, as a new one knows. */
  async #readThrough(sweep: Sweep): Promise<boolean> {
    // Those that left.
    for (const shardId of this.#hurried) if (!sweep.covers(shardId)) this.#hurried.delete(shardId);
    while (!this.#isClosed) {
      const before = [...this.#hurried];
      if (!(await this.#readPage(sweep, sweep.shardIds))) {
        // Work that came while that page was read is not in it, and may wait behind what came with other shards since.
        for (const shardId of before) this.#hurried.delete(shardId);
        return true;
      }
      if (![...this.#hurried].every((shardId) => sweep.covers(shardId))) return false;
      await this.#readHurried(sweep);
    }
    return false;
  }

  /** A page of shards with new work, in their turn. Each is read in order all the same: no entity asks for more (INV-4). */
  async #readHurried(sweep: Sweep): Promise<void> {
    const first = [...this.#hurried].slice(0, FIRST_AT_ONCE);
    if (first.length === 0) return;
    // Before: work may come while the page is read, which that passes over.
    for (const shardId of first) this.#hurried.delete(shardId);
    if (await this.#readPage(sweep, first)) for (const shardId of first) this.#hurried.add(shardId);
  }

  async #readPage(sweep: Sweep, of: readonly ShardId[]): Promise<boolean> {
    const { messages, clock, counters } = this.#options;
    // What is left of a shard that was given up is never taken: it would be read again and again, and nothing else.
    const shardIds = of.filter((shardId) => sweep.covers(shardId));
    if (shardIds.length === 0) return false;
    const held = this.#options.held();
    if (held.full.length > 0) this.#limit = Math.min(this.#limit, PAGE);
    this.#settled.clear();
    counters.polls += 1;
    const page: PendingPage = await this.#options.observed(() =>
      messages.readPending({
        shardIds,
        now: clock.now(),
        limit: this.#limit,
        excludingSequences: held.sequences,
        excludingEntities: held.full,
      }),
    );
    const withoutRoom = new Set<string>();
    for (const pending of page.requests) {
      const { requestId, address } = pending.envelope;
      if (this.#settled.has(requestId) || !sweep.covers(address.shardId)) continue;
      const admitted = this.#options.admit(pending, withoutRoom);
      if (admitted !== null) await admitted;
    }
    // A page of large requests is shorter than was asked for, and so is the next one.
    if (page.more) this.#limit = Math.min(LARGEST_PAGE, Math.max(1, page.requests.length * 2));
    if (page.nextDueAt !== null) this.noteDue(page.nextDueAt);
    return page.more;
  }
}
