// Random workflow programs, each of which crashes before and after each of its writes and at other places, until `--count` of
// them have come to the same end every time. Uses all cores.
// Ends with code 1 at the first that does not, which it shrinks and prints. `--places all` is every place at which a program
// may crash.

import { fork, type ChildProcess } from "node:child_process";
import { availableParallelism } from "node:os";
import { MOST_PLACES } from "../../packages/core/test/check-programs.ts";
import { readOptions, refuse } from "../command-line.ts";
import type { Answer, Task } from "./worker.ts";

/** Programs that a worker checks at once: few enough to see how far it is, and to stop soon. */
const PROGRAMS_OF_TASK = 250;

const USAGE = "npm run programs -- [--count 50000] [--seed 7] [--places 16 | all]";

const { values } = readOptions(USAGE, {
  options: {
    count: { type: "string", default: "2000" },
    seed: { type: "string" },
    places: { type: "string", default: String(MOST_PLACES) },
  },
});
const count = Number(values.count);
const seed = Number(values.seed ?? Date.now() % 1_000_000);
const mostPlaces = values.places === "all" ? Number.MAX_SAFE_INTEGER : Number(values.places);
if (![count, seed, mostPlaces].every((value) => Number.isSafeInteger(value) && value >= 0))
  refuse(USAGE, '--count, --seed and --places take whole numbers, --places also "all".');

const tasks: Task[] = [];
for (let done = 0; done < count; done += PROGRAMS_OF_TASK) {
  // Far apart, so that no two commands check the same programs.
  const seedOfTask = (seed * 1_000_003 + tasks.length) % 2 ** 31;
  tasks.push({ seed: seedOfTask, count: Math.min(PROGRAMS_OF_TASK, count - done), mostPlaces });
}
const total = { programs: 0, left: 0, runs: 0 };
let failure: string | null = null;
const began = performance.now();
const seconds = (): string => ((performance.now() - began) / 1_000).toFixed(1);
let shownAt = began;

console.log(`seed ${seed}, ${availableParallelism()} workers`);
await Promise.all(Array.from({ length: Math.min(availableParallelism(), tasks.length) }, work));
console.log(
  `${total.programs} programs, ${total.runs} runs, ${seconds()} s; ${total.left} more were no fair demand: two things happened at one moment`,
);
if (failure !== null) console.error(failure);
process.exitCode = failure === null ? 0 : 1;

/** Has one worker do tasks until there are none. */
async function work(): Promise<void> {
  const worker = fork(new URL("worker.ts", import.meta.url), {
    execArgv: ["--conditions=@holdfast/source"],
  });
  for (let task = tasks.shift(); task !== undefined && failure === null; task = tasks.shift()) {
    const answer = await ask(worker, task);
    if (answer.type === "failed") {
      failure ??= `seed ${seed}, its part ${task.seed}:\n${answer.text}`;
      break;
    }
    total.programs += answer.programs;
    total.left += answer.left;
    total.runs += answer.runs;
    if (performance.now() - shownAt < 30_000) continue;
    shownAt = performance.now();
    console.log(`${total.programs} programs, ${total.runs} runs, ${seconds()} s`);
  }
  worker.disconnect();
}

function ask(worker: ChildProcess, task: Task): Promise<Answer> {
  return new Promise((resolve) => {
    const ended = (code: number | null): void =>
      resolve({ type: "failed", text: `a worker ended with code ${code}` });
    worker.once("exit", ended);
    worker.once("message", (answer) => {
      worker.off("exit", ended);
      resolve(answer as Answer);
    });
    worker.send(task);
  });
}
