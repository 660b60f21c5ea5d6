// FencedStore: a system of the user's own beside the cluster, that does what the library asks of such systems. It takes the
// fencing token with every call, and keeps each request's result, so that what is handled again changes nothing.
//
//   F1  Once a key was read or written under a token, lower tokens are refused for that key.
//   F2  A request changes something once. Its result stays as it was.

/** A token that is over. What a handler throws of it must never reach a caller: its reply is refused as well. */
export class StaleTokenError extends Error {
  override readonly name = "StaleTokenError";
}

/** What a handler says of itself: its context will do. */
export interface Bearer {
  readonly requestId: string;
  readonly fencingToken: number;
}

export interface StoreChange<Result> {
  readonly key: string;
  readonly requestId: string;
  readonly token: number;
  readonly result: Result;
}

export class FencedStore<State, Result> {
  /** In the order in which they were made. */
  readonly changes: StoreChange<Result>[] = [];
  readonly #initial: State;
  readonly #rows = new Map<string, { readonly token: number; readonly state: State }>();
  readonly #results = new Map<string, Result>();

  constructor(initial: State) {
    this.#initial = initial;
  }

  get keys(): readonly string[] {
    return [...this.#rows.keys()];
  }

  /** As it is now, without a token: for checks. */
  peek(key: string): State {
    return this.#rows.get(key)?.state ?? this.#initial;
  }

  /** What this request did, if it was done: to be asked before it is done again. */
  done(requestId: string): { readonly result: Result } | null {
    return this.#results.has(requestId) ? { result: this.#results.get(requestId) as Result } : null;
  }

  /** @throws {StaleTokenError} */
  read(key: string, { fencingToken }: Pick<Bearer, "fencingToken">): State {
    const row = this.#rows.get(key);
    if (row !== undefined && fencingToken < row.token)
      throw new StaleTokenError(`${key} was touched under ${row.token}, and ${fencingToken} is lower`);
    const state = row?.state ?? this.#initial;
    this.#rows.set(key, { token: fencingToken, state });
    return state;
  }

  /** Does nothing if this request was done. Returns its result. @throws {StaleTokenError} */
  write(
    key: string,
    { requestId, fencingToken }: Bearer,
    change: { readonly state: State; readonly result: Result },
  ): Result {
    const done = this.done(requestId);
    if (done !== null) return done.result;
    this.read(key, { fencingToken });
    this.#rows.set(key, { token: fencingToken, state: change.state });
    this.#results.set(requestId, change.result);
    this.changes.push({ key, requestId, token: fencingToken, result: change.result });
    return change.result;
  }

  /** Reads and writes at once. @throws {StaleTokenError} */
  change(
    key: string,
    bearer: Bearer,
    how: (state: State) => { readonly state: State; readonly result: Result },
  ): Result {
    const done = this.done(bearer.requestId);
    return done === null ? this.write(key, bearer, how(this.read(key, bearer))) : done.result;
  }
}
