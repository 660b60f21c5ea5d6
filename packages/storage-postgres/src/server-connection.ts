import type { LaterNative, SqlResult, SqlStatement } from "./driver.ts";

/** What a statement gave on a server, and what it was: a COMMIT that could not be answers `ROLLBACK`. */
export interface ServerResult<Row> extends SqlResult<Row> {
  readonly command: string;
}

/**
 * One session on a server, as a client library gives it. Each statement settles within the statement deadline, with the
 * library's own error if it fails. After a loss none reaches the server again, and none another session.
 */
export interface ServerConnection {
  /** The library's own client, for libraries that wrap it. Sends nothing once it is sealed. */
  readonly native: unknown;
  /** Whether statements are sent before the ones before them are answered. */
  readonly isPipelined: boolean;
  /** The server process that the session has. Null where it is not known. */
  readonly processId: number | null;
  /**
   * Runs one or more statements without parameters, and resolves to the result of the last.
   *
   * @param deadlineMs after which the session counts as lost. Default: `statementDeadline`
   */
  script<Row>(text: string, deadlineMs?: number): Promise<ServerResult<Row>>;
  /** Runs a user's statement. @throws {UnreadValue} a parser of the user's threw, and the session goes on */
  query<Row>(text: string, params: readonly unknown[]): Promise<ServerResult<Row>>;
  /** Whether a user's statement with this text was prepared on this session before now. */
  isPrepared(text: string): boolean;
  /** Runs one of our own, prepared where that is on. */
  run<Row>(statement: SqlStatement): Promise<ServerResult<Row>>;
  /**
   * From now on what the user holds as `native` refuses: what ends the transaction goes out next.
   *
   * @param why what it refuses with, that of the first call. Default: the transaction is over
   */
  seal(why?: () => Error): void;
  /** Gives the session back, or ends it at once, also one that does not answer. To be called once. */
  release(isUsable: boolean): void;
}

/** What hears notifications on a session of its own. */
export interface ServerListener {
  listen(channel: string): Promise<void>;
  /** Ends it at once. `lost` is not called for it. */
  end(): void;
}

/** What happens on a session that listens. */
export interface ListenerEvents {
  readonly heard: (channel: string, payload: string) => void;
  readonly lost: () => void;
}

/** The sessions of one client library. */
export interface ServerPool {
  /** How many sessions there are at most. */
  readonly size: number;
  /** What stands for a session's `native` before there is one. */
  readonly laterNative: LaterNative;
  /** Waits for a free session, no longer than the statement deadline. Rejects with the library's own error. */
  connect(): Promise<ServerConnection>;
  /** Lends no session any more that was there before: a network may have lost them all without a word. */
  renew(): void;
  /** Opens a session outside of the pool that hears notifications. */
  openListener(events: ListenerEvents): Promise<ServerListener>;
  /** Frees every session that is not the user's. None is lent out any more when this is called. */
  end(): Promise<void>;
}
