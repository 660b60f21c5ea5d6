// The options of sqlite(), checked once, and their form as a URL.

import { ConfigError, milliseconds, type Duration } from "@holdfast/core/adapter";

export interface SqliteOptions {
  /** The database file, relative to the working directory. It and its folder are made if they are not there. */
  readonly path: string;
  /** How long a call waits for its turn while others write, of this process or another, 0 or more. Default 10s. */
  readonly busyTimeout?: Duration;
  /** How long a handler's transaction may take from its first statement on, 1ms or more. Default 5s. */
  readonly transactionTimeout?: Duration;
}

/** The options, checked, in milliseconds. */
export interface SqliteSettings {
  readonly path: string;
  readonly busyTimeoutMs: number;
  readonly transactionTimeoutMs: number;
}

const NAMES: Readonly<Record<keyof SqliteOptions, true>> = {
  path: true,
  busyTimeout: true,
  transactionTimeout: true,
};

/** @throws {ConfigError} names the option, what it got and what it takes */
export function sqliteSettings(options: SqliteOptions): SqliteSettings {
  for (const name of Object.keys(options)) {
    if (Object.hasOwn(NAMES, name)) continue;
    const takes = `one of the names ${Object.keys(NAMES).join(", ")}`;
    throw new ConfigError({ option: `storage.${name}`, got: "given", takes });
  }
  const { path } = options;
  // What is in memory belongs to one connection, and a session has two.
  if (typeof path !== "string" || path === "" || path.startsWith(":") || path.startsWith("file:"))
    throw new ConfigError({
      option: "storage.path",
      got: path,
      takes: 'the path of a file, such as "./data/orders.db"',
    });
  const transactionTimeoutMs = milliseconds(options.transactionTimeout ?? "5s", "storage.transactionTimeout");
  if (transactionTimeoutMs < 1)
    throw new ConfigError({
      option: "storage.transactionTimeout",
      got: options.transactionTimeout,
      takes: "1 ms or more",
    });
  const busyTimeoutMs = milliseconds(options.busyTimeout ?? "10s", "storage.busyTimeout");
  return { path, busyTimeoutMs, transactionTimeoutMs };
}

/** Reads `sqlite:path[?busyTimeout=...&transactionTimeout=...]`. @throws {ConfigError} */
export function optionsFromUrl(url: string): SqliteOptions {
  const { path = "", query = "" } =
    /^sqlite:(?:\/\/)?(?<path>[^?]*)(?:\?(?<query>.*))?$/u.exec(url)?.groups ?? {};
  // Names that are no option are refused with the others.
  return { ...Object.fromEntries(new URLSearchParams(query)), path: decodeURIComponent(path) };
}
