// The mutation check: plants each bug of the list in turn in a copy of the sources, and counts the seeds after which the
// simulation finds it.
//
// `--only` takes a part of a bug's name. `--scenario` tries this scenario instead of those of the list, and may be given
// often. Prints a table in Markdown; ends with 1 if a bug is not found, or something is found without one.

import { readOptions, refuse } from "../../command-line.ts";
import { hunt, type Finding } from "./hunter.ts";
import { checkBug, firstSeed, median, type Checked } from "./mutation-check.ts";
import type { PlantedBug } from "./planted-bug.ts";
import { PLANTED_BUGS } from "./planted-bugs.ts";
import { copyOfRepository, removeCopy } from "./sandbox.ts";

const AT_A_TIME = 2;

const USAGE =
  "npm run mutations -- [--only name] [--seeds 300] [--repeats 3] [--scenario name] [--limit 120]";

const { values } = readOptions(USAGE, {
  options: {
    only: { type: "string", multiple: true },
    seeds: { type: "string", default: "300" },
    repeats: { type: "string", default: "3" },
    scenario: { type: "string", multiple: true },
    limit: { type: "string", default: "120" },
  },
});
const seeds = Number(values.seeds);
const limitMs = Number(values.limit) * 1_000;
const bugs = PLANTED_BUGS.filter(({ name }) => values.only?.some((part) => name.includes(part)) ?? true).map(
  (bug): PlantedBug => ({ ...bug, scenarios: values.scenario ?? bug.scenarios }),
);
if (bugs.length === 0) refuse(USAGE, `No planted bug has "${values.only?.join('" or "')}" in its name.`);

const original = await copyOfRepository();
process.on("SIGINT", () => process.exit(130));
try {
  const options = { original, seeds, repeats: Number(values.repeats), limitMs };
  const scenarios = [...new Set(bugs.flatMap((bug) => bug.scenarios))].toSorted();
  const checked: Checked[] = [];
  const controls = new Map<string, Finding | null>();
  const work = [
    ...scenarios.map((name) => async () => {
      const finding = await hunt({
        folder: original,
        scenarios: [name],
        first: firstSeed(0),
        seeds,
        limitMs,
      });
      controls.set(name, finding);
      process.stderr.write(`without a bug, ${name}: ${finding === null ? "nothing" : told(finding)}\n`);
    }),
    ...bugs.map((bug) => async () => {
      const result = await checkBug(bug, options);
      checked.push(result);
      process.stderr.write(
        `${bug.name}: ${result.took.join(", ")}; ${result.findings.map(told).join("; ")}\n`,
      );
    }),
  ];
  await Promise.all(
    Array.from({ length: AT_A_TIME }, async () => {
      for (let next = work.shift(); next !== undefined; next = work.shift()) await next();
    }),
  );
  process.stdout.write(table(bugs.flatMap((bug) => checked.find((each) => each.bug === bug) ?? [])));
  const strays = [...controls.values(), ...checked.flatMap((each) => each.strays)].filter(
    (finding) => finding !== null,
  );
  process.stdout.write(
    strays.length === 0
      ? `\nWithout a bug, ${seeds} seeds of each scenario find nothing.\n`
      : `\nFound without a bug:\n${strays.map((finding) => `- ${told(finding)}\n`).join("")}`,
  );
  const isMissed = checked.some(({ took }) => median(took) === Number.POSITIVE_INFINITY);
  process.exitCode = isMissed || strays.length > 0 ? 1 : 0;
} finally {
  await removeCopy(original);
}

function table(rows: readonly Checked[]): string {
  const lines = rows.map(({ bug, took, findings }) => {
    const half = median(took);
    const by = [...new Set(findings.map(({ scenario }) => scenario))].join(", ");
    return `| ${bug.name} | ${bug.breaks} | ${by} | ${half === Number.POSITIVE_INFINITY ? "NOT FOUND" : half} |`;
  });
  return ["| planted bug | breaks | found by | seeds (median) |", "|---|---|---|---|", ...lines, ""].join(
    "\n",
  );
}

function told({ scenario, seed, what }: Finding): string {
  return `${scenario}, seed ${seed}: ${what.split("\n")[0]?.slice(0, 160)}`;
}
