// Who may import whom. The rooms of core stand in one order, and each imports only from those before it, types included.

const rooms = [
  "data",
  "errors",
  "contract",
  "adapter",
  "clock",
  "memory",
  "sharding",
  "entity",
  "workflow",
  "singleton",
  "client",
  "define",
  "cluster",
];
const core = "packages/core/src";
const entries = ["index", "adapter", "internal"].map((entry) => `^${core}/${entry}[.]ts$`);

module.exports = {
  forbidden: [
    { name: "no-circles", severity: "error", from: {}, to: { circular: true } },
    {
      name: "resolvable",
      comment: "an import that cannot be found is an import that no rule sees",
      severity: "error",
      from: { path: "^packages/[^/]+/src/" },
      to: { couldNotResolve: true },
    },
    ...rooms.map((room, index) => ({
      name: `room-${room}`,
      comment: `${room} imports only from rooms before it`,
      severity: "error",
      from: { path: `^${core}/${room}/`, pathNot: "[.]test(-d)?[.]ts$" },
      to: { path: [...rooms.slice(index + 1).map((later) => `^${core}/${later}/`), ...entries] },
    })),
    {
      name: "room-errors-takes-types",
      comment: "of data, errors takes the types alone",
      severity: "error",
      from: { path: `^${core}/errors/`, pathNot: "[.]test(-d)?[.]ts$" },
      to: { path: `^${core}/data/`, dependencyTypesNot: ["type-only", "type-import"] },
    },
    {
      name: "room-unknown",
      comment: "a new room takes its place in the list of this file",
      severity: "error",
      from: { path: `^${core}/[^/]+/`, pathNot: `^${core}/(${rooms.join("|")})/` },
      to: {},
    },
    {
      name: "core-stands-alone",
      comment: "no adapter, no database client, no socket",
      severity: "error",
      from: { path: `^${core}/`, pathNot: "[.]test(-d)?[.]ts$" },
      to: {
        path: [
          "^packages/(?!core/)",
          "node_modules/(@holdfast/|pg/|postgres/|@electric-sql/|etcd3/|ioredis/|redis/|@grpc/|nats/|@nats-io/|vitest/)",
          "^(node:)?(net|tls|http|https|http2|dgram|dns)$",
        ],
      },
    },
    {
      name: "adapters-import-the-adapter-entry-only",
      severity: "error",
      from: { path: "^packages/(storage|runners|transport)-[^/]+/src/" },
      to: { path: `^${core}/`, pathNot: `^${core}/adapter[.]ts$` },
    },
    {
      name: "adapters-stand-apart",
      severity: "error",
      from: { path: "^packages/((?:storage|runners|transport)-[^/]+)/" },
      to: { path: "^packages/(?:storage|runners|transport)-", pathNot: "^packages/$1/" },
    },
    {
      name: "internal-is-for-testing",
      severity: "error",
      from: { path: "^packages/", pathNot: "^packages/(testing|core)/|^packages/[^/]+/test/" },
      to: { path: `^${core}/internal[.]ts$` },
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    exclude: { path: "(^|/)dist/" },
    doNotFollow: { path: "node_modules" },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["@holdfast/source", "import", "node", "default", "types"],
      extensions: [".ts", ".js", ".json"],
    },
  },
};
