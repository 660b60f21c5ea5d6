// The pages hold what the code holds: each option with its default, each error, event and number, and links that lead somewhere.

import { existsSync, globSync, readFileSync } from "node:fs";
import * as core from "@holdfast/core";
import ms from "ms";
import { describe, expect, it } from "vitest";
import { runnersFromUrl, storageFromUrl } from "@holdfast/storage-postgres";
import { checkOptions } from "../../packages/core/src/cluster/config.ts";
import { activitySettings } from "../../packages/core/src/define/activity-group.ts";
import {
  checkOptions as etcdSettings,
  optionsFromUrl as etcdOptions,
} from "../../packages/runners-etcd/src/options.ts";
import { checkOptions as redisRunnersSettings } from "../../packages/runners-redis/src/options.ts";
import { optionsFromUrl as redisRunnersOptions } from "../../packages/runners-redis/src/url.ts";
import { pgliteSettings, postgresSettings } from "../../packages/storage-postgres/src/options.ts";
import {
  optionsFromUrl as redisStorageOptions,
  redisSettings as redisStorageSettings,
} from "../../packages/storage-redis/src/options.ts";
import {
  checkOptions as grpcSettings,
  optionsFromUrl as grpcOptions,
} from "../../packages/transport-grpc/src/options.ts";
import { optionsFromUrl as natsOptions } from "../../packages/transport-nats/src/options-url.ts";
import { checkOptions as natsSettings } from "../../packages/transport-nats/src/options.ts";
import { docPages } from "../../scripts/lib/doc-blocks.ts";
import { anchorsOf, linksOf, membersOf, readPage, sectionOf, tableRows, type TableRow } from "./pages.ts";

const PAGES = docPages();
const activities = "packages/core/src/define/activity-group.ts";
const workflow = core.defineWorkflow({ name: "Workflow" });

interface OptionsOfAPage {
  readonly page: string;
  /** The section with the options, by its heading, where a page has several. */
  readonly section?: string;
  readonly sources: readonly { readonly path: string; readonly interfaces: readonly string[] }[];
  /** The defaults as the code has them. A duration is under the option's name and "Ms". */
  readonly settings: Readonly<Record<string, unknown>>;
}

const OPTIONS: readonly OptionsOfAPage[] = [
  {
    page: "docs/configuration.md",
    sources: [{ path: "packages/core/src/cluster/config.ts", interfaces: ["ClusterOptions"] }],
    settings: { ...checkOptions({}) },
  },
  {
    page: "docs/postgres.md",
    sources: [
      {
        path: "packages/storage-postgres/src/options.ts",
        interfaces: ["CommonOptions", "PostgresOptions", "PGliteOptions"],
      },
    ],
    settings: { ...pgliteSettings({}), ...postgresSettings({}) },
  },
  {
    page: "docs/etcd.md",
    sources: [{ path: "packages/runners-etcd/src/options.ts", interfaces: ["EtcdOptions"] }],
    settings: { ...etcdSettings({}) },
  },
  {
    page: "docs/redis.md",
    section: "## Members and leases",
    sources: [{ path: "packages/runners-redis/src/options.ts", interfaces: ["RedisRunnersOptions"] }],
    settings: { ...redisRunnersSettings({}), url: "redis://127.0.0.1:6379", cluster: false },
  },
  {
    page: "docs/redis.md",
    section: "## Storage",
    sources: [{ path: "packages/storage-redis/src/options.ts", interfaces: ["RedisStorageOptions"] }],
    settings: { ...redisStorageSettings({}), onWarning: null },
  },
  {
    page: "docs/grpc.md",
    sources: [{ path: "packages/transport-grpc/src/options.ts", interfaces: ["GrpcOptions"] }],
    settings: { ...grpcSettings({}), listen: "127.0.0.1:0" },
  },
  {
    page: "docs/nats.md",
    sources: [{ path: "packages/transport-nats/src/options.ts", interfaces: ["NatsOptions"] }],
    settings: { ...natsSettings({}) },
  },
  {
    page: "docs/workflows.md",
    sources: [{ path: "packages/core/src/define/workflow.ts", interfaces: ["WorkflowOptions", "Messages"] }],
    settings: {
      hashKey: workflow.hashKey,
      maxSteps: workflow.maxSteps,
      shardGroup: workflow.entity.shardGroup,
    },
  },
  {
    page: "docs/compensation.md",
    sources: [{ path: activities, interfaces: ["ActivityOptions"] }],
    settings: { ...activitySettings({}), nonRetryable: null },
  },
];

