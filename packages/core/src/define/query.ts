import type { StandardSchemaV1 } from "@standard-schema/spec";
import { checkOptionNames, type OptionNames } from "../contract/option-names.ts";
import { checkSchema, type DefinedSchemas, type SchemaInput, type SchemaOutput } from "../contract/schema.ts";
import type { Query } from "../contract/workflow-contract.ts";

const OPTION_NAMES: OptionNames<DefinedSchemas> = { input: true, output: true };

// NoInfer: within a definition, a schema that is left out would be inferred as any, and a handle take options for the input.
/** Defines a question that an execution answers from its state. Types come from the schemas; without one they are void. */
export function query<
  I extends StandardSchemaV1 | undefined = undefined,
  O extends StandardSchemaV1 | undefined = undefined,
>(options?: {
  readonly input?: I;
  readonly output?: O;
}): Query<
  SchemaInput<NoInfer<I>>,
  SchemaOutput<NoInfer<O>>,
  SchemaOutput<NoInfer<I>>,
  SchemaInput<NoInfer<O>>
>;
/** Types given as type arguments, nothing checked at run time: `query<void, number>()`. */
export function query<In, Out>(): Query<In, Out>;
export function query(options: DefinedSchemas = {}): Query {
  checkOptionNames(options, OPTION_NAMES);
  checkSchema("The input of a query", options.input);
  checkSchema("The output of a query", options.output);
  return Object.freeze({ kind: "query", input: options.input, output: options.output } satisfies Query);
}
