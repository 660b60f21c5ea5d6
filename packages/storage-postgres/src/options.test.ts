import { ConfigError } from "@holdfast/core/adapter";
import { Pool } from "pg";
import postgresJs from "postgres";
import { describe, expect, it } from "vitest";
import { pglite, postgres, runnersFromUrl, storageFromUrl } from "./index.ts";
import { pgliteSettings, postgresSettings, type PostgresOptions } from "./options.ts";

describe("the options of postgres()", () => {
  it("have defaults", () => {
    expect(postgresSettings({})).toMatchObject({
      schema: "holdfast",
      poolSize: 16,
      maxGroupRows: 500,
      statementDeadlineMs: 20_000,
      lockTimeoutMs: 10_000,
      idleTransactionTimeoutMs: 20_000,
    });
  });

  it("take durations as text", () => {
    expect(postgresSettings({ statementDeadline: "5s" }).statementDeadlineMs).toBe(5_000);
  });

  it.each<[option: string, options: PostgresOptions]>([
    ["schema", { schema: 'x"; DROP TABLE users; --' }],
    ["schema", { schema: "" }],
    ["schema", { schema: "Holdfast" }],
    ["schema", { schema: "pg_mine" }],
    ["schema", { schema: "a".repeat(41) }],
    ["poolSize", { poolSize: 1 }],
    ["poolSize", { poolSize: 2.5 }],
    ["maxGroupRows", { maxGroupRows: 0 }],
    ["lockTimeout", { lockTimeout: "2 days" }],
    ["statementDeadline", { statementDeadline: "soon" }],
    ["connectionString", { connectionString: "mysql://localhost" }],
    ["driver", { driver: "mysql" } as unknown as PostgresOptions],
    ["driver", { driver: "postgres.js", pool: new Pool() }],
    ["driver", { driver: "pg", sql: postgresJs() }],
    ["sql", { sql: postgresJs(), connectionString: "postgres://host/database" }],
    ["sql", { sql: {} } as unknown as PostgresOptions],
    ["pool", { pool: new Pool(), sql: postgresJs() }],
    ["pooler", { pooler: "session" } as unknown as PostgresOptions],
    ["prepare", { prepare: "yes" } as unknown as PostgresOptions],
    ["listenConnectionString", { listenConnectionString: "postgres://host/database" }],
    ["listenConnectionString", { pooler: "transaction", listenConnectionString: "host" }],
    ["poolsize", { poolsize: 4 } as PostgresOptions],
  ])("out of range are refused with a ConfigError that names %s", (option, options) => {
    expect(() => postgres(options)).toThrow(ConfigError);
    expect(() => postgres(options)).toThrow(`"${option}"`);
  });

  it("prepare statements, save behind a pooler", () => {
    expect(postgresSettings({})).toMatchObject({ pooler: null, prepare: true });
    expect(postgresSettings({ pooler: "transaction" })).toMatchObject({
      pooler: "transaction",
      prepare: false,
    });
    expect(postgresSettings({ pooler: "transaction", prepare: true }).prepare).toBe(true);
  });

  it("take the driver of the client that was given", () => {
    expect(postgresSettings({}).driver).toBeNull();
    expect(postgresSettings({ pool: new Pool() }).driver).toBe("pg");
    expect(postgresSettings({ sql: postgresJs({ max: 5 }) })).toMatchObject({
      driver: "postgres.js",
      poolSize: 5,
    });
  });

  it("never show a connection string, which may hold a password", () => {
    const secret = "user:secret@host/database";
    for (const read of [
      () => postgres({ connectionString: secret }),
      () => postgres({ connectionString: "postgres://user:secret@host:no-port/database" }),
      () => storageFromUrl("postgres://user:secret@host:no-port/database"),
    ]) {
      expect(read).toThrow(ConfigError);
      expect(read).not.toThrow(/secret/);
    }
  });
});

describe("the options of pglite()", () => {
  it("take a folder, or nothing for memory", () => {
    expect(pgliteSettings({})).toMatchObject({ dataDir: undefined, idleTransactionTimeoutMs: 10_000 });
    expect(() => pglite({ dataDir: "" })).toThrow(ConfigError);
  });
});

describe("a URL", () => {
  it.each([
    "postgres://user@host:5432/database",
    "postgresql://host/database?schema=orders",
    "postgres:",
    "postgres:?driver=postgres.js",
    "postgres://host/database?driver=pg&pooler=transaction",
    "pglite:",
    "pglite:./data",
  ])("names a storage: %s", (url) => {
    expect(storageFromUrl(url).kind).toBe("storage");
  });

  it("names members and leases on a server", () => {
    expect(runnersFromUrl("postgres://host/database").kind).toBe("runners");
  });

  it("names the storage's own server for members and leases where it names none", () => {
    const { backend } = storageFromUrl("postgres://host/database");
    expect(backend).toBeDefined();
    expect(runnersFromUrl("postgres:").sharedBackend).toBe(backend);
    expect(runnersFromUrl("postgres://other/database").sharedBackend).toBeUndefined();
    expect(runnersFromUrl("postgres:?schema=leases").sharedBackend).toBeUndefined();
  });

  it("names the driver and the pooler, which are checked", () => {
    expect(() => storageFromUrl("postgres://host/database?driver=other")).toThrow(/"driver"/);
    expect(() => storageFromUrl("postgres:?pooler=statement")).toThrow(/"pooler"/);
  });

  it("names the schema, which is checked", () => {
    expect(() => storageFromUrl("postgres://host/database?schema=Bad-Name")).toThrow(/"schema"/);
  });
});
