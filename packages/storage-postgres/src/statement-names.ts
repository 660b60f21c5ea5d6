/** How many different texts of users are prepared. Who puts values into texts gains nothing from it. */
const MOST = 200;

/** The names under which users' statements are prepared, on whatever session: one text has one name. */
export class StatementNames {
  #generation = 0;
  #names = new Map<string, string>();

  /** Undefined: there are too many texts already, and this one is not prepared. */
  of(text: string): string | undefined {
    const known = this.#names.get(text);
    if (known !== undefined || this.#names.size >= MOST) return known;
    const name = `holdfast_user_${this.#generation}_${this.#names.size}`;
    this.#names.set(text, name);
    return name;
  }

  /** Gives every text another name, after a table changed under a prepared statement: sessions prepare them anew. */
  renew(): void {
    this.#generation += 1;
    this.#names = new Map();
  }
}
