import pg from "pg";
import { describe, expect, inject, it, onTestFinished } from "vitest";
import { postgres } from "../src/index.ts";
import { newSchema, services } from "./backends.ts";
import { claim, request, succeeded } from "./work.ts";

const url = inject("postgresUrl");

/** The URL of a new database. */
async function databaseIn(encoding: string): Promise<string> {
  const name = newSchema();
  const pool = new pg.Pool({ connectionString: url ?? "", max: 1 });
  await pool.query(`CREATE DATABASE ${name} ENCODING '${encoding}' LOCALE 'C' TEMPLATE template0`);
  onTestFinished(async () => {
    await pool.query(`DROP DATABASE ${name} WITH (FORCE)`);
    await pool.end();
  });
  return Object.assign(new URL(url ?? ""), { pathname: `/${name}` }).href;
}

describe.skipIf(url === null)("a database", () => {
  it("that cannot keep every text is refused", async () => {
    const connectionString = await databaseIn("LATIN1");
    await expect(postgres({ connectionString }).open(services())).rejects.toMatchObject({
      code: "CONFIG",
      message: expect.stringContaining("LATIN1") as unknown,
    });
  });

  it("that takes texts as they are gives them back as they were", async () => {
    const { messages, close } = await postgres({ connectionString: await databaseIn("SQL_ASCII") }).open(
      services(),
    );
    onTestFinished(close);
    const fence = await claim(messages);
    const envelope = request({ payload: '"€ 漢 💥"' });
    await messages.saveRequest(envelope, 1, fence);
    const page = await messages.readPending({
      shardIds: [fence.shardId],
      now: 0,
      limit: 1,
      excludingSequences: [],
      excludingEntities: [],
    });
    expect(page.requests.map((pending) => pending.envelope.payload)).toEqual(['"€ 漢 💥"']);
    await messages.saveReply(succeeded(envelope.requestId), fence, null);
  });
});
