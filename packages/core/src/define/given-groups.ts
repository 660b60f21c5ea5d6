import { DefinitionError } from "../errors/config.ts";

/** @throws {DefinitionError} they are no list of such groups, or one of them is in it twice */
export function checkGivenGroups(to: string, kind: "rpc-group" | "activity-group", groups: unknown): void {
  const what = kind.replace("-", " ");
  if (!Array.isArray(groups))
    throw new DefinitionError(`The ${what}s of ${to} are no list: give it as [...].`);
  const index = groups.findIndex((group) => group?.kind !== kind);
  if (index !== -1) throw new DefinitionError(`What is given to ${to} as ${what} ${index} is none.`);
  const twice = groups.find((group, at) => groups.indexOf(group) !== at);
  if (twice === undefined) return;
  throw new DefinitionError(`The ${what} "${twice.name}" is given to ${to} twice. Give it once.`);
}
