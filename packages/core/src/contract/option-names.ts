import { ConfigError } from "../errors/config.ts";

/** The name of every option. A record, so that the compiler finds one that is left out. */
export type OptionNames<Options> = Readonly<Record<keyof Options, true>>;

/** @throws {ConfigError} it is no object, or one of its options has none of these names */
export function checkOptionNames(options: unknown, names: Readonly<Record<string, true>>): void {
  if (typeof options !== "object" || options === null)
    throw new ConfigError({ option: "options", got: options, takes: "an object" });
  for (const name in options) if (!Object.hasOwn(names, name)) throw unknownOption(name, names);
}

function unknownOption(name: string, names: Readonly<Record<string, true>>): ConfigError {
  const [nearest = ""] = Object.keys(names).toSorted(
    (a, b) => distance(a, name) - distance(b, name) || (a < b ? -1 : 1),
  );
  return new ConfigError({
    option: name,
    got: "given",
    takes: "nothing: there is no such option",
    ...(isNear(nearest, name) ? { hint: `Did you mean "${nearest}"?` } : {}),
  });
}

/** Of a short name half may differ: "run" is no slip for "groups". */
function isNear(a: string, b: string): boolean {
  return distance(a, b) <= Math.min(5, Math.max(a.length, b.length) / 2);
}

/** Levenshtein 1966: how many letters to insert, delete or replace. */
function distance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [row, letter] of a.split("").entries()) {
    const current = [row + 1];
    for (const [column, other] of b.split("").entries()) {
      current.push(
        Math.min(
          (current[column] ?? 0) + 1,
          (previous[column + 1] ?? 0) + 1,
          (previous[column] ?? 0) + (letter === other ? 0 : 1),
        ),
      );
    }
    previous = current;
  }
  return previous[b.length] ?? 0;
}
