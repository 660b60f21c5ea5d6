import { runInNewContext } from "node:vm";
import type { PGlite } from "@electric-sql/pglite";
import type { StorageAdapter } from "@holdfast/core/adapter";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { freshPGlite } from "../../../test/services/fresh-pglite.ts";
import { pglite, postgres } from "../src/index.ts";
import { newSchema, services } from "./backends.ts";
import { bouncerBefore } from "./bouncer.ts";
import { begin } from "./work.ts";

const url = inject("postgresUrl");
const bouncer = await bouncerBefore(url);
afterAll(() => bouncer?.stop());

const NOON = new Date("2026-02-03T12:34:56.789Z");

/** Each a cast of a text, and what comes of it on every driver. */
const READ: readonly (readonly [string, unknown])[] = [
  ["'12'::int2", 12],
  ["'-7'::int4", -7],
  ["'9007199254740993'::int8", "9007199254740993"],
  ["count(*)", "1"],
  ["'12.50'::numeric", "12.50"],
  ["'1.5'::float8", 1.5],
  ["true", true],
  ["'a''b'::text", "a'b"],
  ["NULL::int4", null],
  [`'{"a": [1, null]}'::json`, { a: [1, null] }],
  [`'{"a": 1}'::jsonb`, { a: 1 }],
  ["'2026-02-03 12:34:56.789+00'::timestamptz", NOON],
  ["'2026-02-03 12:34:56'::timestamp", new Date(2026, 1, 3, 12, 34, 56)],
  ["'2026-02-03'::date", new Date(2026, 1, 3)],
  ["'{1,NULL,3}'::int4[]", [1, null, 3]],
  ["'{9007199254740993}'::int8[]", ["9007199254740993"]],
  [`'{a,"b,c",NULL}'::text[]`, ["a", "b,c", null]],
  ["'b5e6c1f2-0000-4000-8000-000000000001'::uuid", "b5e6c1f2-0000-4000-8000-000000000001"],
];

/** Each a parameter, the type that it becomes, and what it is there, as text. */
const SENT: readonly (readonly [unknown, string, string | null])[] = [
  [5, "int4", "5"],
  ["9007199254740993", "int8", "9007199254740993"],
  [1.5, "float8", "1.5"],
  [true, "bool", "true"],
  [false, "bool", "false"],
  [null, "text", null],
  ["\\x00ff", "bytea", "\\x00ff"],
  [{ a: [1, "b"] }, "json", '{"a":[1,"b"]}'],
  ['{"a": 1}', "json", '{"a": 1}'],
  [NOON, "timestamptz", "2026-02-03 12:34:56.789+00"],
  ["2026-02-03", "date", "2026-02-03"],
  [[1, null, 3], "int4[]", "{1,NULL,3}"],
  [["a", 'b"c\\', "d,e"], "text[]", String.raw`{a,"b\"c\\","d,e"}`],
];

