import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { SchemaInput, SchemaOutput } from "../contract/schema.ts";
import type { Query } from "../contract/workflow-contract.ts";

/** Defines a question that an execution answers from its state. Types come from the schemas; without one they are void. */
export function query<
  I extends StandardSchemaV1 | undefined = undefined,
  O extends StandardSchemaV1 | undefined = undefined,
>(options?: { readonly input?: I; readonly output?: O }): Query<SchemaInput<I>, SchemaOutput<O>>;
/** Types given as type arguments, nothing checked at run time: `query<void, number>()`. */
export function query<In, Out>(): Query<In, Out>;
export function query(
  options: {
    readonly input?: StandardSchemaV1 | undefined;
    readonly output?: StandardSchemaV1 | undefined;
  } = {},
): Query {
  return Object.freeze({ kind: "query", input: options.input, output: options.output } satisfies Query);
}
