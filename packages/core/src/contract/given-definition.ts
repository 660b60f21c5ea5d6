import { ConfigError } from "../errors/config.ts";

/** What a definition has that the definitions of other kinds have not, and what makes it. */
const KINDS = { entity: ["rpcs", "defineEntity"], workflow: ["entity", "defineWorkflow"] } as const;

/** @throws {ConfigError} a client is asked for of what is no definition of this kind */
export function checkGivenDefinition(kind: keyof typeof KINDS, given: unknown): void {
  const [part, maker] = KINDS[kind];
  const parts = (given ?? {}) as Readonly<Record<string, unknown>>;
  if (parts[part] !== undefined) return;
  throw new ConfigError({
    option: "definition",
    got: parts["contract"] === undefined ? given : "an implementation",
    takes: `what ${maker} made`,
  });
}
