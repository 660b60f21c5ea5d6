// RedisSession: what the storages of one `open()` share: the link to Redis, the claims, and whether it is still open.
//
//   S1  At any time there is one link at most. The next one is made as soon as one ended, until the session is closed.
//   S2  Calls that come while there is none wait for the next one, at most `commandTimeout` from the first of them on, and
//       go out in their order. None of them waits while a call before it is still to learn that its link was lost.

import { randomUUID } from "node:crypto";
import type { Redis } from "ioredis";
import type { Clock, Epoch, Fence, ShardId } from "@holdfast/core/adapter";
import { claimText, Claims } from "./claims.ts";
import type { Endpoint, MakeRedis } from "./connections.ts";
import { closedError, failureOf, fencedError, persistenceError, RedisFailure, tooOldFor } from "./errors.ts";
import type { RedisSettings } from "./options.ts";
import { RedisLink } from "./redis-link.ts";
import { SCRIPTS, type Script } from "./script.ts";
import { SeenHistory } from "./seen-history.ts";

const FIRST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 1_000;
const CLOSED = "the session was closed";

export interface Call {
  /** The method of the interface, for errors. */
  readonly operation: string;
  readonly script: Script;
  readonly args: readonly string[];
}

export class RedisSession {
  readonly clock: Clock;
  readonly claims: Claims = new Claims();
  /** Names this session among those that write and announce. */
  readonly name: string = randomUUID();
  readonly makeRedis: MakeRedis;
  readonly #settings: RedisSettings;
  readonly #endings = new Set<() => Promise<void>>();
  #link: RedisLink | null = null;
  readonly #history: SeenHistory = new SeenHistory();
  #links = 0;
  /** What is to become the next link. */
  #opening: Redis | null = null;
  #endpoint: Endpoint | null = null;
  /** What waits for the next link, and until when. */
  readonly #waiting: (() => void)[] = [];
  #late: NodeJS.Timeout | null = null;
  #lastFailure = "there is no connection yet";
  #closing: Promise<void> | null = null;

  constructor(makeRedis: MakeRedis, clock: Clock, settings: RedisSettings) {
    this.makeRedis = makeRedis;
    this.clock = clock;
    this.#settings = settings;
  }

  /** Makes the first link. @throws {PersistenceError} */
  async open(): Promise<RedisLink> {
    try {
      return await this.#connect();
    } catch (error) {
      this.#closing = Promise.resolve();
      const failure = failureOf(error);
      throw failure.code === "RELEASE"
        ? tooOldFor(this.#settings.prefix, failure)
        : persistenceError("open", failure);
    }
  }

  /** The channel on which requests are announced. */
  get channel(): string {
    return `${this.#base}pending`;
  }

  /** How long Redis may take to answer. */
  get commandTimeoutMs(): number {
    return this.#settings.commandTimeoutMs;
  }

  /** What is done when the session closes, before its link ends. Returns what takes it out again. */
  onClose(ending: () => Promise<void>): () => void {
    this.#endings.add(ending);
    return () => this.#endings.delete(ending);
  }

  /** Runs a script that only reads, once more if its connection is lost. @throws {PersistenceError} `not-written` */
  async read<Answer>(call: Call): Promise<Answer> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return (await (await this.#linkFor(call, true)).run(call.script, call.args)) as Answer;
      } catch (error) {
        if (!(error instanceof RedisFailure)) throw error;
        const { outcome, code, message } = error;
        if (outcome === "unknown" && code === null && attempt === 1) continue;
        const failure = new RedisFailure({ outcome: "not-written", code, message }, { cause: error });
        throw persistenceError(call.operation, failure);
      }
    }
  }