describe.each(OPTIONS)("$page", ({ page, section, sources, settings }) => {
  const text = readPage(page);
  const rows = tableRows(section === undefined ? text : sectionOf(text, section)).filter(
    ({ of }) => of === "option",
  );
  const declared = new Map(
    sources.flatMap(({ path, interfaces }) => interfaces.flatMap((name) => [...membersOf(path, name)])),
  );

  it("has a row for each option, once, and for nothing else", () => {
    expect(rows.map(({ name }) => name).toSorted()).toEqual([...declared.keys()].toSorted());
  });

  it.each(rows.filter(({ name }) => isSet(settings[name]) || isSet(settings[`${name}Ms`])))(
    "says the default of $name",
    (row) => {
      expect(defaultOf(row)).toEqual(settings[`${row.name}Ms`] ?? settings[row.name]);
    },
  );
});

describe("the page of errors", () => {
  const rows = tableRows(readPage("docs/errors.md"));
  const sources = globSync("packages/core/src/errors/*.ts").map((path) => readFileSync(path, "utf8"));
  const codes = new Map(
    sources.flatMap((source) =>
      [
        ...source.matchAll(
          /class (\w+) extends HoldfastError[\s\S]*?readonly code(?:: string;| = "(\w+)")/gu,
        ),
      ].map(([, name = "", code]): [string, string | undefined] => [name, code]),
    ),
  );

  it("names each class that the library throws, with its code", () => {
    const exported = Object.entries(core)
      .filter(([, value]) => typeof value === "function" && value.prototype instanceof core.HoldfastError)
      .map(([name]) => name);
    expect(exported.length).toBeGreaterThan(20);
    expect([...codes.keys()].toSorted()).toEqual(exported.toSorted());
    for (const [name, code] of codes) {
      const row = rows.find((each) => each.name === name);
      expect(row, name).toBeDefined();
      if (code !== undefined) expect(row?.cell("code"), name).toBe(code);
    }
  });
});

describe("the page on operating", () => {
  const rows = tableRows(readPage("docs/operating.md"));
  const namesOf = (head: string): readonly string[] =>
    rows.filter(({ of }) => of === head).map(({ name }) => name);
  const status = "packages/core/src/cluster/status.ts";

  it("names each check of health()", () => {
    expect(namesOf("check")).toEqual([...membersOf(status, "ClusterChecks").keys()]);
  });

  it("names each field of status()", () => {
    const fields = new Set(namesOf("field").map((name) => name.replace(/\..*$/u, "")));
    expect(fields).toEqual(new Set(membersOf(status, "ClusterStatus").keys()));
  });

  it("names each event", () => {
    const events = membersOf("packages/core/src/cluster/events.ts", "ClusterEvents");
    expect(new Set(namesOf("event"))).toEqual(new Set(events.keys()));
  });

  it("names each number of the metrics", async () => {
    const cluster = await core.createCluster();
    expect(new Set(namesOf("number"))).toEqual(new Set(Object.keys(cluster.metrics.snapshot())));
  });
});

describe("the page on writing workflows", () => {
  it("names everything that is on ctx", () => {
    const page = readPage("docs/workflows.md");
    const members = membersOf("packages/core/src/define/workflow-context.ts", "WorkflowContext");
    expect(members.size).toBeGreaterThan(15);
    expect(
      [...members.keys()].filter((name) => !new RegExp(`^\\|[^|]*\`${name}\\b`, "mu").test(page)),
    ).toEqual([]);
  });
});

