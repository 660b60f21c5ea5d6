import type { SaveRequestResult } from "../adapter/message-storage.ts";
import { Abort } from "../contract/abort.ts";
import { BriefMap } from "../data/brief-map.ts";
import { entityKey, type EntityAddress } from "../data/entity-address.ts";
import type { Envelope } from "../data/envelope.ts";
import type { Fence } from "../data/epoch.ts";
import type { Activation } from "./activation.ts";
import type { HostedRequest } from "./hosted-request.ts";
import { firstIdSince } from "./newest-requests.ts";
import type { SkippedRequests } from "./skipped-requests.ts";

const NONE: readonly EntityAddress[] = [];
const NO_KEYS: ReadonlySet<string> = new Set();

/** What a runner keeps of one shard while it owns it. */
export class HostedShard {
  readonly fence: Fence;
  /** The least id of what was sent when this runner had it already. */
  readonly firstId: string;
  /** False from the moment at which it is given up: nothing is admitted any more but what its own handlers call. */
  isServing = true;
  /** Aborted when the shard is given up. */
  readonly leaving: Abort = new Abort();
  readonly activations: BriefMap<Activation> = new BriefMap();
  /** Entities whose stored requests are left out: no code here handles them. */
  readonly #unserved = new Map<string, EntityAddress>();
  readonly #skipped: SkippedRequests;
  /** Entities of which the read under way is to take nothing more. */
  readonly #heldBack = new Map<string, EntityAddress>();
  /** Requests whose counted attempt is for when they are read. */
  readonly #unused = new Set<string>();
  /** Whether it is given up, and takes what handlers that run on it still call. */
  #isWindingDown = false;
  /** Of a shard that is given up, of which nothing more is read: entities of which storage may hold what its next owner handles. */
  readonly #putBack = new Set<string>();
  /** Of a shard that is given up: whether it may be any of them. */
  #wasUnread = false;
  #whenQuiet: (() => void) | null = null;
  #unreadSince = 1;
  #readUpTo = 0;
  /** Writes under way of requests that are only stored, not put in a mailbox. */
  #storing = 0;
  /** Writes under way that replies followed from which are recorded already. */
  #owed = 0;
  /** Entities that the read under way leaves out for want of room. */
  #leavesOut = new Set<string>();
  /** Those of which storage may hold requests since each read left them out that came to its end. */
  #leftOut = NO_KEYS;
  /** The number of the last read that began, and how much it has read once it comes to its end. */
  #read = 0;
  #mark = 0;

  /**
   * @param since wall time at which it came
   * @param skipped those of all shards of this runner
   */
  constructor(fence: Fence, since: number, skipped: SkippedRequests) {
    this.fence = fence;
    this.#skipped = skipped;
    this.firstId = firstIdSince(since);
  }

  /** Whether storage may hold due requests that are not in memory: then new ones queue behind them there. */
  get isUnread(): boolean {
    return this.#isBehind || this.#leftOut.size > 0;
  }

