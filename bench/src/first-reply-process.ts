// A process that starts a runner, asks it one thing, and prints when it was where: by the system's monotonic clock, which all
// processes of a machine have in common.

const LIMIT_MS = 60_000;
const began = process.hrtime.bigint();
const [url = "", kind = "", debounce = ""] = process.argv.slice(2);
// Whoever started it may be gone.
setTimeout(() => process.exit(1), LIMIT_MS).unref();
// Imported here, so that what loading takes is seen.
const { createCluster } = await import("@holdfast/core");
const { postgres } = await import("@holdfast/storage-postgres");
const { grpc } = await import("@holdfast/transport-grpc");
const { Echo, echo, PAYLOAD } = await import("./definitions.ts");
const loaded = process.hrtime.bigint();
const cluster = await createCluster({
  storage: postgres({ connectionString: url }),
  transport: grpc(),
  register: [echo],
  ...(debounce === "" ? {} : { shardRebalanceDebounce: Number(debounce) }),
});
await cluster.start();
const started = process.hrtime.bigint();
const entity = cluster.entity(Echo, "one");
await (kind === "persisted" ? entity.persisted(PAYLOAD) : entity.volatile(PAYLOAD));
const moments = { began, loaded, started, replied: process.hrtime.bigint() };
// The next one would wait for the shards of a runner that just went.
await cluster.shutdown();
const told = Object.fromEntries(Object.entries(moments).map(([name, at]) => [name, String(at)]));
process.stdout.write(`${JSON.stringify(told)}\n`, () => process.exit());