  /** Runs a script that writes on nobody's behalf. @throws {PersistenceError} */
  async write<Answer>(call: Call): Promise<Answer> {
    try {
      return (await (await this.#linkFor(call)).run(call.script, call.args)) as Answer;
    } catch (error) {
      throw error instanceof RedisFailure ? persistenceError(call.operation, error) : error;
    }
  }

  /**
   * Runs a script that writes under a fence, or under none. Its first three arguments are the fence; its answer is a list
   * that begins with a word.
   *
   * @throws {FencedError} nothing was written @throws {PersistenceError}
   */
  async writeFenced<Answer extends readonly [string, ...unknown[]]>(
    call: Call,
    fence: Fence | null,
  ): Promise<Answer> {
    let answer: Answer;
    try {
      // Without an `await` where there is a link: calls go out in the order in which they came.
      const link = this.#openLink(call) ?? (await this.#linkFor(call));
      const proof = this.claims.proofOf(fence, link.number);
      answer = (await link.run(call.script, [...proof, ...call.args])) as Answer;
    } catch (error) {
      throw error instanceof RedisFailure ? persistenceError(call.operation, error) : error;
    }
    if (fence !== null && answer[0] === "fenced") {
      throw fencedError(fence, answer[1] === "" ? null : Number(answer[1]));
    }
    return answer;
  }

  async claimShards(shardIds: readonly ShardId[]): Promise<readonly Epoch[]> {
    const known = shardIds.flatMap((shardId) => [shardId, String(this.claims.epochOf(shardId))]);
    const call = { operation: "claimShards", script: SCRIPTS.claimShards, args: known };
    const id = randomUUID();
    let answer: readonly string[];
    try {
      const link = this.#openLink(call) ?? (await this.#linkFor(call));
      answer = (await link.run(call.script, [claimText(id, link.number), ...call.args])) as string[];
    } catch (error) {
      throw error instanceof RedisFailure ? persistenceError(call.operation, error) : error;
    }
    return shardIds.map((shardId, index) => {
      const epoch = Number(answer[index]);
      this.claims.add(shardId, { epoch, id });
      return epoch;
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  get #base(): string {
    return `{${this.#settings.prefix}}:`;
  }

  /** @throws {PersistenceError} the session was closed; nothing was written */
  assertOpen(operation: string): void {
    if (this.#closing !== null) throw closedError(operation);
  }

  /** The link, if there is one. @throws {PersistenceError} the session was closed */
  #openLink({ operation }: Call): RedisLink | null {
    this.assertOpen(operation);
    return this.#link?.isOpen === true ? this.#link : null;
  }

  /** @param isRead nothing depends on when it runs */
  async #linkFor(call: Call, isRead: boolean = false): Promise<RedisLink> {
    const link = this.#openLink(call);
    if (link !== null) return link;
    if (isRead || this.#link?.isSettled !== false) await this.#nextLink();
    const next = this.#openLink(call);
    if (next !== null) return next;
    throw new RedisFailure({ outcome: "not-written", code: null, message: this.#lastFailure });
  }

  /** Resolves when there is a link again, when the time of the first that waits is over, or when the session closes. */
  #nextLink(): Promise<void> {
    this.#late ??= setTimeout(() => this.#wakeWaiting(), this.#settings.commandTimeoutMs);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #wakeWaiting(): void {
    clearTimeout(this.#late ?? undefined);
    this.#late = null;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  async #connect(): Promise<RedisLink> {
    this.#links += 1;
    const options = {
      base: this.#base,
      session: this.name,
      number: this.#links,
      commandTimeoutMs: this.#settings.commandTimeoutMs,
      claims: this.claims.list(),
      history: this.#history,
    };
    const redis = this.makeRedis(this.#endpoint);
    this.#opening = redis;
    try {
      const link = await RedisLink.open(redis, options);
      this.#link = link;
      void link.ended.then(() => this.#reconnect(link));
      this.#wakeWaiting();
      return link;
    } catch (error) {
      const failure = failureOf(error);
      this.#lastFailure = failure.message;
      const moved = endpointOf(failure);
      const isFirstMove = moved !== null && this.#endpoint === null;
      // A cluster's other server is asked where the keys are, should it not be there any more.
      this.#endpoint = isFirstMove ? moved : null;
      if (isFirstMove) return this.#connect();
      throw failure;
    } finally {
      if (this.#opening === redis) this.#opening = null;
    }
  }

  /** Makes the next link, as often as it takes. Never rejects. */
  async #reconnect(lost: RedisLink): Promise<void> {
    this.#lastFailure = lost.why;
    await lost.drained();
    let pauseMs = FIRST_PAUSE_MS;
    while (this.#closing === null) {
      try {
        const link = await this.#connect();
        if (this.#closing !== null) link.end(CLOSED);
        return;
      } catch {
        await new Promise<void>((resolve) => setTimeout(resolve, pauseMs).unref());
        pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
      }
    }
  }

  async #close(): Promise<void> {
    this.#wakeWaiting();
    await Promise.all([...this.#endings].map((ending) => ending()));
    this.#opening?.disconnect();
    const link = this.#link;
    if (link === null) return;
    await link.drained();
    link.end(CLOSED);
    await link.ended;
  }
}

/** Where a server of a cluster says that the keys are. */
function endpointOf({ code, message }: RedisFailure): Endpoint | null {
  const found = /^MOVED \d+ (?<host>\S*):(?<port>\d+)/u.exec(message)?.groups;
  if (code !== "MOVED" || found === undefined || found["host"] === "") return null;
  return { host: found["host"] ?? "", port: Number(found["port"]) };
}
