/** An answer of the front. */
export interface Answer {
  readonly status: number;
  // oxlint-disable-next-line no-explicit-any -- JSON, whose shape the test that asked says
  readonly body: any;
}

/** Asks the front, as any program outside would. */
export class HttpClient {
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  get(path: string): Promise<Answer> {
    return this.#ask("GET", path);
  }

  post(path: string, body: unknown): Promise<Answer> {
    return this.#ask("POST", path, body);
  }

  put(path: string, body: unknown): Promise<Answer> {
    return this.#ask("PUT", path, body);
  }

  delete(path: string): Promise<Answer> {
    return this.#ask("DELETE", path);
  }

  async #ask(method: string, path: string, body?: unknown): Promise<Answer> {
    const response = await fetch(`${this.#url}${path}`, {
      method,
      ...(body === undefined
        ? {}
        : { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
    });
    const text = await response.text();
    return { status: response.status, body: text === "" ? undefined : JSON.parse(text) };
  }
}
