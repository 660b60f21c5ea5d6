import type { ExecutionQuery } from "../adapter/workflow-storage.ts";
import { timeOf } from "../contract/date.ts";
import { checkOptionNames, type OptionNames } from "../contract/option-names.ts";
import { decodePayload } from "../contract/payload.ts";
import { checkWholeNumber } from "../contract/whole-number.ts";
import { EXECUTE, type AnyWorkflowContract } from "../contract/workflow-contract.ts";
import type { AttributeValue, ExecutionRecord, ExecutionStatus } from "../data/execution-record.ts";
import { timeOfRequestId } from "../data/request-id.ts";
import { ConfigError } from "../errors/config.ts";
import type { ExecutionAccess } from "./execution-access.ts";

/** What `list` is asked for: executions to which all of it applies. */
export interface ExecutionFilter {
  readonly status?: ExecutionStatus;
  /** Started at this time or later. */
  readonly startedAfter?: Date;
  /** Started before this time. */
  readonly startedBefore?: Date;
  /** As `ctx.setAttributes` set them, each with this very value. */
  readonly attributes?: Readonly<Record<string, AttributeValue>>;
  /** At most so many; default: all. */
  readonly limit?: number;
}

/** What is known of an execution without its journal. */
export interface ExecutionSummary<Input = unknown> {
  readonly executionId: string;
  /** The workflow's name. */
  readonly workflow: string;
  readonly status: ExecutionStatus;
  /** What it was started with. */
  readonly input: Input;
  readonly attributes: Readonly<Record<string, AttributeValue>>;
  readonly startedAt: Date;
  /** When it ended; absent while it goes on. */
  readonly endedAt?: Date;
}

const FILTER_NAMES: OptionNames<ExecutionFilter> = {
  status: true,
  startedAfter: true,
  startedBefore: true,
  attributes: true,
  limit: true,
};
const FIRST_PAGE = 10;
const LARGEST_PAGE = 100;
/** What a page of inputs is to take at most, in characters, as far as the one before tells: it is in memory as a whole. */
const PAGE_SIZE = 8 * 1_024 * 1_024;
const STATUSES: readonly ExecutionStatus[] = [
  "pending",
  "running",
  "suspended",
  "completed",
  "failed",
  "cancelled",
];

/** Reads page after page, as it is asked for more. @throws {ConfigError} */
export async function* listExecutions(
  access: ExecutionAccess,
  contract: AnyWorkflowContract,
  filter: ExecutionFilter = {},
): AsyncGenerator<ExecutionSummary, void, undefined> {
  checkOptionNames(filter, FILTER_NAMES);
  const { status, attributes = {}, limit = Number.POSITIVE_INFINITY } = filter;
  if (status !== undefined && !STATUSES.includes(status))
    throw new ConfigError({ option: "status", got: status, takes: STATUSES.join(", ") });
  if (limit !== Number.POSITIVE_INFINITY) checkWholeNumber(limit, "limit", 0);
  if (typeof attributes !== "object" || attributes === null)
    throw new ConfigError({ option: "attributes", got: attributes, takes: "an object of values by name" });
  for (const [name, value] of Object.entries(attributes))
    if (!["string", "number", "boolean"].includes(typeof value))
      throw new ConfigError({
        option: `attributes.${name}`,
        got: value,
        takes: "a string, a number or a boolean",
      });
  const query: Omit<ExecutionQuery, "after" | "limit"> = {
    ...allOf(contract, access.now()),
    status: status ?? null,
    startedFrom: startOf(filter, "startedAfter"),
    startedBefore: startOf(filter, "startedBefore"),
    attributes,
  };
  let after: string | null = null;
  let most = FIRST_PAGE;
  for (let left = limit; left > 0;) {
    const page = Math.min(most, left);
    const records: readonly ExecutionRecord[] = await access
      .workflows()
      .listExecutions({ ...query, limit: page, after });
    for (const record of records) yield summaryOf(contract, record);
    if (records.length < page) return;
    left -= records.length;
    most = sizeOfNext(records);
    after = records.at(-1)?.envelope.requestId ?? null;
  }
}

/** So many executions as have about the largest size that a page may have, if they are like these. */
function sizeOfNext(records: readonly ExecutionRecord[]): number {
  const largest = records.reduce((size, { envelope }) => Math.max(size, envelope.payload.length), 1);
  return Math.max(1, Math.min(LARGEST_PAGE, Math.floor(PAGE_SIZE / largest)));
}

/** What storage knows of one execution, or null. */
export async function executionRecord(
  access: ExecutionAccess,
  contract: AnyWorkflowContract,
  executionId: string,
): Promise<ExecutionRecord | null> {
  const query = { ...allOf(contract, access.now()), executionId, limit: 1, after: null };
  const [record] = await access.workflows().listExecutions(query);
  return record ?? null;
}

export function summaryOf(contract: AnyWorkflowContract, record: ExecutionRecord): ExecutionSummary {
  const { envelope, status, attributes, endedAt } = record;
  return {
    executionId: envelope.address.entityId,
    workflow: contract.name,
    status,
    input: decodePayload(envelope.payload, `The input of ${contract.name}`),
    attributes,
    startedAt: new Date(timeOfRequestId(envelope.requestId)),
    ...(endedAt === null ? {} : { endedAt: new Date(endedAt) }),
  };
}

function allOf(contract: AnyWorkflowContract, now: number): Omit<ExecutionQuery, "after" | "limit"> {
  return {
    entityType: contract.entity.name,
    tag: EXECUTE,
    executionId: null,
    status: null,
    startedFrom: null,
    startedBefore: null,
    attributes: {},
    now,
  };
}

function startOf(filter: ExecutionFilter, option: "startedAfter" | "startedBefore"): number | null {
  const date = filter[option];
  return date === undefined ? null : timeOf(date, option);
}
