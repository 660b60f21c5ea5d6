// Three runners behind one HTTP front, until Ctrl-C.

import { endInOrder, WITH_CHILDREN_MS } from "@holdfast/example-cluster/process-end.ts";
import { startSuite } from "./start-suite.ts";

const ending = new AsyncDisposableStack();
const starting = startSuite(ending, {
  postgresUrl: process.env["CLUSTER_POSTGRES_URL"] ?? process.env["TEST_POSTGRES_URL"],
  etcdUrl: process.env["CLUSTER_ETCD_URL"] ?? process.env["TEST_ETCD_URL"],
  told: (event) => console.log(event),
});
endInOrder(async () => {
  // What it has begun by then is ended, too.
  await starting.catch(() => undefined);
  await ending.disposeAsync();
}, WITH_CHILDREN_MS);
const { url, how } = await starting;
console.log(`Three runners behind ${url}; ${how}. Try: curl ${url}/shards`);
