import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { EncodedError } from "../data/encoded-error.ts";
import type { StepKind } from "../data/journal-entry.ts";
import type { EntityContract } from "./entity-contract.ts";
import { rpc, type ErrorClass } from "./rpc.ts";

/** The types of one workflow. A caller's side and the code's side differ where a schema transforms. */
export interface WorkflowTypes {
  callerInput: unknown;
  input: unknown;
  output: unknown;
  callerOutput: unknown;
  signals: SignalSchemas;
  queries: AnyQueries;
}

/** Schemas of signals, by name. */
export type SignalSchemas = Readonly<Record<string, StandardSchemaV1>>;
/** Where the types of a definition are type arguments: its signals have schemas, of which the types do not tell. */
// oxlint-disable-next-line no-explicit-any -- the payload is whatever the schema at run time says it is, as with AnyQueries
export type AnySignals = Readonly<Record<string, StandardSchemaV1<any, any>>>;

/** A question that an execution answers from its state. Made by `query()`. The sides differ where a schema transforms. */
export interface Query<In = unknown, Out = unknown, HandlerIn = In, HandlerOut = Out> {
  readonly kind: "query";
  readonly input: StandardSchemaV1 | undefined;
  readonly output: StandardSchemaV1 | undefined;
  /** Never set: carries the types to handles and implementations. */
  readonly types?: {
    readonly input: In;
    readonly output: Out;
    readonly handlerInput: HandlerIn;
    readonly handlerOutput: HandlerOut;
  };
}

/** A query, whatever its types. */
// oxlint-disable-next-line no-explicit-any -- any query at all
export type AnyQuery = Query<any, any>;
/** Queries, by name. */
export type AnyQueries = Readonly<Record<string, AnyQuery>>;

/** What callers and runners agree on about one workflow. */
export interface WorkflowContract<T extends WorkflowTypes = WorkflowTypes> {
  readonly name: string;
  readonly input: StandardSchemaV1 | undefined;
  readonly output: StandardSchemaV1 | undefined;
  /** By name; null: no names are known, and any signal is taken as it is. */
  readonly signals: SignalSchemas | null;
  readonly queries: AnyQueries;
  /** Names the execution of an input; null: the input itself does. */
  readonly key: ((input: never) => string) | null;
  /** Whether the execution id is a hash of the key, or the key as it is. */
  readonly hashKey: boolean;
  /** How long a finished execution is kept, or null for ever. */
  readonly retentionMs: number | null;
  /** The version of the code that new executions begin with; null: the code has none. */
  readonly version: string | null;
  /** Steps that one journal may have. */
  readonly maxSteps: number;
  /** An execution is an entity of this hidden type, whose id is the execution id. */
  readonly entity: EntityContract;
  /** Never set: carries the types to clients and handlers. */
  readonly types?: T;
}

/** A workflow's contract, whatever its types. */
// oxlint-disable-next-line no-explicit-any -- any workflow at all; `unknown` would not be assignable both ways
export type AnyWorkflowContract = WorkflowContract<any>;

/** The tags of an execution's entity: it is the first one, and the others are what reaches it from outside. */
export const EXECUTE = "execute";
/** A NamedMessage. Each has a deduplication key of its own. */
export const SIGNAL = "signal";
/** The reason. The first one counts. */
export const CANCEL = "cancel";
/** The entity of an execution that waits for this one's end, and is to be woken then. */
export const WATCH = "watch";
/** What the execution waits for may have come. */
export const WAKE = "wake";
/** A NamedMessage: the payload is the input. Answered from the execution's state. */
export const QUERY = "query";
/** What its owner knows of the execution beyond its journal. */
export const INSPECT = "inspect";

/** Which of its requests an execution is, and which stay to be read when it comes into memory. */
export const EXECUTION_TAGS: { readonly execution: string; readonly inbox: readonly string[] } = {
  execution: EXECUTE,
  inbox: [SIGNAL, CANCEL, WATCH],
};

