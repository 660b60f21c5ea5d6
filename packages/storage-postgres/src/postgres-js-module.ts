// postgres.js, as much of it as this package uses: its own types bring more along, and are not there without it.

/** As much of postgres.js as is used here. */
export type PostgresJsModule = (url: string | object, options?: object) => PostgresJsInstance;

/** As much of an instance of postgres.js as is used here. */
export interface PostgresJsInstance {
  (...parts: unknown[]): unknown;
  readonly options: PostgresJsParsed;
  readonly types: unknown;
  readonly array: unknown;
  readonly json: unknown;
  readonly PostgresError: unknown;
  notify(channel: string, payload: string): Promise<unknown>;
  file(path: string, ...parts: unknown[]): PostgresJsQuery;
  unsafe(text: string, params?: readonly unknown[], options?: object): PostgresJsQuery;
  readonly typed: (value: unknown, type: number) => unknown;
  end(options: { timeout: number }): Promise<void>;
}

export interface PostgresJsParsed {
  readonly host: readonly string[];
  readonly port: readonly number[];
  readonly path: string | false | undefined;
  readonly parsers: Record<number, ((text: string) => unknown) | undefined>;
  readonly serializers: Record<number, unknown>;
  readonly shared: { readonly typeArrayMap: Record<number, number> };
}

/** It is sent when it is first awaited or executed, through `handler`. */
export interface PostgresJsQuery extends Promise<PostgresJsResult | PostgresJsResult[]> {
  raw(): PostgresJsQuery;
  execute(): PostgresJsQuery;
  handler: (query: PostgresJsQuery) => void;
  strings: readonly string[];
  readonly reject: (error: unknown) => void;
}

export type PostgresJsResult = readonly (readonly (Uint8Array | null)[])[] & {
  readonly columns?: readonly { readonly name: string; readonly type: number }[] | null;
  readonly count: number | null;
  readonly command: string | null;
  readonly state: { readonly pid: number | null } | null;
};
