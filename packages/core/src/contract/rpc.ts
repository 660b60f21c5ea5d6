import type { StandardSchemaV1 } from "@standard-schema/spec";
import { ConfigError, DefinitionError } from "../errors/config.ts";
import { checkBoolean } from "./boolean.ts";
import { checkErrorClasses } from "./error-classes.ts";
import { checkKey } from "./key.ts";
import { checkOptionNames, type OptionNames } from "./option-names.ts";
import { checkSchema, type DefinedSchemas, type SchemaInput, type SchemaOutput } from "./schema.ts";

/** Who may call an rpc: everybody, or only handlers, activities and workflows. */
export type Visibility = "public" | "protected";

/** A class of errors, abstract or not. */
// oxlint-disable-next-line no-explicit-any -- a class with any constructor
export type ErrorClass = abstract new (...args: any[]) => Error;

/** The types of one rpc. A caller's side and a handler's side differ where a schema transforms. */
export interface RpcTypes {
  callerInput: unknown;
  handlerInput: unknown;
  handlerOutput: unknown;
  callerOutput: unknown;
  stream: boolean;
  visibility: Visibility;
}

/** One request that an entity answers. Made by `rpc()`; read by clients and by dispatch. */
export interface Rpc<T extends RpcTypes = RpcTypes> {
  readonly kind: "rpc";
  readonly input: StandardSchemaV1 | undefined;
  readonly output: StandardSchemaV1 | undefined;
  readonly persisted: boolean;
  readonly stream: boolean;
  readonly visibility: Visibility;
  readonly uninterruptible: boolean;
  /** The deduplication key of an input, or undefined where each call is a request of its own. */
  readonly primaryKey: ((input: never) => string) | undefined;
  readonly errors: readonly ErrorClass[];
  /** Never set: carries the types to clients and handlers. */
  readonly types?: T;
}

/** An rpc, whatever its types. */
// oxlint-disable-next-line no-explicit-any -- any rpc at all; `unknown` would not be assignable both ways
export type AnyRpc = Rpc<any>;
/** Rpcs, by name. */
export type AnyRpcs = Readonly<Record<string, AnyRpc>>;

type TypesOf<R extends AnyRpc> = NonNullable<R["types"]>;

/** What a caller passes: the schema's input side, before it is parsed. */
export type RpcInput<R extends AnyRpc> = TypesOf<R>["callerInput"];
/** What a caller gets: the schema's output side; of a streaming rpc, one element. */
export type RpcOutput<R extends AnyRpc> = TypesOf<R>["callerOutput"];
/** What a handler is given: the parsed input. */
export type RpcHandlerInput<R extends AnyRpc> = TypesOf<R>["handlerInput"];
/** What a handler returns, or yields. */
export type RpcHandlerOutput<R extends AnyRpc> = TypesOf<R>["handlerOutput"];
export type IsStream<R extends AnyRpc> = [TypesOf<R>["stream"]] extends [true] ? true : false;
export type IsProtected<R extends AnyRpc> = [TypesOf<R>["visibility"]] extends ["protected"] ? true : false;

/** The options of `rpc()` besides its schemas. */
export interface RpcOptions<HandlerInput> {
  /**
   * At-least-once, with the reply kept: an accepted request survives crashes, and a repeated one gets the recorded
   * reply. Default false: at most once.
   */
  readonly persisted?: boolean;
  /** Takes the deduplication key out of the parsed input. For persisted rpcs. */
  readonly primaryKey?: (input: HandlerInput) => string;
  /** Goes on although its caller left, timed out or aborted. Default false. */
  readonly uninterruptible?: boolean;
  /** Classes that arrive at the caller as themselves when the handler throws them, and not as RemoteError. */
  readonly errors?: readonly ErrorClass[];
}

interface Flags<S extends boolean, V extends Visibility> {
  /** The handler is an async generator, and the caller gets an async iterable. Default false. */
  readonly stream?: S;
  /** Default `"public"`. `"protected"` rpcs are on `ctx.entity()` only. */
  readonly visibility?: V;
}

type AnyRpcOptions = DefinedSchemas & RpcOptions<never> & Flags<boolean, Visibility>;

const OPTION_NAMES: OptionNames<AnyRpcOptions> = {
  input: true,
  output: true,
  persisted: true,
  stream: true,
  visibility: true,
  uninterruptible: true,
  primaryKey: true,
  errors: true,
};

