import { ConfigError } from "../errors/config.ts";

/**
 * What is no class would throw only when an error is read or compared, in a runner as well, where nobody catches it.
 *
 * @param example a name such as the option takes the class of
 * @throws {ConfigError} it is no list of classes; names `option`
 */
export function checkErrorClasses(given: unknown, option: string, example: string): void {
  if (Array.isArray(given) && given.every(isClass)) return;
  throw new ConfigError({
    option,
    got: given,
    takes: "a list of error classes",
    hint: `Classes, and not their names: ${option}: [${example}]. One that is undefined is often imported in a circle.`,
  });
}

/** Also none: a generator, of which nothing can be made, and a class that does not tell its name. */
function isClass(given: unknown): boolean {
  try {
    const { name, prototype } = given as abstract new () => Error;
    // No constructor of the user's runs.
    return name !== null && prototype !== undefined && Reflect.construct(Error, [], given as never) !== null;
  } catch {
    return false;
  }
}