function values(adapter: () => StorageAdapter): void {
  it("gives and takes values as every other driver does", async () => {
    const session = await adapter().open(services());
    try {
      const transaction = begin(session.messages);
      await transaction.query("SET LOCAL timezone = 'UTC'", []);
      for (const [expression, value] of READ) {
        const { rows } = await transaction.query<{ value: unknown }>(`SELECT ${expression} AS value`, []);
        expect([expression, rows[0]?.value]).toEqual([expression, value]);
        const again = await transaction.query<{ value: unknown }>(
          `SELECT ${expression} AS value WHERE $1::int = 1`,
          [1],
        );
        expect([expression, again.rows[0]?.value]).toEqual([expression, value]);
      }
      for (const [param, type, text] of SENT) {
        const { rows } = await transaction.query<{ value: string | null }>(
          `SELECT $1::${type}::text AS value`,
          [param],
        );
        expect([type, rows[0]?.value]).toEqual([type, text]);
      }
      const { rows } = await transaction.query<{ bytes: Uint8Array }>(`SELECT $1::bytea AS bytes`, [
        Uint8Array.of(0, 255),
      ]);
      expect(Array.from(rows[0]?.bytes ?? [])).toEqual([0, 255]);
      await transaction.rollback();
    } finally {
      await session.close();
    }
  });

  it("sends a value as it was when the statement was made", async () => {
    const session = await adapter().open(services());
    try {
      const transaction = begin(session.messages);
      const order = { cents: 0 };
      const parts: unknown[] = [0, order];
      const bytes = Uint8Array.of(0);
      const time = new Date(0);
      const params: unknown[] = [0, order, parts, bytes, time];
      const reading = [1, 2, 3].map((cents) => {
        params[0] = cents;
        parts[0] = cents;
        order.cents = cents;
        bytes[0] = cents;
        time.setTime(cents);
        return transaction.query(
          "SELECT $1::int AS cents, $2::jsonb AS order, $3::jsonb[]::text AS parts, $4::bytea::text AS bytes, $5::timestamptz",
          params,
        );
      });
      const rows = (await Promise.all(reading)).map((result) => result.rows[0]);
      expect(rows).toEqual(
        [1, 2, 3].map((cents) => ({
          cents,
          order: { cents },
          parts: `{${cents},"{\\"cents\\": ${cents}}"}`,
          bytes: `\\x0${cents}`,
          timestamptz: new Date(cents),
        })),
      );
      await transaction.rollback();
    } finally {
      await session.close();
    }
  });

  it("takes times of another realm, lists of a class of their own, and lists of what says itself what it is", async () => {
    class Tags extends Array<string> {
      constructor(text: string) {
        super();
        this.push(...text.split(","));
      }
    }
    const says = (value: unknown) => ({ toPostgres: () => value });
    const session = await adapter().open(services());
    try {
      const transaction = begin(session.messages);
      const { rows } = await transaction.query(
        "SELECT $1::timestamptz AS time, $2::text[] AS tags, $3::bytea[]::text AS bytes",
        [
          runInNewContext(`new Date(${NOON.getTime()})`),
          new Tags("a,b"),
          [says(null), says(Buffer.of(0, 255)), says("\\x01"), runInNewContext("undefined")],
        ],
      );
      expect(rows).toEqual([
        { time: NOON, tags: ["a", "b"], bytes: String.raw`{NULL,"\\x00ff","\\x01",NULL}` },
      ]);
      await transaction.rollback();
    } finally {
      await session.close();
    }
  });

  it("refuses a value that cannot be written as text, and goes on", async () => {
    const session = await adapter().open(services());
    try {
      const transaction = begin(session.messages);
      const circle: Record<string, unknown> = {};
      circle["self"] = circle;
      const refuse = (): never => {
        throw new TypeError("not to be written");
      };
      const refused = [{ cents: 5n }, circle, [circle], { toJSON: refuse }, { toPostgres: refuse }];
      for (const value of refused) {
        const error = await transaction.query("SELECT $1::jsonb", [value]).catch((thrown: unknown) => thrown);
        expect(error).toBeInstanceOf(TypeError);
      }
      expect(transaction.lostWith).toBeNull();
      const { rows } = await transaction.query("SELECT $1::int AS value", [5]);
      expect(rows).toEqual([{ value: 5 }]);
      await transaction.rollback();
    } finally {
      await session.close();
    }
  });

  it("takes arrays of types of the user's", async () => {
    const session = await adapter().open(services());
    try {
      const transaction = begin(session.messages);
      const type = newSchema();
      await transaction.query(`CREATE TYPE ${type}_mood AS ENUM ('sad', 'ok')`, []);
      await transaction.query(`CREATE DOMAIN ${type}_cents AS int CHECK (value >= 0)`, []);
      const { rows } = await transaction.query(
        `SELECT $1::${type}_mood[]::text AS moods, $2::${type}_cents[]::text AS cents`,
        [
          ["ok", "sad"],
          [5, 6],
        ],
      );
      expect(rows).toEqual([{ moods: "{ok,sad}", cents: "{5,6}" }]);
      await transaction.rollback();
    } finally {
      await session.close();
    }
  });

  it("counts what a statement wrote or read", async () => {
    const session = await adapter().open(services());
    try {
      const transaction = begin(session.messages);
      const count = async (text: string, params: unknown[] = []): Promise<number> =>
        (await transaction.query(text, params)).rowCount;
      await transaction.query("CREATE TEMPORARY TABLE counted (id int) ON COMMIT DROP", []);
      expect(await count("INSERT INTO counted SELECT generate_series(1, $1::int)", [5])).toBe(5);
      expect(await count("UPDATE counted SET id = id WHERE id > $1", [3])).toBe(2);
      expect(await count("SELECT id FROM counted WHERE id < $1", [4])).toBe(3);
      expect(await count("DELETE FROM counted WHERE id = 99")).toBe(0);
      await transaction.rollback();
    } finally {
      await session.close();
    }
  });
}

