import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { AdapterModule, StorageAdapter } from "../adapter/storage-adapter.ts";
import { SeededRandom } from "../clock/seeded-random.ts";
import { importFromUser } from "../clock/system-environment.ts";
import { VirtualClock } from "../clock/virtual-clock.ts";
import { AdapterNotInstalledError, ConfigError } from "../errors/config.ts";
import { memoryRunners, memoryStorage } from "../memory/memory-backend.ts";
import { memoryTransport } from "../memory/memory-transport.ts";
import { createMember, defineConfig, type ConfigFile } from "./create-cluster.ts";
import type { ClusterOptions } from "./config.ts";
import type { Member } from "./member.ts";

const SECRET = "hunter2";

/** The packages that are installed, and the URLs that they were given. */
class Packages {
  readonly urls: string[] = [];
  readonly imported: string[] = [];
  readonly #modules: Readonly<Record<string, AdapterModule>> = {
    "@holdfast/storage-postgres": {
      storageFromUrl: (url) => this.#note(url, memoryStorage()),
      runnersFromUrl: (url) => this.#note(url, memoryRunners()),
    },
    "@holdfast/runners-etcd": { runnersFromUrl: (url) => this.#note(url, memoryRunners()) },
    "@holdfast/storage-redis": { storageFromUrl: (url) => this.#note(url, memoryStorage()) },
    "@holdfast/runners-redis": { runnersFromUrl: (url) => this.#note(url, memoryRunners()) },
    "@holdfast/transport-grpc": {
      transportFromUrl: (url) => {
        if (url.includes("unreadable")) throw new TypeError(`Invalid URL: ${url}`);
        return this.#note(url, memoryTransport());
      },
    },
  };

  readonly importModule = async (name: string): Promise<unknown> => {
    this.imported.push(name);
    if (!name.startsWith("@")) return importFromUser(name);
    const module = this.#modules[name];
    if (module !== undefined) return module;
    const error = new Error(`Cannot find package '${name}' imported from /app/main.js`);
    throw Object.assign(error, { code: "ERR_MODULE_NOT_FOUND" });
  };

  #note<Adapter>(url: string, adapter: Adapter): Adapter {
    this.urls.push(url);
    return adapter;
  }
}

function make(
  options: ClusterOptions | ConfigFile,
  environment: Readonly<Record<string, string | undefined>> = {},
  packages: Packages = new Packages(),
): Promise<Member> {
  const clock = new VirtualClock();
  return createMember(options, {
    clock,
    random: new SeededRandom(1, () => clock.now()),
    environment,
    importModule: packages.importModule,
  });
}

/** What it rejects with; it must not say what is secret. */
async function failure(made: Promise<unknown>): Promise<Error> {
  const error = await made.then(
    () => new Error("it resolved"),
    (thrown: unknown) => thrown as Error,
  );
  expect(error.message).not.toContain(SECRET);
  return error;
}

describe("an adapter option", () => {
  it("takes an adapter, or a URL whose package is imported when it is named, and no other", async () => {
    const packages = new Packages();
    await make(
      {
        storage: `postgres://kim:${SECRET}@db/app`,
        runners: "etcd://127.0.0.1:2379",
        transport: memoryTransport(),
      },
      {},
      packages,
    );
    expect(packages.urls).toEqual([`postgres://kim:${SECRET}@db/app`, "etcd://127.0.0.1:2379"]);
    expect(packages.imported).toEqual(["@holdfast/storage-postgres", "@holdfast/runners-etcd"]);
  });

  it.each(["redis", "rediss"])("takes %s: for storage and runners, each from its package", async (scheme) => {
    const packages = new Packages();
    const url = `${scheme}://:${SECRET}@cache:6379`;
    await make({ storage: url, runners: url }, {}, packages);
    expect(packages.urls).toEqual([url, url]);
    expect(packages.imported).toEqual(["@holdfast/storage-redis", "@holdfast/runners-redis"]);
  });

  it("needs no package for memory, which is the default", async () => {
    const packages = new Packages();
    await make({}, {}, packages);
    await make({ storage: "memory:", runners: "memory:", transport: "memory:" }, {}, packages);
    expect(packages.imported).toEqual([]);
  });

  it.each([
    ["pglite:./data", "storage"],
    ["postgres:", "runners"],
    ["postgresql://db/app", "runners"],
    ["grpc://10.0.0.1:9000", "transport"],
  ] as const)("reads %s by its scheme for %s", async (url, option) => {
    const packages = new Packages();
    await make({ [option]: url }, {}, packages);
    expect(packages.urls).toEqual([url]);
  });

  it.each([
    [
      "storage",
      `etcd://kim:${SECRET}@host`,
      /"storage" is "etcd:", but it takes an adapter, or a URL that begins with/u,
    ],
    ["storage", `./${SECRET}`, /"storage" is "without a scheme".*is given as "pglite:\.\/folder"/u],
    ["runners", `grpc://kim:${SECRET}@host`, /"runners" is "grpc:"/u],
    ["transport", SECRET, /"transport" is "without a scheme"/u],
    [
      "transport",
      `grpc://kim:${SECRET}@unreadable`,
      /"transport" is "a grpc: URL that @holdfast\/transport-grpc cannot read"/u,
    ],
    ["storage", memoryRunners(), /"storage" is "an adapter for runners"/u],
    ["storage", { kind: SECRET }, /"storage" is a value of type object/u],
    ["runners", 5, /"runners" is 5/u],
  ])("%s refuses what it does not take, and shows no password", async (option, given, message) => {
    const error = await failure(make({ [option]: given }));
    expect(error).toBeInstanceOf(ConfigError);
    expect(error).toMatchObject({ code: "CONFIG", option });
    expect(error.message).toMatch(message);
    expect(error.cause).toBeUndefined();
  });

  it("says what to install for a scheme whose package is not there", async () => {
    const error = await failure(make({ transport: `nats://kim:${SECRET}@host` }));
    expect(error).toBeInstanceOf(AdapterNotInstalledError);
    expect(error.message).toContain("npm install @holdfast/transport-nats");
  });
});

describe("the environment", () => {
  it("overrides each adapter option, adapters included, and says nothing where it is empty", async () => {
    const packages = new Packages();
    const never: StorageAdapter = { kind: "storage", open: () => Promise.reject(new Error("not this one")) };
    const member = await make(
      { storage: never, transport: "grpc://10.0.0.1:9000" },
      {
        HOLDFAST_STORAGE: "pglite:./data",
        HOLDFAST_RUNNERS: "etcd://127.0.0.1:2379",
        HOLDFAST_TRANSPORT: "",
      },
      packages,
    );
    expect(packages.urls).toEqual(["pglite:./data", "etcd://127.0.0.1:2379", "grpc://10.0.0.1:9000"]);
    expect(member.state).toBe("created");
  });

  it("is named where what it says is refused", async () => {
    const error = await failure(make({}, { HOLDFAST_STORAGE: `mysql://kim:${SECRET}@host` }));
    expect(error).toBeInstanceOf(ConfigError);
    expect(error.message).toMatch(
      /"storage" is "mysql:".* It comes from HOLDFAST_STORAGE in the environment\./u,
    );
  });
});

describe("a config file", () => {
  let folder = "";

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "holdfast-config-"));
    const files: Readonly<Record<string, string>> = {
      "good.mjs": `export default { shardsPerGroup: 12, runnerWeight: 3, storage: "pglite:./data", transport: "grpc://a:1" };`,
      "typed.ts": `const weight: number = 5; export default { runnerWeight: weight };`,
      "named.mjs": `export const config = {};`,
      "misspelt.mjs": `export default { shardPerGroups: 5 };`,
      "syntax.mjs": `export default { "${SECRET}": `,
      "throws.mjs": `throw new RangeError("postgres://kim:${SECRET}@host is wrong");`,
      "imports.mjs": `import "./nowhere.mjs"; export default {};`,
    };
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  });

  afterAll(async () => {
    await rm(folder, { recursive: true });
  });

  it("has the options that defineConfig checks", async () => {
    const packages = new Packages();
    const member = await make({ config: join(folder, "good.mjs") }, {}, packages);
    expect(member.settings).toMatchObject({ shardsPerGroup: 12, runnerWeight: 3 });
    expect(packages.urls).toEqual(["pglite:./data", "grpc://a:1"]);
    const options: ClusterOptions = { shardsPerGroup: 12 };
    expect(defineConfig(options)).toBe(options);
  });

  it("is not looked for where `config` is undefined", async () => {
    const member = await make({ config: undefined, shardsPerGroup: 12 });
    expect(member.settings.shardsPerGroup).toBe(12);
  });

  it("may be TypeScript, and be named by a file URL", async () => {
    const member = await make({ config: new URL(`file://${folder}/typed.ts`).href });
    expect(member.settings.runnerWeight).toBe(5);
  });

  it.each([
    ["holdfast.config.ts", "./holdfast.config.ts"],
    ["./a/b.mjs", "./a/b.mjs"],
    ["../b.mjs", "../b.mjs"],
    ["/etc/b.mjs", "/etc/b.mjs"],
  ])("%s is looked for from the working directory", async (config, asked) => {
    const packages = new Packages();
    await failure(make({ config }, {}, packages));
    expect(packages.imported).toEqual([asked]);
  });

  it("is overridden by options beside it, one by one, and both by the environment", async () => {
    const packages = new Packages();
    const member = await make(
      {
        config: join(folder, "good.mjs"),
        runnerWeight: 7,
        shardsPerGroup: undefined as never,
        transport: "grpc://b:2",
      },
      { HOLDFAST_STORAGE: "pglite:./other" },
      packages,
    );
    expect(member.settings).toMatchObject({ shardsPerGroup: 12, runnerWeight: 7 });
    expect(packages.urls).toEqual(["pglite:./other", "grpc://b:2"]);
  });

  it.each([
    ["missing.mjs", /takes the path of a file that exists, relative to the working directory\./u],
    ["named.mjs", /takes a file whose default export is what defineConfig\(\) returns\./u],
    [
      "syntax.mjs",
      /takes a file that can be loaded; it ended with a \w*Error, which is this error's cause\./u,
    ],
    [
      "throws.mjs",
      /takes a file that can be loaded; it ended with a RangeError, which is this error's cause\./u,
    ],
    [
      "imports.mjs",
      /takes a file that can be loaded; it ended with a \w*Error, which is this error's cause\./u,
    ],
  ])("%s is refused", async (name, message) => {
    const error = await failure(make({ config: join(folder, name) }));
    expect(error).toBeInstanceOf(ConfigError);
    expect(error).toMatchObject({ option: "config" });
    expect(error.message).toMatch(message);
  });

  it("with an option that does not exist is refused like that option", async () => {
    const error = await failure(make({ config: join(folder, "misspelt.mjs") }));
    expect(error).toMatchObject({ option: "shardPerGroups" });
    expect(error.message).toContain('Did you mean "shardsPerGroup"?');
  });

  it.each([[""], [5], [null]])("cannot be %j", async (config) => {
    const error = await failure(make({ config } as unknown as ConfigFile));
    expect(error).toMatchObject({ option: "config", code: "CONFIG" });
  });

  it("is not shown with a password, if a URL was given for it by mistake", async () => {
    const error = await failure(make({ config: `postgres://kim:${SECRET}@host/db` }));
    expect(error).toMatchObject({ option: "config" });
    expect(error.message).toContain("***");
  });
});
