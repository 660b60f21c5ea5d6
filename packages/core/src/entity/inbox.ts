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
//   I4  While there is no room for more payloads, pages come slowly, and the more slowly the less room there is. But they come: a
//       request that takes the room may wait for what is still in storage.
//   I5  Shards with new work, or whose work somebody waits for, are read aside while there is more of all: a page of those after
//       each of all, which has what fell due and what came meanwhile. Each in order all the same: no entity asks for more (INV-4).

import type { Clock, Timer } from "../adapter/clock.ts";
import type { MessageStorage, PendingPage } from "../adapter/message-storage.ts";
import { Outage } from "../clock/outage.ts";
import type { Logger } from "../contract/logger.ts";
import type { EntityAddress } from "../data/entity-address.ts";
import type { Envelope, PendingRequest } from "../data/envelope.ts";
import type { ShardId } from "../data/shard-id.ts";
import type { Counters } from "./counters.ts";

/** The first page, and each while an entity has no room: what finds none is read again. */
const PAGE = 256;
/** Storage may look through all that is pending for each page, so few large ones cost a deep backlog less. */
const LARGEST_PAGE = 1_024;
/** So many shards are read aside at a time. Where it is all of them, their backlogs are read one after the other. */
const ASIDE_AT_ONCE = 8;
/** How long the next page waits for room, which it is read without then. Doubled for each time that what is too much takes all of it. */
const PACE_MS = 500;
const SLOWEST_PACE_MS = 30_000;
/** What share of the room has to leave memory, at the least, for what was left out to be read before its time. */
const LEAST_MADE = 1 / 16;

/** The reading of one page of what is due on some shards that were served when it began. */
export interface PageRead {
  /** They grow. */
  readonly number: number;
  /** Empty: nothing is read. */
  readonly shardIds: readonly ShardId[];
  /** Whether the shard has been served without a break since this began, and no other read of it began meanwhile (I2). */
  covers(shardId: ShardId): boolean;
  /** It had everything due on them, which was offered to `admit`. */
  caughtUp(): void;
}

/** What a read leaves out. */
export interface Held {
  readonly sequences: readonly number[];
  readonly full: readonly EntityAddress[];
  /** How many characters the payloads in memory have. */
  readonly payload: number;
  /** How many there is room for. */
  readonly room: number;
}

/** Somebody waits until a shard was read by a later one than this. */
interface Awaited {
  readonly shardId: ShardId;
  readonly after: number;
  readonly resolve: () => void;
}

