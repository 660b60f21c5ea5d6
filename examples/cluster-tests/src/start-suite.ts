import { ChildProgram } from "@holdfast/example-cluster/child-program.ts";
import { startBackends, type GivenBackends } from "@holdfast/example-cluster/backends.ts";
import { Fleet } from "@holdfast/example-cluster/fleet.ts";
import { openServer } from "@holdfast/example-orders/server-database.ts";
import { prepareTables, storageUrlAt } from "./database.ts";

/** The suite as it runs. */
export interface Suite {
  /** Of the HTTP front. */
  readonly url: string;
  readonly fleet: Fleet;
  /** How the services were found, for people. */
  readonly how: string;
}

export interface SuiteOptions extends GivenBackends {
  /** Called with what runners print, and with who comes and goes. */
  readonly told: (event: string) => void;
}

/** Starts the services that are not given, three runner processes, and the front in one of its own. `ending` ends them. */
export async function startSuite(
  ending: AsyncDisposableStack,
  { told, ...given }: SuiteOptions,
): Promise<Suite> {
  const { env, databaseUrl, how } = await startBackends(ending, given, storageUrlAt);
  const { database, close } = openServer(databaseUrl);
  await prepareTables(database);
  await close();
  const fleet = new Fleet({ program: new URL("runner.ts", import.meta.url), env, told });
  ending.defer(() => fleet.stop());
  const runners = ["node1", "node2", "node3"].map((name) => fleet.add(name));
  await Promise.all(runners.map(({ ready }) => ready));
  const front = new ChildProgram({
    name: "front",
    program: new URL("front.ts", import.meta.url),
    env,
    printed: (line) => told(`front: ${line}`),
  });
  // Before the runners, so that it does not wait for shards that nobody has any more.
  ending.defer(() => front.stop());
  return { url: await front.ready, fleet, how };
}
