import type { CronDefinition } from "../define/cron.ts";
import type { DefinitionMistake, EntityImplementation } from "../define/entity.ts";
import type { SingletonDefinition } from "../define/singleton.ts";
import type { WorkflowImplementation } from "../define/workflow.ts";
import { DefinitionError } from "../errors/config.ts";

/** What is registered: what `implement()`, `defineSingleton()` and `defineCron()` return. */
export type Registration =
  | EntityImplementation
  | WorkflowImplementation
  | SingletonDefinition
  | CronDefinition;

/** What `register` takes: registrations. No value has one of the other types: they say in the editor what is wrong. */
export type Registrable =
  | Registration
  | (DefinitionMistake<"This is a definition: register what its implement() returns"> & {
      readonly kind: "entity-definition" | "workflow-definition";
      readonly name: string;
    })
  | (DefinitionMistake<"This is a group: register what implement() of its entity or workflow returns"> & {
      readonly kind: "rpc-group" | "rpc-group-implementation" | "activity-group";
    });

/**
 * The registrations, to be added to others.
 *
 * @throws {DefinitionError} two of one kind have one name, or something is no implementation
 */
export function checkRegistrations(
  registrations: readonly Registrable[],
  others: readonly Registration[],
): readonly Registration[] {
  const seen = new Set(others.map(describeRegistration));
  return registrations.map((registration) => {
    checkRegistration(registration);
    const key = describeRegistration(registration);
    if (seen.has(key)) throw new DefinitionError(`The ${key} is registered twice.`);
    seen.add(key);
    return registration;
  });
}

function checkRegistration(
  registration: Registrable | null | undefined,
): asserts registration is Registration {
  switch (registration?.kind) {
    case "entity":
    case "workflow":
    case "singleton":
    case "cron":
      return;
    case "entity-definition":
    case "workflow-definition":
      throw new DefinitionError(
        `register got the definition "${registration.name}" and not its implementation: pass what implement() returns.`,
      );
    case "rpc-group":
    case "rpc-group-implementation":
    case "activity-group":
      throw new DefinitionError(
        "register got a group: give it to implement() of the entity or workflow that has it, and pass what that returns.",
      );
    default:
      throw new DefinitionError(
        "register takes what implement(), defineSingleton() and defineCron() return.",
      );
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
