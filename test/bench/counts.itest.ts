// What the storage costs at PostgreSQL, as counts: the promise of group commit.

import { expect, it } from "vitest";
import { countAtPostgres, type Counted } from "../../bench/src/counts.ts";
import { debianPostgresFolders, findProgram } from "../services/programs.ts";

const hasPostgres = findProgram("postgres", debianPostgresFolders()) !== undefined;

it.skipIf(!hasPostgres)(
  "at load far less than a statement and a commit for each request and activity; alone one for a request; idle none",
  async () => {
    const counted = new Map((await countAtPostgres(4_000)).map((each) => [each.name, each]));
    const of = (name: string): Omit<Counted, "name"> =>
      counted.get(name) ?? { statements: Number.NaN, commits: Number.NaN, walBytes: Number.NaN };

    expect(of("an idle runner, per second").commits).toBe(0);
    // Stored with its reply, but for the first one: a poll may come between.
    expect(of("persisted rpc, one by one").commits).toBeLessThan(1.1);
    expect(of("persisted rpc, one by one").statements).toBeLessThan(1.5);
    expect(of("persisted rpc, 256 in flight").commits).toBeLessThan(0.2);
    expect(of("persisted rpc, 256 in flight").statements).toBeLessThan(0.2);
    // One for each step, one to accept and one to answer the execution, the last with the last step.
    expect(of("activity, ten in a workflow, one by one").commits).toBeLessThan(1.3);
    expect(of("activity, ten in a workflow, 256 in flight").commits).toBeLessThan(0.2);
    expect(of("activity, ten in a workflow, 256 in flight").statements).toBeLessThan(0.5);
    // Its index entries, its request and its reply beside the row of the journal.
    const bare = of("bare rows of a step, in groups of 256").walBytes;
    expect(of("activity, ten in a workflow, 256 in flight").walBytes / bare).toBeLessThan(2);
    // With SQL of its own: its transaction, and nothing beside it.
    expect(of("activity with SQL, ten in a workflow, one by one").commits).toBeLessThan(1.4);
    expect(of("activity with SQL, ten in a workflow, 256 in flight").commits).toBeLessThan(1.2);
  },
);
