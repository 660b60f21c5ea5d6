// Every scenario under so many seeds, on all cores, or for so many minutes at the most. Ends with code 1 where a seed breaks a
// rule, which it makes smaller and prints.

import { fork, type ChildProcess } from "node:child_process";
import { availableParallelism } from "node:os";
import { readOptions, refuse } from "../command-line.ts";
import { SCENARIOS } from "./scenarios.ts";
import type { Answer, Task } from "./worker.ts";

/** Seeds that a worker runs at once: few enough to see how far it is, and to stop soon. */
const SEEDS_OF_TASK = 25;
const SHOWN_EVERY_MS = 30_000;

const USAGE = "npm run simulate -- [--seeds 10000] [--scenario counters] [--from 1] [--minutes 30]";

const { values } = readOptions(USAGE, {
  options: {
    seeds: { type: "string", default: "1000" },
    scenario: { type: "string" },
    from: { type: "string", default: "1" },
    minutes: { type: "string" },
  },
});
const seeds = Number(values.seeds);
const from = Number(values.from);
const minutes = Number(values.minutes ?? Infinity);
const names = SCENARIOS.map(({ name }) => name).filter(
  (name) => values.scenario === undefined || name === values.scenario,
);
if (!(Number.isInteger(seeds) && seeds > 0 && Number.isInteger(from) && from >= 0 && minutes > 0))
  refuse(
    USAGE,
    "--seeds takes a whole number of 1 or more, --from one of 0 or more, --minutes a number over 0.",
  );
if (names.length === 0)
  refuse(USAGE, `--scenario takes one of ${SCENARIOS.map(({ name }) => name).join(", ")}.`);

interface Tally {
  seeds: number;
  /** Of the workers that ran it, together. */
  seconds: number;
  readonly violations: string[];
}

const tallies = new Map(
  names.map((name): [string, Tally] => [name, { seeds: 0, seconds: 0, violations: [] }]),
);
const tasks: Task[] = [];
// The same seeds of every scenario come before the next ones, so that a run that is stopped has seen something of each.
for (let done = 0; done < seeds; done += SEEDS_OF_TASK)
  for (const scenario of names)
    tasks.push({ scenario, from: from + done, seeds: Math.min(SEEDS_OF_TASK, seeds - done) });
const began = performance.now();
const workers = Math.min(availableParallelism(), tasks.length);
let shownAt = began;

console.log(`${names.join(", ")}: ${seeds} seeds each from ${from} on, ${workers} workers`);
await Promise.all(Array.from({ length: workers }, work));
show();
process.exitCode = [...tallies.values()].some(({ violations }) => violations.length > 0) ? 1 : 0;

/** Has one worker do tasks until there are none, or time is up. A scenario that broke a rule is left alone from then on. */
async function work(): Promise<void> {
  const worker = fork(new URL("worker.ts", import.meta.url), {
    execArgv: ["--conditions=@holdfast/source"],
  });
  for (let task = tasks.shift(); task !== undefined; task = tasks.shift()) {
    if (performance.now() - began > minutes * 60_000) break;
    const tally = tallies.get(task.scenario);
    if (tally === undefined || tally.violations.length > 0) continue;
    const answer = await ask(worker, task);
    tally.seeds += answer.seeds;
    tally.seconds += answer.seconds;
    if (answer.violation !== null) {
      tally.violations.push(answer.violation);
      console.error(`\n${answer.violation}`);
    }
    if (!worker.connected) break;
    if (performance.now() - shownAt < SHOWN_EVERY_MS) continue;
    shownAt = performance.now();
    show();
  }
  if (worker.connected) worker.disconnect();
}

function show(): void {
  console.log(`\nafter ${((performance.now() - began) / 1_000).toFixed(0)} s:`);
  for (const [name, { seeds: done, seconds, violations }] of tallies) {
    const rate = seconds === 0 ? "" : `, ${(done / seconds).toFixed(1)} seeds/s of a worker`;
    console.log(`  ${name}: ${done} seeds, ${violations.length} violations${rate}`);
  }
}

function ask(worker: ChildProcess, task: Task): Promise<Answer> {
  return new Promise((resolve) => {
    const ended = (code: number | null): void =>
      resolve({
        seeds: 0,
        seconds: 0,
        violation: `A worker ended with code ${code}: ${JSON.stringify(task)}`,
      });
    worker.once("exit", ended);
    worker.once("message", (answer) => {
      worker.off("exit", ended);
      resolve(answer as Answer);
    });
    worker.send(task);
  });
}
