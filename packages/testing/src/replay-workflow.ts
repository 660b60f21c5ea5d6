import type { ExportedJournal, WorkflowImplementation } from "@holdfast/core";
import { ConfigError } from "@holdfast/core/adapter";
import { replayJournal, type ReplayedEnd } from "@holdfast/core/internal";

/** Where the code comes to with a journal. `waiting`: the journal ends before the code does, which would go on from there. */
export type ReplayResult = ReplayedEnd;

/**
 * Runs code over the journal of an execution, as `handle.exportJournal()` gave it, also after it was kept as JSON. Does
 * nothing and records nothing: where the journal ends, the code stops. For a test that holds new code against old
 * executions before it is deployed.
 *
 * @throws {NonDeterminismError} the code asks for another step than the journal holds, or comes to another result than was
 *   recorded
 * @throws {DefinitionError} the code lacks the version that the execution began with
 * @throws {ConfigError} this is no such journal, or another workflow's
 */
export async function replayWorkflow(
  implementation: WorkflowImplementation,
  journal: ExportedJournal,
): Promise<ReplayResult> {
  const format: unknown = (journal as Partial<ExportedJournal> | null)?.format;
  if (format !== "holdfast-journal-1")
    throw new ConfigError({
      option: "journal",
      got: format,
      takes: "what exportJournal() returned, of format holdfast-journal-1",
    });
  const contract = (implementation as Partial<WorkflowImplementation> | null)?.contract;
  if (contract === undefined)
    throw new ConfigError({
      option: "implementation",
      got: implementation,
      takes: "what implement() of a workflow returned",
    });
  const { name } = contract;
  if (journal.workflow !== name)
    throw new ConfigError({ option: "journal", got: journal.workflow, takes: `a journal of ${name}` });
  const { input, entries, inbox } = journal;
  const isWhole =
    Array.isArray(entries) && entries.every(isEntry) && Array.isArray(inbox) && inbox.every(isObject);
  if (typeof input !== "string" || !isWhole)
    throw new ConfigError({
      option: "journal",
      got: "without its input, entries or inbox",
      takes: "all of what exportJournal() returned",
    });
  return replayJournal(implementation, journal);
}

/** What was edited by hand, or is of another file, may be anything. */
function isEntry(entry: unknown): boolean {
  return isObject(entry) && "event" in entry && isObject(entry.event);
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}
