// Who may import whom, types included. Run by `npm run lint:layers`; proved by test/repository/layers.test.ts.

// The rooms of packages/core/src: each imports only from the ones before it.
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

const adapter = "^packages/((?:storage|runners|transport)-[^/]+)/";

/** @type {import("dependency-cruiser").IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: "no-circles",
      comment: "Two files that import each other, types included, are one file or lack a third.",
      severity: "error",
      from: { path: "^packages/" },
      to: { circular: true },
    },
    ...rooms.slice(0, -1).map((room, place) => ({
      name: `room-${room}`,
      comment: `Rooms that come after ${room} are not there for it.`,
      severity: "error",
      from: { path: `^packages/core/src/${room}/` },
      to: { path: `^packages/core/src/(${rooms.slice(place + 1).join("|")})/` },
    })),
    {
      name: "room-errors-takes-types-alone",
      comment: "Of data, errors take the types alone.",
      severity: "error",
      from: { path: "^packages/core/src/errors/", pathNot: "\\.test\\.ts$" },
      to: { path: "^packages/core/src/data/", dependencyTypesNot: ["type-only", "type-import"] },
    },
    {
      name: "room-unknown",
      comment: "A new room takes its place in the list of this file.",
      severity: "error",
      from: { path: "^packages/core/src/[^/]+/", pathNot: `^packages/core/src/(${rooms.join("|")})/` },
      to: {},
    },
    {
      name: "rooms-not-through-the-door",
      comment: "index.ts, adapter.ts and internal.ts are for those outside.",
      severity: "error",
      from: { path: "^packages/core/src/[^/]+/" },
      to: { path: ["^packages/core/src/[^/]+$", "^@holdfast/core"] },
    },
    {
      name: "core-alone",
      comment: "Core imports no other package of ours, its tests neither.",
      severity: "error",
      from: { path: "^packages/core/" },
      to: { path: ["^packages/(?!core/)", "^@holdfast/(?!core(/|$))"] },
    },
    {
      name: "adapter-by-its-door",
      comment: "Of ours, an adapter imports @holdfast/core/adapter alone.",
      severity: "error",
      from: { path: `${adapter}src/` },
      to: {
        path: ["^packages/", "^@holdfast/"],
        pathNot: [
          "^packages/$1/",
          "^packages/core/(src|dist)/adapter\\.(ts|js|d\\.ts)$",
          "^@holdfast/core/adapter$",
        ],
      },
    },
    {
      name: "adapters-apart",
      comment: "An adapter knows no other, its tests neither.",
      severity: "error",
      from: { path: adapter },
      to: {
        path: ["^packages/(storage|runners|transport)-", "^@holdfast/(storage|runners|transport)-"],
        pathNot: ["^packages/$1/", "^@holdfast/$1(/|$)"],
      },
    },
    {
      name: "internal-for-testing",
      comment: "@holdfast/core/internal is outside of semver: packages/testing is released together with it.",
      severity: "error",
      from: { pathNot: ["^packages/testing/", "^packages/core/"] },
      to: { path: ["^packages/core/(src|dist)/internal\\.(ts|js|d\\.ts)$", "^@holdfast/core/internal$"] },
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    doNotFollow: { path: "node_modules" },
    exclude: { path: "(^|/)(dist|coverage)/" },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["@holdfast/source", "import", "types", "node", "default"],
      extensions: [".ts", ".js", ".json"],
    },
  },
};
