/** Where a cluster and its handlers log. `fields` never hold a user's payload. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

export type LogFields = Readonly<Record<string, unknown>>;

/** A logger that adds `fields` to every line. */
export function withFields(logger: Logger, fields: LogFields): Logger {
  return {
    debug: (message, more) => logger.debug(message, { ...fields, ...more }),
    info: (message, more) => logger.info(message, { ...fields, ...more }),
    warn: (message, more) => logger.warn(message, { ...fields, ...more }),
    error: (message, more) => logger.error(message, { ...fields, ...more }),
  };
}

/** What a context is of, and its logger, which is made when it is asked for. */
export class Logged<Of> {
  readonly of: Of;
  readonly #logger: Logger;
  readonly #fieldsOf: (of: Of) => LogFields;
  #log: Logger | null = null;

  constructor(of: Of, logger: Logger, fieldsOf: (of: Of) => LogFields) {
    this.of = of;
    this.#logger = logger;
    this.#fieldsOf = fieldsOf;
  }

  get log(): Logger {
    this.#log ??= withFields(this.#logger, this.#fieldsOf(this.of));
    return this.#log;
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
