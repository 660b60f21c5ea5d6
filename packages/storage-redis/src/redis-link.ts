// RedisLink: one connection to Redis, from its first command to its end.
//
// Sends scripts and says what became of them. Never connects again (redis-session.ts) and repeats nothing.
//
//   L1  Commands run in the order of calls.
//   L2  Commands of one turn go out together, as many as fit into a group. The rest waits here for an answer to those
//       before it, so that a burst is not mistaken for a server that does not answer.
//   L3  A group that is not answered in time ends the link, and with it everything that waits.
//   L4  Once the link has ended, every command is settled: `unknown` if it was sent, else `not-written`.
//   L5  A link goes on only while the server has the data that the session entered, and what was seen of them since.

import type { Redis } from "ioredis";
import { connectWithin } from "./connections.ts";
import { describe, endsConnection, failureOf, RedisFailure } from "./errors.ts";
import { incarnationOf } from "./incarnation.ts";
import { SCRIPTS, type Script } from "./script.ts";
import type { SeenHistory } from "./seen-history.ts";

export interface LinkOptions {
  /** How all keys begin. */
  readonly base: string;
  /** The name of the session. */
  readonly session: string;
  /** Rises with each link of a session. */
  readonly number: number;
  readonly commandTimeoutMs: number;
  /** What the session's claims are, for the server to know this link by. */
  readonly claims: readonly string[];
  readonly history: SeenHistory;
}

/** Beyond this a group gains nothing. */
const GROUP_COMMANDS = 256;
/** In characters; one command alone may carry more. */
const GROUP_SIZE = 1024 * 1024;
const OTHER_DATA = "the server has other data than before";
/** Enough for Redis to have work while an answer is on its way. */
const GROUPS_UNDER_WAY = 4;

interface Waiting {
  readonly script: Script;
  readonly args: readonly string[];
  readonly resolve: (answer: unknown) => void;
  readonly reject: (failure: RedisFailure) => void;
}

export class RedisLink {
  readonly number: number;
  /** Resolves when the link has ended. */
  readonly ended: Promise<void>;
  readonly #redis: Redis;
  readonly #options: LinkOptions;
  #waiting: Waiting[] = [];
  #groupsUnderWay = 0;
  #isSendDue = false;
  /** What the server's data were when the session entered them. Null: not yet. */
  #incarnation: string | null = null;
  #why: string | null = null;
  #idle: (() => void)[] = [];

  private constructor(redis: Redis, options: LinkOptions) {
    this.#redis = redis;
    this.#options = options;
    this.number = options.number;
    this.ended = new Promise((resolve) => {
      redis.once("end", () => {
        this.#why ??= "the connection was lost";
        resolve();
      });
    });
    redis.on("error", (error: unknown) => {
      this.#why ??= describe(error);
    });
  }