describe("the page on executions", () => {
  const page = readPage("docs/executions.md");
  const rows = tableRows(page);
  const client = "packages/core/src/client";

  it("names each status", () => {
    const source = readFileSync("packages/core/src/data/execution-record.ts", "utf8");
    const union = /type ExecutionStatus =(?<members>[^;]*);/u.exec(source)?.groups?.["members"] ?? "";
    const statuses = [...union.matchAll(/\| "(?<status>\w+)"/gu)].map(({ groups }) => groups?.["status"]);
    expect(statuses.length).toBeGreaterThan(4);
    expect(rows.filter(({ of }) => of === "status").map(({ name }) => name)).toEqual(statuses);
  });

  it("names each filter of list()", () => {
    const filters = membersOf(`${client}/execution-listing.ts`, "ExecutionFilter");
    expect(new Set(rows.filter(({ of }) => of === "filter").map(({ name }) => name))).toEqual(
      new Set(filters.keys()),
    );
  });

  it("names each field of what is listed and described", () => {
    const fields = [
      ...membersOf(`${client}/execution-listing.ts`, "ExecutionSummary").keys(),
      ...membersOf(`${client}/execution-description.ts`, "ExecutionDescription").keys(),
      ...membersOf("packages/core/src/workflow/step-description.ts", "StepDescription").keys(),
    ];
    expect(fields.filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
  });
});

describe("the page of failures", () => {
  it("quotes what the code logs", () => {
    const code = globSync("packages/*/src/**/*.ts", { exclude: (path) => path.endsWith(".test.ts") })
      .map((path) => readFileSync(path, "utf8"))
      .join("\n");
    const quotes = readPage("docs/failures.md")
      .split("\n")
      .flatMap((line) => line.split('"').filter((_, index) => index % 2 === 1))
      .filter((said) => /^[A-Za-z]\S* \S+ /u.test(said));
    expect(quotes.length).toBeGreaterThan(5);
    expect(quotes.filter((said) => !code.includes(said))).toEqual([]);
  });
});

describe("a URL of the pages", () => {
  const readers: Readonly<Record<string, Readonly<Record<string, (url: string) => unknown>>>> = {
    HOLDFAST_STORAGE: {
      postgres: storageFromUrl,
      pglite: storageFromUrl,
      redis: redisStorageOptions,
      rediss: redisStorageOptions,
    },
    HOLDFAST_RUNNERS: {
      postgres: runnersFromUrl,
      etcd: etcdOptions,
      redis: redisRunnersOptions,
      rediss: redisRunnersOptions,
    },
    HOLDFAST_TRANSPORT: { grpc: grpcOptions, nats: natsOptions },
  };
  const said = PAGES.flatMap((page) =>
    [...readPage(page).matchAll(/(?<variable>HOLDFAST_[A-Z]+)='?(?<url>[a-z]+:[^\s']+)/gu)].map(
      ({ groups }): [string, string] => [groups?.["variable"] ?? "", groups?.["url"] ?? ""],
    ),
  );

  it.each(said)("can be read: %s=%s", (variable, url) => {
    const read = readers[variable]?.[url.replace(/:.*$/u, "")];
    expect(read?.(url)).toEqual(expect.any(Object));
  });
});

describe("a link", () => {
  it.each(PAGES)("of %s leads to a file of the repository, and to a heading that it has", (page) => {
    for (const { text, path, anchor } of linksOf(page)) {
      expect(existsSync(path), `${text}: ${path}`).toBe(true);
      if (anchor !== null) expect([...anchorsOf(path)], `${text}: ${path}`).toContain(anchor);
    }
  });
});

/** What the page says, as the code would: a duration in milliseconds, a number, a word. */
function defaultOf(row: TableRow): unknown {
  const said = row.cell("default") ?? "";
  // "20s, PGlite 10s": the first is what counts here.
  const first = said.split(", ")[0]?.replaceAll('"', "") ?? "";
  if (/^\[.*\]$/u.test(first)) return [first.slice(1, -1)];
  if (first === "true" || first === "false") return first === "true";
  const mebibytes = /^(\d+) MiB$/u.exec(first)?.[1];
  if (mebibytes !== undefined) return Number(mebibytes) * 1024 * 1024;
  if (/^[\d,]+$/u.test(first)) return Number(first.replaceAll(",", ""));
  return ms(first as ms.StringValue) ?? first;
}

/** Whether there is a default to speak of. */
function isSet(value: unknown): boolean {
  return value !== undefined && value !== null && !(typeof value === "object" && !Array.isArray(value));
}
