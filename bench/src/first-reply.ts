// First reply: how long a process with one runner takes from its start until something is answered.

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { packagesToRun, type Packages } from "./built.ts";
import { BenchServices } from "./services.ts";
import { median, shown, spread } from "./statistics.ts";

/** Milliseconds since the process was asked for. */
export interface FirstReply {
  /** Its first line ran. */
  readonly began: number;
  /** What it imports was there. */
  readonly loaded: number;
  /** Its runner was a member and had its shards. */
  readonly started: number;
  readonly replied: number;
}

export interface FirstReplies {
  readonly what: Packages["what"];
  /** Until a process that does nothing has ended. */
  readonly bare: readonly number[];
  readonly cases: readonly { readonly name: string; readonly runs: readonly FirstReply[] }[];
}

const run = promisify(execFile);
const PROGRAM = fileURLToPath(new URL("first-reply-process.ts", import.meta.url));
const WITHIN_MS = 60_000;
const KINDS = ["persisted", "volatile"] as const;
/** One after the other on one database. */
const CASES: readonly { readonly name: string; readonly args: readonly string[] }[] = [
  { name: "an empty database", args: [] },
  { name: "a database in use", args: [] },
  { name: "the same, shardRebalanceDebounce 0", args: ["0"] },
];

/** Each kind of process takes its turn so often. */
export async function measureFirstReplies(runs: number): Promise<FirstReplies> {
  const packages = packagesToRun(["core", "storage-postgres", "transport-grpc"]);
  const services = new BenchServices();
  try {
    const bare: number[] = [];
    const cases = new Map<string, FirstReply[]>();
    const add = (name: string, reply: FirstReply): void =>
      void cases.set(name, [...(cases.get(name) ?? []), reply]);
    // What is read from the disk for the first time, and the server's own beginning, count for nobody.
    for (let time = -1; time < runs; time += 1) {
      const isCounted = time >= 0;
      const took = await bareProcess();
      if (isCounted) bare.push(took);
      for (const kind of KINDS) {
        const database = await services.open(["postgres"]);
        try {
          for (const { name, args } of CASES) {
            const reply = await firstReply(packages, [database.services.postgres, kind, ...args]);
            if (isCounted) add(`${kind} rpc, ${name}`, reply);
          }
        } finally {
          await database.close();
        }
      }
    }
    return {
      what: packages.what,
      bare,
      cases: [...cases].map(([name, each]) => ({ name, runs: each })),
    };
  } finally {
    await services.stop();
  }
}

async function bareProcess(): Promise<number> {
  const from = performance.now();
  await run(process.execPath, ["-e", "0"], { timeout: WITHIN_MS });
  return performance.now() - from;
}

async function firstReply({ conditions }: Packages, args: readonly string[]): Promise<FirstReply> {
  const from = process.hrtime.bigint();
  const { stdout } = await run(process.execPath, [...conditions, PROGRAM, ...args], { timeout: WITHIN_MS });
  const moments = JSON.parse(stdout) as Readonly<Record<keyof FirstReply, string>>;
  const at = (moment: keyof FirstReply): number => Number(BigInt(moments[moment]) - from) / 1e6;
  return { began: at("began"), loaded: at("loaded"), started: at("started"), replied: at("replied") };
}

/** Prints the table. */
export function reportFirstReplies({ what, bare, cases }: FirstReplies): void {
  console.log(
    `\nFrom the start of a process to its first reply, of ${what}: ms, medians of ${bare.length} runs`,
  );
  console.table({
    "node -e 0, until it has ended": {
      "first line": "",
      "packages loaded": "",
      "runner started": "",
      replied: shown(median(bare)),
      "in the runs": spread(bare),
    },
    ...Object.fromEntries(
      cases.map(({ name, runs }) => {
        const at = (moment: keyof FirstReply): number => shown(median(runs.map((each) => each[moment])));
        return [
          name,
          {
            "first line": at("began"),
            "packages loaded": at("loaded"),
            "runner started": at("started"),
            replied: at("replied"),
            "in the runs": spread(runs.map(({ replied }) => replied)),
          },
        ];
      }),
    ),
  });
}
