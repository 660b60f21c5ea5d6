// SeenHistory: up to where a session knows the history of what its server keeps.
//
// A server that crashed, or was taken over from, may have forgotten the end of it. lua/enter-session.ts compares.
//
//   H1  Everything that was answered to the session, reads included, happened up to `position` in `incarnation`.

/** More than any position. */
const UNCERTAIN = Number.MAX_SAFE_INTEGER;

export class SeenHistory {
  #incarnation = "";
  #position = 0;

  /** As arguments of the script. */
  get arguments(): readonly [incarnation: string, position: string] {
    return [this.#incarnation, String(this.#position)];
  }

  /** Up to where the session knows it. */
  get position(): number {
    return this.#position;
  }

  /** The session has entered an incarnation, and begins from what is there. */
  enter(incarnation: string, position: number): void {
    this.#incarnation = incarnation;
    this.#position = position;
  }

  /** What was answered so far happened up to this position. */
  note(position: number): void {
    this.#position = Math.max(this.#position, position);
  }

  /** Something was answered, and nobody said how far that was. */
  noteUncertain(): void {
    this.#position = UNCERTAIN;
  }
}
