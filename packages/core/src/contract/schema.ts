import type { StandardSchemaV1 } from "@standard-schema/spec";
import { DefinitionError } from "../errors/config.ts";
import { InvalidInputError } from "../errors/routing.ts";
import { nameOf, type What } from "./what.ts";

/** Any Standard Schema: zod, valibot, arktype and others. */
export type Schema<In = unknown, Out = In> = StandardSchemaV1<In, Out>;

/** The schemas of a definition. */
export interface DefinedSchemas {
  readonly input?: StandardSchemaV1 | undefined;
  readonly output?: StandardSchemaV1 | undefined;
}

/** @param of what is defined with it: "The input of an rpc" @throws {DefinitionError} it is there, and is no Standard Schema */
export function checkSchema(of: string, schema: unknown): void {
  if (schema === undefined) return;
  const { "~standard": standard } = (schema ?? {}) as {
    readonly "~standard"?: { readonly validate?: unknown };
  };
  if (typeof standard?.validate === "function") return;
  throw new DefinitionError(
    `${of} is given what is no Standard Schema: it has no "~standard" to validate with. Give it a schema of zod 3.24, ` +
      "valibot 1, arktype 2 or later, or leave it out and give the types as type arguments.",
  );
}

/** The carrier of a schema's types alone: held against all of StandardSchemaV1, an arktype is too deep for TypeScript 5 and 6. */
interface Carrier<Types> {
  readonly "~standard": { readonly types?: Types | undefined };
}

/** What passes into a schema: the side before it is parsed. Of one whose type is `any` it is that. */
export type SchemaInput<S> = 0 extends 1 & S
  ? S
  : S extends Carrier<{ readonly input: infer In }>
    ? In
    : void;

/** What comes out of a schema once it is parsed. */
export type SchemaOutput<S> = 0 extends 1 & S
  ? S
  : S extends Carrier<{ readonly output: infer Out }>
    ? Out
    : void;

/** How long a schema is waited for that does not answer at once. */
export interface PendingSchema {
  /** Settles as `pending` does, or rejects before that. */
  until<Result>(pending: PromiseLike<Result>): Promise<Result>;
}

/**
 * Parses what came; without a schema it is what it is. A promise only where there is a schema.
 *
 * @param what names it, for the error: "The input of ...", "The reply of ..."
 * @param wait not given: a schema is waited for as long as it takes
 * @throws {InvalidInputError} says so, and the issues
 */
export function parse(
  schema: StandardSchemaV1 | undefined,
  value: unknown,
  what: What,
  wait?: PendingSchema,
): unknown {
  return schema === undefined ? value : validate(schema, value, nameOf(what), wait);
}

async function validate(
  schema: StandardSchemaV1,
  value: unknown,
  what: string,
  wait: PendingSchema | undefined,
): Promise<unknown> {
  let result = schema["~standard"].validate(value);
  // A promise of any library: taken for a result, it would have no issues.
  if ("then" in result) result = await (wait === undefined ? result : wait.until(result));
  if (result.issues !== undefined) throw new InvalidInputError({ what, issues: result.issues });
  return result.value;
}
