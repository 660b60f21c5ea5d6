import { callBack } from "./call-back.ts";

/** Where a cluster and its handlers log. `fields` never hold a user's payload. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** What a line of the log says besides its message, by name. */
export type LogFields = Readonly<Record<string, unknown>>;

/** A logger that never throws: what the user's own one throws, or rejects with, must keep nothing from going on. */
export function guardedLogger(logger: Logger): Logger {
  const guarded =
    (level: keyof Logger): Logger["info"] =>
    (message, fields) =>
      callBack(() => logger[level](message, fields), nothing);
  return {
    debug: guarded("debug"),
    info: guarded("info"),
    warn: guarded("warn"),
    error: guarded("error"),
  };
}

/** A logger that adds `fields` to every line. */
export function withFields(logger: Logger, fields: LogFields): Logger {
  return {
    debug: (message, more) => logger.debug(message, { ...fields, ...more }),
    info: (message, more) => logger.info(message, { ...fields, ...more }),
    warn: (message, more) => logger.warn(message, { ...fields, ...more }),
    error: (message, more) => logger.error(message, { ...fields, ...more }),
  };
}

/** A context's logger. Makes its fields and its functions when they are asked for: of most contexts they are not. */
export class LazyLogger<Of> implements Logger {
  readonly #logger: Logger;
  readonly #of: Of;
  readonly #fieldsOf: (of: Of) => LogFields;

  constructor(logger: Logger, of: Of, fieldsOf: (of: Of) => LogFields) {
    this.#logger = logger;
    this.#of = of;
    this.#fieldsOf = fieldsOf;
  }

  // Getters, so that a function that is taken out of it, as in `.catch(ctx.log.warn)`, works as one of any logger.
  get debug(): Logger["debug"] {
    return this.#at("debug");
  }

  get info(): Logger["info"] {
    return this.#at("info");
  }

  get warn(): Logger["warn"] {
    return this.#at("warn");
  }

  get error(): Logger["error"] {
    return this.#at("error");
  }

  #at(level: keyof Logger): Logger["info"] {
    return (message, more) => this.#logger[level](message, { ...this.#fieldsOf(this.#of), ...more });
  }
}

/** A logger that says nothing while `isQuiet`. */
export function quietLog(logger: Logger, isQuiet: () => boolean): Logger {
  return {
    debug: (message, fields) => (isQuiet() ? undefined : logger.debug(message, fields)),
    info: (message, fields) => (isQuiet() ? undefined : logger.info(message, fields)),
    warn: (message, fields) => (isQuiet() ? undefined : logger.warn(message, fields)),
    error: (message, fields) => (isQuiet() ? undefined : logger.error(message, fields)),
  };
}

function nothing(): void {
  // There is nowhere left to say it.
}