/** The tags of what has to reach the execution in the order in which it was accepted. */
export const QUEUED_TAGS: ReadonlySet<string> = new Set([SIGNAL, CANCEL, WATCH, WAKE]);

/** A signal or a query on its way. */
export interface NamedMessage {
  readonly name: string;
  readonly payload: unknown;
}

/** An execution is cancelled once. What is left of that is none of the next one's that has its id. */
export function cancellationKey(requestId: string): string {
  return `${CANCEL}/${requestId}`;
}

/** An execution of whatever workflow: one that waits for another's end, or is a child of it. */
export interface Watcher {
  readonly entityType: string;
  readonly executionId: string;
  readonly shardGroup: string;
}

/** What `INSPECT` answers. */
export interface Inspection {
  /** Why the execution waits for other code, or null. */
  readonly parked: EncodedError | null;
  /** The steps that its code waits for, if it is in memory. */
  readonly open: readonly OpenStepInfo[];
}

export interface OpenStepInfo {
  readonly position: number;
  readonly kind: StepKind;
  readonly name: string;
  /** Whether it does nothing but wait. */
  readonly isWait: boolean;
}

/** The header of a start that begins with steps of another execution: a ForkOrigin as JSON. */
export const FORK_HEADER = "holdfast-fork";

/** Where a fork's first steps come from. */
export interface ForkOrigin {
  readonly executionId: string;
  /** The request that it is. */
  readonly requestId: string;
  /** How often it had continued as new. */
  readonly number: number;
  /** Steps with lower positions are taken over. */
  readonly fromStep: number;
}

/** So many messages to one execution wait for their turn; more are refused with MailboxFullError. */
const MAX_WAITING_MESSAGES = 10_000;

/** What begins the entity types of workflows, and no other: none can be defined with it. */
const EXECUTION_TYPE_PREFIX = "workflow:";

/** The hidden entity type of a workflow's executions. */
export function executionEntityType(workflow: string): string {
  return `${EXECUTION_TYPE_PREFIX}${workflow}`;
}

/** The tag of the requests that are executions, if the type is a workflow's. An entity may have an rpc of that name. */
export function executionTagOf(entityType: string): string | null {
  return entityType.startsWith(EXECUTION_TYPE_PREFIX) ? EXECUTE : null;
}

/**
 * The entity behind a workflow's executions. EXECUTE has a constant key: whoever starts, executes or joins an
 * execution sends the same request, for ever. It has no schema, since joining needs no input: clients and the execution
 * itself check inputs and outputs.
 */
export function executionContract(
  workflow: string,
  shardGroup: string,
  errors: readonly ErrorClass[],
): EntityContract {
  const message = rpc<unknown, unknown>({ persisted: true, uninterruptible: true });
  return {
    name: executionEntityType(workflow),
    shardGroup,
    maxIdleTimeMs: null,
    mailboxCapacity: MAX_WAITING_MESSAGES,
    concurrency: 0,
    rpcs: {
      [EXECUTE]: rpc<unknown, unknown>({
        persisted: true,
        uninterruptible: true,
        primaryKey: () => EXECUTE,
        visibility: "protected",
        errors,
      }),
      [SIGNAL]: message,
      [CANCEL]: message,
      [WATCH]: message,
      [WAKE]: message,
      [QUERY]: rpc<unknown, unknown>({ errors }),
      [INSPECT]: rpc<unknown, unknown>(),
    },
  };
}

/** The classes of errors that the workflow's definition lists. */
export function errorsOf({ entity }: Pick<AnyWorkflowContract, "entity">): readonly ErrorClass[] {
  return entity.rpcs[EXECUTE]?.errors ?? [];
}

/** Whether its executions take a signal of this name: any, where the definition names none. */
export function hasSignal({ signals }: AnyWorkflowContract, name: string): boolean {
  return signals === null || Object.hasOwn(signals, name);
}
