import { checkKey } from "../contract/key.ts";
import { checkOptionNames, type OptionNames } from "../contract/option-names.ts";
import { decodePayload } from "../contract/payload.ts";
import { EXECUTE, FORK_HEADER, type ForkOrigin } from "../contract/workflow-contract.ts";
import { ConfigError } from "../errors/config.ts";
import { forkableUpTo } from "../workflow/fork.ts";
import { recordedRun } from "../workflow/recorded-run.ts";
import type { AddressedExecution } from "./addressed-execution.ts";
import { executionRecord } from "./execution-listing.ts";

/** Options of `fork`. */
export interface ForkOptions {
  /** The position of the first step that is not taken over; 0 takes over none. */
  readonly fromStep: number;
  /** Of the new execution; no execution may have it. Default: one is made. */
  readonly executionId?: string;
}

const OPTION_NAMES: OptionNames<ForkOptions> = { fromStep: true, executionId: true };

/** Starts an execution that takes over steps of another one: `fork()` of its handle. Resolves to its id when it is durable. */
export async function forkExecution(origin: AddressedExecution, options: ForkOptions): Promise<string> {
  checkOptionNames(options, OPTION_NAMES);
  const { fromStep, executionId: chosen } = options;
  const { caller, access, contract, executionId } = origin;
  const { envelope } = await origin.record();
  const { requestId, payload } = envelope;
  const run = recordedRun(await origin.stored());
  const last = forkableUpTo(run);
  if (!Number.isInteger(fromStep) || fromStep < 0 || fromStep > last) {
    const takes = `a step's position, 0 to ${last}${run.cancellation === null ? "" : ": what it did after its cancellation is no part of a fork"}`;
    throw new ConfigError({ option: "fromStep", got: fromStep, takes });
  }
  const forked = chosen === undefined ? access.newId() : checkKey(chosen, "executionId");
  if (chosen !== undefined && (await executionRecord(access, contract, chosen)) !== null)
    throw new ConfigError({ option: "executionId", got: chosen, takes: "an id that no execution has" });
  const from: ForkOrigin = { executionId, requestId, number: run.number, fromStep };
  const input = decodePayload(run.input ?? payload, `The input of ${contract.name}`);
  const target = { ...origin.to(EXECUTE), entityId: forked };
  await caller.notify({ ...target, marks: { [FORK_HEADER]: JSON.stringify(from) } }, input);
  return forked;
}
