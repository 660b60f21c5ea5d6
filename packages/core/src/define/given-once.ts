import { DefinitionError } from "../errors/config.ts";

/** @throws {DefinitionError} one of the groups is in the list twice */
export function checkGivenOnce(
  to: string,
  kind: "rpc group" | "activity group",
  groups: readonly { readonly name: string }[],
): void {
  const twice = groups.find((group, index) => groups.indexOf(group) !== index);
  if (twice === undefined) return;
  throw new DefinitionError(`The ${kind} "${twice.name}" is given to ${to} twice. Give it once.`);
}
