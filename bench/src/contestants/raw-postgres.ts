// The limits of PostgreSQL, from one process through `pg`: prepared statements, and a connection for each caller.

import pg from "pg";
import type { OpenContestant } from "../contestant.ts";
import { PAYLOAD } from "../definitions.ts";

const CONNECTIONS = 16;
const GROUP = 100;
const ACCOUNTS = 1_000;
const TABLES = `
  CREATE TABLE journal (run bigint, seq int, payload text, at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (run, seq));
  CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL);
  INSERT INTO accounts SELECT n, 0 FROM generate_series(0, ${ACCOUNTS - 1}) AS n;
`;
const INSERT = "INSERT INTO journal (run, seq, payload) VALUES ($1, $2, $3)";
const INSERT_GROUP =
  "INSERT INTO journal (run, seq, payload) SELECT * FROM unnest($1::bigint[], $2::int[], $3::text[])";

export const open: OpenContestant = async ({ postgres }) => {
  const clients = Array.from({ length: CONNECTIONS }, () => new pg.Client({ connectionString: postgres }));
  await Promise.all(clients.map((client) => client.connect()));
  const of = (caller: number): pg.Client => clients[caller % CONNECTIONS] as pg.Client;
  await of(0).query(TABLES);
  let rows = 0;
  /** Ten rows of a run follow each other, as the steps of a workflow do. */
  const nextRow = (): readonly [number, number, string] => {
    rows += 1;
    return [Math.floor(rows / 10), rows % 10, PAYLOAD];
  };
  const insert = (client: pg.Client): Promise<unknown> =>
    client.query({ name: "insert", text: INSERT, values: [...nextRow()] });
  return {
    workloads: {
      "raw insert": { kind: "closed loop", call: (caller) => insert(of(caller)) },
      "grouped insert": {
        kind: "closed loop",
        unitsPerCall: GROUP,
        call(caller) {
          const group = Array.from({ length: GROUP }, nextRow);
          const columns = [0, 1, 2].map((column) => group.map((row) => row[column]));
          return of(caller).query({ name: "group", text: INSERT_GROUP, values: columns });
        },
      },
      "bare transaction": {
        kind: "closed loop",
        async call(caller) {
          const client = of(caller);
          await client.query("BEGIN");
          await client.query({
            name: "update",
            text: "UPDATE accounts SET balance = balance + 1 WHERE id = $1",
            values: [Math.floor(Math.random() * ACCOUNTS)],
          });
          await insert(client);
          await client.query("COMMIT");
        },
      },
    },
    async close() {
      await Promise.all(clients.map((client) => client.end()));
    },
  };
};
