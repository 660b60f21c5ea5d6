import type { CronDefinition } from "../define/cron.ts";
import type { EntityImplementation } from "../define/entity.ts";
import type { SingletonDefinition } from "../define/singleton.ts";
import type { WorkflowImplementation } from "../define/workflow.ts";
import { DefinitionError } from "../errors/config.ts";

/** What `register` takes. */
export type Registration =
  | EntityImplementation
  | WorkflowImplementation
  | SingletonDefinition
  | CronDefinition;

/** @throws {DefinitionError} two of one kind have one name, or something is no implementation */
export function checkRegistrations(registrations: readonly Registration[]): void {
  const seen = new Set<string>();
  for (const registration of registrations) {
    const kind: unknown =
      typeof registration === "object" && registration !== null ? registration.kind : undefined;
    if (kind === "entity-definition" || kind === "workflow-definition") {
      throw new DefinitionError(
        `register got the definition "${nameOf(registration)}" and not its implementation: pass what implement() returns.`,
      );
    }
    if (kind !== "entity" && kind !== "workflow" && kind !== "singleton" && kind !== "cron") {
      throw new DefinitionError(
        "register takes what implement(), defineSingleton() and defineCron() return.",
      );
    }
    const key = describeRegistration(registration);
    if (seen.has(key)) throw new DefinitionError(`The ${key} is registered twice.`);
    seen.add(key);
  }
}

/** The entity types, hidden ones included, that these serve. */
export function entityTypesOf(registrations: readonly Registration[]): readonly string[] {
  return registrations.flatMap((registration) => {
    switch (registration.kind) {
      case "entity":
        return [registration.contract.name];
      case "workflow":
        return [registration.entityType];
      case "cron":
        return [`cron:${registration.name}`];
      case "singleton":
        return [];
    }
  });
}

/** What belongs to each shard group of these. */
export function byShardGroup(
  registrations: readonly Registration[],
): ReadonlyMap<string, readonly Registration[]> {
  return Map.groupBy(registrations, shardGroupOf);
}

/** For people: `cron "cleanup"`. */
export function describeRegistration(registration: Registration): string {
  return `${registration.kind} "${nameOf(registration)}"`;
}

function shardGroupOf(registration: Registration): string {
  switch (registration.kind) {
    case "entity":
      return registration.contract.shardGroup;
    case "workflow":
      return registration.contract.entity.shardGroup;
    case "cron":
    case "singleton":
      return registration.shardGroup;
  }
}

function nameOf(registration: Registration): string {
  return "contract" in registration ? registration.contract.name : registration.name;
}
