import { ConfigError } from "@holdfast/core/adapter";

/** What a suite was called with: a factory, maybe with a name before it. @throws {ConfigError} there is no factory */
export function suiteArguments<Factory extends (...given: never[]) => unknown>(
  suite: string,
  otherwise: string,
  nameOrFactory: string | Factory,
  factory: Factory | undefined,
): readonly [string, Factory] {
  const [name, make] =
    typeof nameOrFactory === "string" ? [nameOrFactory, factory] : [otherwise, nameOrFactory];
  if (typeof make === "function") return [name, make];
  throw new ConfigError({ option: suite, got: make, takes: "a factory, with a name before it or alone" });
}