export interface InboxOptions {
  readonly messages: MessageStorage;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly counters: Counters;
  readonly pollIntervalMs: number;
  /** All that is due is about to be read, in as many pages as it takes. */
  readonly beginAll: () => void;
  /** @param shardIds of those alone that are served of these. Not given: of all */
  readonly begin: (shardIds?: readonly ShardId[]) => PageRead;
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
  /** How many characters are still to leave memory for there to be room, of those that were too much when the last read began. */
  #excess = 0;
  /** Ends the wait for room. */
  #roomMade: (() => void) | null = null;
  #limit = PAGE;
  #reading: Promise<void> | null = null;
  #readAgain = false;
  /** Shards that are to be read aside. */
  readonly #hurried = new Set<ShardId>();
  /** Those of which a page was read, and more is to come, in their turns. */
  #aside: (readonly ShardId[])[] = [];
  /** The number of the read that began last. */
  #latest = 0;
  readonly #awaited = new Set<Awaited>();
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
    this.#roomMade?.();
  }

  /**
   * There may be work. Resolves when a read that began after this call is done. Never rejects.
   *
   * @param shardId that of a request that was stored just now: its shard is read aside
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

  /** Resolves when a read of this shard that began after this call is done, or cannot be. Never rejects. */
  async read(shardId: ShardId): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const awaited = { shardId, after: this.#latest, resolve };
    this.#awaited.add(awaited);
    await Promise.race([promise, this.wake(shardId)]);
    this.#awaited.delete(awaited);
  }

  /** A request left this runner's memory: it ended, or was put off. */
  settled({ requestId, payload }: Envelope): void {
    if (this.#reading !== null) this.#settled.add(requestId);
    if (this.#excess <= 0) return;
    this.#excess -= payload.length;
    if (this.#excess > 0) return;
    this.#roomMade?.();
    // What was left out because it had something to do.
    void this.wake();
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
      this.#options.beginAll();
      const first = this.#begin();
      // Those that left.
      for (const shardId of this.#hurried) if (!first.covers(shardId)) this.#hurried.delete(shardId);
      if (first.shardIds.length === 0) continue;
      try {
        await this.#readThrough(first);
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

  #begin(shardIds?: readonly ShardId[]): PageRead {
    const read = this.#options.begin(shardIds);
    this.#latest = read.number;
    // Those that left are read no more.
    if (shardIds === undefined)
      for (const { shardId, resolve } of this.#awaited) if (!read.covers(shardId)) resolve();
    return read;
  }

  /** Reads all that is due. */
  async #readThrough(first: PageRead): Promise<void> {
    for (let read = first; !this.#isClosed; read = this.#begin()) {
      const before = [...this.#hurried];
      if (!(await this.#readPage(read))) {
        // Work that came while the last page was read is not in it, and may wait behind what came with other shards since.
        for (const shardId of before) if (read.covers(shardId)) this.#hurried.delete(shardId);
        this.#aside = [];
        return;
      }
      await this.#readAside();
    }
  }

  /** Resolves once so much has left memory as was too much, or after so long, when the next page comes all the same (I4). */
  async #room(paceMs: number): Promise<void> {
    if (this.#excess <= 0 || this.#isClosed) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = this.#options.clock.setTimer(paceMs, resolve);
    this.#roomMade = resolve;
    await promise;
    this.#roomMade = null;
    timer.cancel();
  }

  /** A page of shards that are hurried, in their turn. */
  async #readAside(): Promise<void> {
    const inTurn = new Set(this.#aside.flat());
    const fresh = [...this.#hurried].filter((shardId) => !inTurn.has(shardId)).slice(0, ASIDE_AT_ONCE);
    // Before the page: work may come while that is read, which passes it over.
    for (const shardId of fresh) this.#hurried.delete(shardId);
    if (fresh.length > 0) this.#aside.push(fresh);
    const [shardIds] = this.#aside;
    if (shardIds === undefined || this.#isClosed) return;
    const read = this.#begin(shardIds);
    const more = await this.#readPage(read);
    // If it fails, they are in turn again.
    this.#aside.shift();
    if (more) this.#aside.push(read.shardIds);
  }

  /** Whether there is more, and room for it by now, or time. */
  async #readPage(read: PageRead): Promise<boolean> {
    const { messages, clock, counters } = this.#options;
    const { shardIds } = read;
    if (shardIds.length === 0) return this.#caughtUp(read);
    const held = this.#options.held();
    const excess = held.payload - held.room;
    // What calls bring and take with them since counts as leaving, too: not each of them is to have all read again.
    this.#excess = excess > 0 ? Math.max(excess, held.room * LEAST_MADE) : 0;
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
      if (this.#settled.has(requestId) || !read.covers(address.shardId)) continue;
      const admitted = this.#options.admit(pending, withoutRoom);
      if (admitted !== null) await admitted;
    }
    // A page of large requests is shorter than was asked for, and so is the next one.
    if (page.more) this.#limit = Math.min(LARGEST_PAGE, Math.max(1, page.requests.length * 2));
    if (page.nextDueAt !== null) this.noteDue(page.nextDueAt);
    if (!page.more) return this.#caughtUp(read);
    await this.#room(Math.min(SLOWEST_PACE_MS, PACE_MS * 2 ** (excess / held.room)));
    return true;
  }

  #caughtUp(read: PageRead): false {
    read.caughtUp();
    for (const { shardId, after, resolve } of this.#awaited)
      if (read.number > after && read.covers(shardId)) resolve();
    return false;
  }
}