  /** Whether it may hold such requests of any entity. */
  get #isBehind(): boolean {
    return this.#storing > 0 || this.#readUpTo < this.#unreadSince;
  }

  /** Whether it may hold such requests of this entity. */
  isUnreadFor(address: EntityAddress): boolean {
    const isBehind = this.isServing
      ? this.#isBehind
      : this.#wasUnread || this.#putBack.has(entityKey(address));
    const isLeftOut = this.#leftOut.size > 0 && this.#leftOut.has(entityKey(address));
    return isBehind || isLeftOut || this.#skipped.isLeftOut(address);
  }

  markUnread(): void {
    this.#unreadSince += 1;
  }

  /** Storage may hold a request of this entity that is not in memory. */
  markUnreadFor(address: EntityAddress): void {
    this.markUnread();
    if (!this.isServing) this.#putBack.add(entityKey(address));
  }

  /** Stores a request that a read is to find: one that began before this is over may have missed it. */
  async store(write: () => Promise<SaveRequestResult>): Promise<SaveRequestResult> {
    this.#storing += 1;
    try {
      const saved = await write();
      // What was there is where it was.
      if (saved.outcome !== "duplicate") this.markUnread();
      return saved;
    } catch (error) {
      this.markUnread();
      throw error;
    } finally {
      this.#storing -= 1;
    }
  }

  /** The read with this number, of a page, begins. Numbers grow, and the one before is over. */
  beginRead(read: number): void {
    this.#read = read;
    this.#mark = this.#unreadSince;
    if (this.#leavesOut.size > 0) this.#leavesOut = new Set();
    if (this.#heldBack.size > 0) this.#heldBack.clear();
  }

  /** Whether it has been served without a break since that read began. */
  isReadBy(read: number): boolean {
    return this.#read === read;
  }

  /** The read with this number had all that there is. */
  endRead(read: number): void {
    if (this.#read !== read) return;
    // Of what was all here before, storage holds nothing that this read left out.
    if (this.#readUpTo < this.#mark) this.#leftOut = new Set(this.#leavesOut);
    else if (this.#leftOut.size > 0)
      this.#leftOut = new Set([...this.#leftOut].filter((key) => this.#leavesOut.has(key)));
    this.#readUpTo = this.#mark;
  }

  /** What the read under way still brings of this entity would come out of order: the next one takes it. */
  holdBack(address: EntityAddress): void {
    this.#heldBack.set(entityKey(address), address);
    this.markUnreadFor(address);
  }

  isHeldBack(address: EntityAddress): boolean {
    return this.#heldBack.size > 0 && this.#heldBack.has(entityKey(address));
  }

  /** Storage has counted an attempt of this request, or is about to, that did not begin: it is for when the request is read. */
  keepAttempt(requestId: string): void {
    this.#unused.add(requestId);
  }

  /** Whether an attempt was kept for it, which it has used up by this call. */
  takeAttempt(requestId: string): boolean {
    return this.#unused.delete(requestId);
  }

  skip(address: EntityAddress): void {
    this.#unserved.set(entityKey(address), address);
  }

  /** Leaves out one request of an entity, whose others are read. */
  skipRequest(sequence: number, address: EntityAddress): void {
    this.#skipped.add(sequence, address);
  }

  /** Entity types were registered: what was left out may be served now. */
  forgetUnserved(): void {
    if (this.#unserved.size === 0 && this.#skipped.isEmpty) return;
    this.#unserved.clear();
    this.markUnread();
  }

  /** It leaves memory. Returns whether it was there: another one may have its place by now. */
  remove(activation: Activation): boolean {
    return this.activations.get(activation.key) === activation && this.activations.delete(activation.key);
  }

  /**
   * Entities whose stored requests cannot be taken now: no room, no code, or held back. A read leaves unread what was so of the
   * former.
   *
   * @param mayNotWait there is no room for what would not begin at once
   */
  unready(mayNotWait: boolean): readonly EntityAddress[] {
    // Nearly all shards of an idle runner, twice a second.
    if (this.activations.size + this.#unserved.size + this.#heldBack.size === 0) return NONE;
    const full: EntityAddress[] = [];
    for (const { address, behavior, isFull, isFree } of this.activations.current) {
      // What has a queue of its own is for what is at work: an execution is not to wait for its signals until it ends.
      if (!isFull && (isFree || !mayNotWait || behavior.queued !== undefined)) continue;
      full.push(address);
      this.#leavesOut.add(entityKey(address));
    }
    return [...full, ...this.#unserved.values(), ...this.#heldBack.values()];
  }

  /** It is given up, and these were put back: nothing is admitted any more but what its own handlers call. */
  windDown(putBack: readonly HostedRequest[]): void {
    this.#wasUnread = this.#isBehind;
    this.isServing = false;
    this.#isWindingDown = true;
    for (const { envelope } of putBack)
      if (envelope.persisted) this.#putBack.add(entityKey(envelope.address));
  }

  /** Nothing is admitted any more. */
  stop(): void {
    this.isServing = false;
    this.#isWindingDown = false;
  }

  /** Whether, though it is given up, it takes this call of a handler that runs on it: not what would overtake others (INV-4). */
  takesNested({ address, persisted, readPendingFirst }: Envelope): boolean {
    return this.#isWindingDown && !(persisted && (readPendingFirst || this.isUnreadFor(address)));
  }

  /** Calls back once nothing runs on this shard, or is about to, and nothing that ended has something left to write. */
  whenQuiet(callback: () => void): void {
    this.#whenQuiet = callback;
    this.checkQuiet();
  }

  /** Keeps it here until something is written, under its epoch, that nobody waits for. @param write never rejects */
  staysUntil(write: Promise<void>): void {
    this.#owed += 1;
    void write.then(() => {
      this.#owed -= 1;
      this.checkQuiet();
    });
  }

  /** Something on this shard has ended. */
  checkQuiet(): void {
    if (this.#whenQuiet === null || this.#owed > 0) return;
    for (const { running, mailbox } of this.activations.current)
      if (running.length + mailbox.size > 0) return;
    this.stop();
    const callback = this.#whenQuiet;
    this.#whenQuiet = null;
    callback();
  }
}