/** Defines one request that an entity answers. Types come from the schemas; without one they are void. */
export function rpc<
  I extends StandardSchemaV1 | undefined = undefined,
  O extends StandardSchemaV1 | undefined = undefined,
  const S extends boolean = false,
  const V extends Visibility = "public",
>(
  options?: { readonly input?: I; readonly output?: O } & RpcOptions<SchemaOutput<I>> & Flags<S, V>,
): Rpc<{
  callerInput: SchemaInput<I>;
  handlerInput: SchemaOutput<I>;
  handlerOutput: SchemaInput<O>;
  callerOutput: SchemaOutput<O>;
  stream: S;
  visibility: V;
}>;
/** Types given as type arguments, nothing checked at run time: `rpc<{ to: string }, void>({ persisted: true })`. */
export function rpc<In, Out>(
  options: RpcOptions<In> & { readonly stream: true; readonly visibility: "protected" },
): Rpc<{
  callerInput: In;
  handlerInput: In;
  handlerOutput: Out;
  callerOutput: Out;
  stream: true;
  visibility: "protected";
}>;
export function rpc<In, Out>(
  options: RpcOptions<In> & { readonly visibility: "protected"; readonly stream?: false },
): Rpc<{
  callerInput: In;
  handlerInput: In;
  handlerOutput: Out;
  callerOutput: Out;
  stream: false;
  visibility: "protected";
}>;
export function rpc<In, Out>(
  options: RpcOptions<In> & { readonly stream: true; readonly visibility?: "public" },
): Rpc<{
  callerInput: In;
  handlerInput: In;
  handlerOutput: Out;
  callerOutput: Out;
  stream: true;
  visibility: "public";
}>;
export function rpc<In, Out>(
  options?: RpcOptions<In> & { readonly stream?: false; readonly visibility?: "public" },
): Rpc<{
  callerInput: In;
  handlerInput: In;
  handlerOutput: Out;
  callerOutput: Out;
  stream: false;
  visibility: "public";
}>;
/** The first again: of a call that fits none, TypeScript shows what the last one says. */
export function rpc<
  I extends StandardSchemaV1 | undefined = undefined,
  O extends StandardSchemaV1 | undefined = undefined,
  const S extends boolean = false,
  const V extends Visibility = "public",
>(
  options?: { readonly input?: I; readonly output?: O } & RpcOptions<SchemaOutput<I>> & Flags<S, V>,
): Rpc<{
  callerInput: SchemaInput<I>;
  handlerInput: SchemaOutput<I>;
  handlerOutput: SchemaInput<O>;
  callerOutput: SchemaOutput<O>;
  stream: S;
  visibility: V;
}>;
export function rpc(options: AnyRpcOptions = {}): AnyRpc {
  checkOptionNames(options, OPTION_NAMES);
  const { visibility = "public" } = options;
  checkSchema("The input of an rpc", options.input);
  checkSchema("The output of an rpc", options.output);
  // Whatever is not "protected" can be called by everybody.
  if (visibility !== "public" && visibility !== "protected")
    throw new ConfigError({ option: "visibility", got: visibility, takes: '"public" or "protected"' });
  for (const option of ["persisted", "stream", "uninterruptible"] as const)
    checkBoolean(options[option] ?? false, option);
  if (typeof (options.primaryKey ?? primaryKeyOf) !== "function")
    throw new ConfigError({
      option: "primaryKey",
      got: options.primaryKey,
      takes: "a function of the input",
    });
  checkErrorClasses(options.errors ?? [], "errors", "OutOfStock");
  if (options.primaryKey !== undefined && options.persisted !== true) {
    throw new DefinitionError(
      "An rpc with a primaryKey must be persisted: without its record there is nothing to compare the key with. Set persisted: true.",
    );
  }
  return Object.freeze({
    kind: "rpc",
    input: options.input,
    output: options.output,
    persisted: options.persisted ?? false,
    stream: options.stream ?? false,
    visibility,
    uninterruptible: options.uninterruptible ?? false,
    primaryKey: options.primaryKey,
    errors: options.errors ?? [],
  } satisfies AnyRpc);
}

/** The deduplication key of a parsed input; null where the rpc takes none out of it. @throws {ConfigError} it is no key */
export function primaryKeyOf(of: Pick<AnyRpc, "primaryKey"> | undefined, input: unknown): string | null {
  return of?.primaryKey === undefined ? null : checkKey(of.primaryKey(input as never), "primaryKey");
}
