/** Lets at most `capacity` in at a time, as they came; who is urgent is next. Who waits too long is turned away. */
export class Turnstile {
  readonly #capacity: number;
  readonly #waiting: (() => void)[] = [];
  #inside = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Resolves to what lets the next one in, to be called once; further calls do nothing. Null: nobody left in time. */
  async enter(patienceMs: number, isUrgent = false): Promise<(() => void) | null> {
    if (this.#inside < this.#capacity) {
      this.#inside += 1;
      return this.#leaver();
    }
    return new Promise((resolve) => {
      const admit = (): void => {
        clearTimeout(timer);
        resolve(this.#leaver());
      };
      const timer = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(admit), 1);
        resolve(null);
      }, patienceMs);
      if (isUrgent) this.#waiting.unshift(admit);
      else this.#waiting.push(admit);
    });
  }

  #leaver(): () => void {
    let isInside = true;
    return () => {
      if (!isInside) return;
      isInside = false;
      const next = this.#waiting.shift();
      if (next === undefined) this.#inside -= 1;
      else next();
    };
  }
}
