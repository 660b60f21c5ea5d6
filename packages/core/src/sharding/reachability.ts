// Reachability: how long a backend has been out of reach, or has answered well, by the calls that this process made to it.
//
// Pure: times and outcomes in, lengths of time out. All times are monotonic milliseconds.
//
//   C1  A call that gets no answer counts like one that fails, from when it was sent.
//   C2  One answer in time ends all trouble, whatever else is still unanswered: a call may wait for a lock.
//   C3  An answer that took longer than `patienceMs` is no answer in time.

export class Reachability {
  readonly #patienceMs: number;
  /** Calls without an answer, oldest first, and since when they count. */
  readonly #waiting = new Map<symbol, number>();
  #failingSince: number | null = null;
  #answeringSince: number | null = null;
  #heardAt: number | null = null;

  constructor(patienceMs: number) {
    this.#patienceMs = patienceMs;
  }

  /** A call was sent. Returns what to call with its outcome. */
  begin(sentAt: number): (ok: boolean, at: number) => void {
    const call = Symbol("call");
    this.#waiting.set(call, sentAt);
    return (ok, at) => {
      const since = this.#waiting.get(call) ?? at;
      this.#waiting.delete(call);
      this.#heardAt = at;
      if (ok && at - since < this.#patienceMs) this.#answered(at);
      else {
        this.#failingSince = Math.min(this.#failingSince ?? since, since);
        this.#answeringSince = null;
      }
    };
  }

  /** How long it has been out of reach without one answer in time. 0: it is not, as far as is known. */
  troubleMs(at: number): number {
    const oldest = this.#waiting.values().next().value ?? null;
    if (oldest !== null && at - oldest >= this.#patienceMs) this.#answeringSince = null;
    const since = [this.#failingSince, oldest].flatMap((each) => each ?? []);
    return since.length === 0 ? 0 : at - Math.min(...since);
  }

  /** Whether the last call that ended failed, or one has waited for too long. */
  isTroubled(at: number): boolean {
    return this.#failingSince !== null || this.troubleMs(at) >= this.#patienceMs;
  }

  /** How long it has answered without one failure. 0: it does not, or nothing is known. */
  answeringMs(at: number): number {
    return this.isTroubled(at) || this.#answeringSince === null ? 0 : at - this.#answeringSince;
  }

  /** How long ago anything was heard of it, or infinitely long. */
  silentMs(at: number): number {
    return this.#heardAt === null ? Number.POSITIVE_INFINITY : at - this.#heardAt;
  }

  /** This process stood still until now: the time before does not count against the backend. */
  stoodStill(at: number): void {
    for (const call of this.#waiting.keys()) this.#waiting.set(call, at);
    if (this.#failingSince !== null) this.#failingSince = at;
  }

  #answered(at: number): void {
    this.#failingSince = null;
    this.#answeringSince ??= at;
    for (const call of this.#waiting.keys()) this.#waiting.set(call, at);
  }
}
