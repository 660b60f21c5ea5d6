// Measures what Holdfast costs beside the raw limit, all in one run. See bench/README.md.

import { cpus, loadavg } from "node:os";
import { parseArgs } from "node:util";
import { countAtPostgres, reportCounts } from "./counts.ts";
import { pgliteDatabase, postgresDatabase } from "./databases.ts";
import { durable } from "./durable.ts";
import { natsHop } from "./nats-hop.ts";
import { reportResumptions, resumptions } from "./replays.ts";
import { ROUND_MS, ROUNDS } from "./rounds.ts";
import { measureSleepers, reportSleepers } from "./sleepers.ts";
import { reportSteps, stepCosts } from "./steps.ts";
import { openStore, STORE_KINDS, type Store, type StoreKind } from "./stores.ts";
import { volatileRpc } from "./volatile-rpc.ts";

const { values: given, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    storage: { type: "string" },
    positions: { type: "string", default: "10,1000,10000" },
    window: { type: "string", default: "100" },
    lengths: { type: "string", default: "100,1000,10000" },
    count: { type: "string" },
    within: { type: "string", default: "60" },
    lead: { type: "string" },
  },
});
const [command = "all"] = positionals;

console.log(
  `Node ${process.versions.node}, ${cpus().length} x ${cpus()[0]?.model ?? "unknown"}, load ${loadavg()[0]?.toFixed(1)}`,
);
switch (command) {
  case "all":
    await all();
    break;
  case "counts":
    reportCounts(await countAtPostgres(20_000));
    break;
  case "steps":
    await onEach(STORE_KINDS, async (store) => {
      const rounds = ROUNDS;
      reportSteps(
        store,
        await stepCosts(store, {
          positions: numbers(given.positions),
          window: Number(given.window),
          rounds,
        }),
      );
      reportResumptions(store, await resumptions(store, { lengths: numbers(given.lengths), rounds }));
    });
    break;
  case "sleepers":
    await onEach(["pglite", "postgres"], async (store, kind) => {
      reportSleepers(
        store,
        await measureSleepers(store, {
          // So many take PGlite, whose statements are serial, about as long.
          count: Number(given.count ?? (kind === "pglite" ? 20_000 : 100_000)),
          withinMs: Number(given.within) * 1_000,
          leadMs: given.lead === undefined ? null : Number(given.lead) * 1_000,
        }),
      );
    });
    break;
  case "nats":
    await natsHop();
    break;
  default:
    console.error(
      `There is no "${command}" to measure. Leave it out, or give "counts", "steps", "sleepers" or "nats".`,
    );
    process.exitCode = 1;
}
process.exit();

async function all(): Promise<void> {
  console.log(`${ROUNDS} rounds of ${ROUND_MS} ms`);
  await volatileRpc();
  await durable(await pgliteDatabase("memory"));
  await durable(await pgliteDatabase("folder"));
  try {
    await durable(await postgresDatabase());
  } catch (error) {
    notMeasured("postgres", error);
  }
}

/** Measures on each storage that was asked for, one after the other. */
async function onEach(
  kinds: readonly StoreKind[],
  measure: (store: Store, kind: StoreKind) => Promise<void>,
): Promise<void> {
  const asked = given.storage?.split(",") ?? kinds;
  for (const kind of STORE_KINDS.filter((each) => asked.includes(each))) {
    let store: Store;
    try {
      store = await openStore(kind);
    } catch (error) {
      notMeasured(kind, error);
      continue;
    }
    try {
      await measure(store, kind);
    } finally {
      await store.close();
    }
  }
}

function notMeasured(kind: StoreKind, error: unknown): void {
  console.warn(`${kind} was not measured: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}

function numbers(list: string): readonly number[] {
  return list
    .split(",")
    .map(Number)
    .toSorted((a, b) => a - b);
}
