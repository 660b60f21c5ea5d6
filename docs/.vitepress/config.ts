// The site: built from the Markdown files of this folder, offline. A link to a page that is not there fails the build.

import { readdirSync, readFileSync } from "node:fs";
import { defineConfig } from "vitepress";

const guide = [
  { text: "Concepts", link: "/concepts" },
  { text: "Entities", link: "/entities" },
  { text: "Singletons and crons", link: "/singletons-and-crons" },
  { text: "Testing", link: "/testing" },
  { text: "Simulation", link: "/simulation" },
];

const workflows = [
  { text: "Your first workflow", link: "/first-workflow" },
  { text: "Writing workflows", link: "/workflows" },
  { text: "What is deterministic", link: "/determinism" },
  { text: "Transactions", link: "/transactions" },
  { text: "Signals and queries", link: "/signals-and-queries" },
  { text: "Failure and compensation", link: "/compensation" },
  { text: "Changing code", link: "/changing-code" },
  { text: "Operating on executions", link: "/executions" },
];

const backends = [
  { text: "Choosing a backend", link: "/backends" },
  { text: "PostgreSQL", link: "/postgres" },
  { text: "etcd", link: "/etcd" },
  { text: "Redis", link: "/redis" },
  { text: "gRPC", link: "/grpc" },
  { text: "NATS", link: "/nats" },
];

const adapters = [
  { text: "Writing an adapter", link: "/adapters" },
  { text: "A storage", link: "/adapters/storage" },
  { text: "Runners", link: "/adapters/runners" },
  { text: "A transport", link: "/adapters/transport" },
];

const running = [
  { text: "Configuration", link: "/configuration" },
  { text: "Deployment", link: "/deployment" },
  { text: "Operating", link: "/operating" },
  { text: "Failures", link: "/failures" },
  { text: "Errors", link: "/errors" },
];

/** By their numbers, under the titles that they have. */
const decisions = readdirSync(new URL("../decisions", import.meta.url))
  .filter((file) => file.endsWith(".md"))
  .toSorted()
  .map((file) => ({
    text:
      /^# (.*)$/mu.exec(readFileSync(new URL(`../decisions/${file}`, import.meta.url), "utf8"))?.[1] ?? file,
    link: `/decisions/${file.replace(/\.md$/u, "")}`,
  }));

export default defineConfig({
  title: "Holdfast",
  description: "Distributed, stateful systems in plain async TypeScript.",
  lang: "en",
  cleanUrls: false,
  ignoreDeadLinks: false,
  // A file of the repository, not a page.
  srcExclude: ["**/README.md"],
  themeConfig: {
    nav: [
      {
        text: "Guide",
        link: "/concepts",
        activeMatch: "^/(concepts|entities|singletons|testing|simulation)",
      },
      {
        text: "Workflows",
        link: "/workflows",
        activeMatch: `^(${workflows.map(({ link }) => link).join("|")})`,
      },
      {
        text: "Backends",
        link: "/backends",
        activeMatch: "^/(backends|postgres|etcd|redis|grpc|nats|adapters)",
      },
      { text: "Running it", link: "/deployment", activeMatch: "^/(configuration|deployment|operating)" },
      { text: "Failures", link: "/failures", activeMatch: "^/(failures|errors)" },
    ],
    sidebar: [
      { text: "Guide", items: guide },
      { text: "Workflows", items: workflows },
      { text: "Backends", items: backends },
      { text: "Adapters of your own", items: adapters },
      { text: "Running it", items: running },
      { text: "Decisions", items: decisions, collapsed: true },
    ],
    // The index is a file of the site: nothing is asked for elsewhere.
    search: { provider: "local" },
    outline: [2, 3],
  },
});