describe.skipIf(url === null).each(["pg", "postgres.js"] as const)("tx.query through %s", (driver) => {
  const schema = newSchema();
  const adapter = () => postgres({ driver, connectionString: url ?? "", schema, poolSize: 2 });
  values(adapter);

  it.each([65_534, 70_000])("refuses %i parameters where that is too many, and goes on", async (count) => {
    const session = await adapter().open(services());
    try {
      const transaction = begin(session.messages);
      await transaction.query("SAVEPOINT whole", []);
      const query = transaction.query("SELECT 1", Array<number>(count).fill(1));
      await expect(query).rejects.toMatchObject({ severity: "ERROR" });
      expect(transaction.lostWith).toBeNull();
      await transaction.query("ROLLBACK TO SAVEPOINT whole", []);
      expect((await transaction.query("SELECT $1::int AS value", [5])).rows).toEqual([{ value: 5 }]);
      await transaction.rollback();
    } finally {
      await session.close();
    }
  });

  it.each([[[]], [[1]]])(
    "gives what a parser of the user's throws, and goes on, with the parameters %j",
    async (params) => {
      const refusal = new RangeError("too much money");
      const MONEY = 790;
      const before = pg.types.getTypeParser(MONEY, "text");
      pg.types.setTypeParser(MONEY, () => {
        throw refusal;
      });
      const session = await adapter().open(services());
      try {
        const transaction = begin(session.messages);
        const reading = transaction.query(
          `SELECT '5'::money AS value WHERE 1 = ${params.length === 0 ? "1" : "$1"}`,
          params,
        );
        expect(await reading.catch((error: unknown) => error)).toBe(refusal);
        expect(transaction.lostWith).toBeNull();
        expect((await transaction.query("SELECT 5 AS value", [])).rows).toEqual([{ value: 5 }]);
        // Those behind it are answered each for itself.
        const both = await Promise.allSettled([
          transaction.query("SELECT '5'::money AS value FROM generate_series(1, $1::int)", [3]),
          transaction.query("SELECT $1::int AS value FROM generate_series(1, 2)", [6]),
        ]);
        expect(both).toMatchObject([{ reason: refusal }, { value: { rows: [{ value: 6 }, { value: 6 }] } }]);
        // What the server refuses has spoilt the transaction, whatever came of the rows before that.
        await transaction.query("SAVEPOINT whole", []);
        const spoiling = transaction.query(
          "SELECT '5'::money, 1 / (2 - n) FROM generate_series(1, 2) n",
          params.slice(1),
        );
        await expect(spoiling).rejects.toThrow("division by zero");
        await transaction.query("ROLLBACK TO SAVEPOINT whole", []);
        // It is not what the transaction cannot commit for.
        await expect(transaction.query("SELECT 1 / 0", [])).rejects.toThrow("division by zero");
        const record = { name: "record", text: "SELECT 1", values: [] };
        await expect(transaction.commitAfter(record)).rejects.toThrow(/failed \(22012: division by zero\)/u);
      } finally {
        await session.close();
        pg.types.setTypeParser(MONEY, before);
      }
    },
  );
});

describe.skipIf(bouncer === null).each(["pg", "postgres.js"] as const)(
  "tx.query through PgBouncer and %s",
  (driver) => {
    const schema = newSchema();
    values(() =>
      postgres({ driver, pooler: "transaction", connectionString: bouncer?.url ?? "", schema, poolSize: 2 }),
    );
  },
);

describe("tx.query on PGlite", () => {
  let instance: PGlite;
  // Not beside the tests of a server: it keeps the process from hearing what that answers.
  beforeAll(async () => {
    instance = await freshPGlite();
  });
  afterAll(() => instance.close());
  values(() => {
    const adapter: StorageAdapter = {
      kind: "storage",
      open: (given) => pglite({ instance }).open(given),
    };
    return adapter;
  });
});