  /** Connects, loads the scripts, finds out whether they may do what they do, and enters the session. @throws {RedisFailure} */
  static async open(redis: Redis, options: LinkOptions): Promise<RedisLink> {
    const link = new RedisLink(redis, options);
    const late = setTimeout(() => link.end("Redis did not answer in time"), options.commandTimeoutMs);
    try {
      await connectWithin(redis, options.commandTimeoutMs);
      const scripts = Object.values(SCRIPTS);
      const [info] = await Promise.all([
        redis.info(),
        ...scripts.map(({ source }) => redis.script("LOAD", source)),
      ]);
      const { session, number, claims, history } = options;
      const incarnation = incarnationOf(info);
      const known = [...history.arguments, ...claims];
      await link.run(SCRIPTS.probe, []);
      const position = await link.run(SCRIPTS.enterSession, [incarnation, session, String(number), ...known]);
      history.enter(incarnation, Number(position));
      link.#incarnation = incarnation;
      return link;
    } catch (error) {
      const { code, message } = failureOf(error);
      link.end(message);
      throw new RedisFailure(
        { outcome: "not-written", code, message: link.#why ?? message },
        { cause: error },
      );
    } finally {
      clearTimeout(late);
    }
  }

  /** Whether commands can be sent. */
  get isOpen(): boolean {
    return this.#redis.status === "ready" && this.#why === null;
  }

  /** Runs a script, whose answer is data of which this knows nothing. @throws {RedisFailure} */
  run(script: Script, args: readonly string[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ script, args, resolve, reject });
      this.#sendSoon();
    });
  }

  /** The client itself, for what is no script. */
  get redis(): Redis {
    return this.#redis;
  }

  /** Why it has ended. */
  get why(): string {
    return this.#why ?? "there is no connection";
  }

  /** Whether nothing waits and nothing is under way. */
  get isSettled(): boolean {
    return this.#waiting.length === 0 && this.#groupsUnderWay === 0;
  }

  /** Resolves when it is settled. */
  drained(): Promise<void> {
    if (this.isSettled) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Ends it at once, whatever is under way. */
  end(why: string): void {
    this.#why ??= why;
    // A closing handshake would wait for a server that may be stopped.
    this.#redis.stream?.destroy();
    this.#redis.disconnect();
  }

  /** At the end of this turn. */
  #sendSoon(): void {
    if (this.#isSendDue || this.#waiting.length === 0) return;
    this.#isSendDue = true;
    setImmediate(() => {
      this.#isSendDue = false;
      while (this.#waiting.length > 0 && (this.#groupsUnderWay < GROUPS_UNDER_WAY || !this.isOpen)) {
        void this.#send(this.#take());
      }
    });
  }

  /** The first of what waits. */
  #take(): readonly Waiting[] {
    let size = 0;
    let count = 0;
    for (const { args } of this.#waiting) {
      size += args.reduce((sum, text) => sum + text.length, 0);
      if (count > 0 && (count === GROUP_COMMANDS || size > GROUP_SIZE)) break;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }

  /** Never rejects. */
  async #send(group: readonly Waiting[]): Promise<void> {
    this.#groupsUnderWay += 1;
    const answers = this.isOpen ? await this.#exchange(group) : [];
    // First: who learns of a failure may call again at once.
    this.#groupsUnderWay -= 1;
    for (const [index, { resolve, reject }] of group.entries()) {
      const [error, answer] = answers[index] ?? [this.#notSent(), null];
      if (error === null) {
        resolve(answer);
        continue;
      }
      const failure = failureOf(error);
      // Where the connection was closed, ioredis does not say why.
      const message = failure.code === null ? (this.#why ?? failure.message) : failure.message;
      reject(new RedisFailure({ outcome: failure.outcome, code: failure.code, message }, { cause: error }));
      if (endsConnection(failure)) this.end(failure.message);
    }
    this.#sendSoon();
    if (this.isSettled) for (const resolve of this.#idle.splice(0)) resolve();
  }

  /** The error or the answer of each, in order. Never rejects. */
  async #exchange(group: readonly Waiting[]): Promise<readonly [error: Error | null, answer: unknown][]> {
    const { base, session, number, commandTimeoutMs, history } = this.#options;
    const pipeline = this.#redis.pipeline();
    const sender = [session, String(number), this.#incarnation ?? "", String(history.position)];
    for (const { script, args } of group)
      // As a list: as many arguments as a large read has do not fit on the stack.
      pipeline.call("evalsha", [script.sha, 1, base, ...args, ...(script.isWrite ? sender : [])]);
    // After them: what they read or wrote is not beyond it.
    pipeline.hmget(`${base}meta`, "incarnation", "position");
    const late = setTimeout(() => this.end("Redis did not answer in time"), commandTimeoutMs);
    const answers = await pipeline.exec();
    clearTimeout(late);
    const [error, told] = answers?.pop() ?? [new Error("ioredis gave no answer"), null];
    if (answers === null) return group.map(() => [error, null]);
    if (error !== null) {
      if (answers.some(([each]) => each === null)) history.noteUncertain();
      if (this.isOpen) this.end(describe(error));
      return answers;
    }
    const written = group.filter(({ script }, index) => script.isWrite && answers[index]?.[0] === null);
    const [incarnation, position] = told as [string | null, string | null];
    return this.#note(incarnation, Number(position), written.length, answers);
  }

  /**
   * Takes in up to where the server had got after these answers, and returns them. What does not follow on what was seen is not
   * the data that the session entered: it was emptied, or was a replica for a while, which its connections may outlive.
   *
   * @param written how many of them counted the position up
   */
  #note(
    incarnation: string | null,
    position: number,
    written: number,
    answers: readonly [error: Error | null, answer: unknown][],
  ): readonly [error: Error | null, answer: unknown][] {
    // What was there when the session entered, its script says.
    if (this.#incarnation === null) return answers;
    const { history } = this.#options;
    const isStale = answers.some(([error]) => error !== null && failureOf(error).code === "STALE");
    if (incarnation === this.#incarnation && position >= history.position + written && !isStale) {
      history.note(position);
      return answers;
    }
    this.end(OTHER_DATA);
    if (incarnation === this.#incarnation) history.noteUncertain();
    // No claim of before is there, nor what it could have written.
    if (incarnation === this.#incarnation || incarnation === null) return answers;
    // They may be from before or after the change: told to nobody, they are not part of what was seen.
    return answers.map(([error]) => [error ?? new Error(OTHER_DATA), null]);
  }

  #notSent(): RedisFailure {
    return new RedisFailure({ outcome: "not-written", code: null, message: this.why });
  }
}
