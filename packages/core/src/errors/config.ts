import { HoldfastError } from "./holdfast-error.ts";

/** An option is missing, unknown or out of range. Nothing was started. */
export class ConfigError extends HoldfastError {
  override readonly name = "ConfigError";
  readonly code = "CONFIG";
  /** The option's name, with dots for nested ones. */
  readonly option: string;

  constructor(
    problem: { option: string; got: unknown; takes: string; hint?: string },
    options?: ErrorOptions,
  ) {
    super(
      `Option "${problem.option}" is ${describe(problem.got)}, but it takes ${problem.takes}.` +
        (problem.hint === undefined ? "" : ` ${problem.hint}`),
      options,
    );
    this.option = problem.option;
  }
}

/**
 * A definition contradicts itself or another one: found while it is made or registered, before any request. Or an execution was
 * asked for by something else than its workflow's client, and nothing was run.
 */
export class DefinitionError extends HoldfastError {
  override readonly name = "DefinitionError";
  readonly code = "DEFINITION";

  // The message of a definition's mistake is written where the mistake is found.
  // oxlint-disable-next-line no-useless-constructor
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
  }
}

/** A configuration names an adapter whose package is not there. */
export class AdapterNotInstalledError extends HoldfastError {
  override readonly name = "AdapterNotInstalledError";
  readonly code = "ADAPTER_NOT_INSTALLED";
  readonly packageName: string;

  constructor(missing: { option: string; scheme: string; packageName: string }, options?: ErrorOptions) {
    super(
      `Option "${missing.option}" names "${missing.scheme}:", which the package ${missing.packageName} provides, ` +
        `and that is not installed. Run: npm install ${missing.packageName}`,
      options,
    );
    this.packageName = missing.packageName;
  }
}

/** What a wrong value looks like in a message: short, and never a secret's worth of text. */
function describe(value: unknown): string {
  if (value === undefined) return "missing";
  if (typeof value === "string") {
    const shown = value.replaceAll(/:\/\/[^/@\s]*@/gu, "://***@");
    return shown === "" ? "empty" : `"${shown.length > 60 ? `${shown.slice(0, 60)}…` : shown}"`;
  }
  if (typeof value === "number" || typeof value === "boolean" || value === null) return String(value);
  if (Array.isArray(value)) return value.length === 0 ? "an empty array" : "an array";
  return `a value of type ${typeof value}`;
}
