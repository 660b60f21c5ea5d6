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

/** A logger that says nothing while `isQuiet`. */
export function quietLog(logger: Logger, isQuiet: () => boolean): Logger {
  return {
    debug: (message, fields) => (isQuiet() ? undefined : logger.debug(message, fields)),
    info: (message, fields) => (isQuiet() ? undefined : logger.info(message, fields)),
    warn: (message, fields) => (isQuiet() ? undefined : logger.warn(message, fields)),
    error: (message, fields) => (isQuiet() ? undefined : logger.error(message, fields)),
  };
}
