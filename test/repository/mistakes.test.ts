import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";
import { writeBlocks } from "../../scripts/lib/doc-blocks.ts";

const definitions = `
import { defineEntity, defineRpcGroup, rpc } from "@holdfast/core";
import * as z from "zod";

const Audited = defineRpcGroup({ name: "Audited", rpcs: { log: rpc() } });
const audited = Audited.implement({ async log() {} });
const Twice = defineEntity({ name: "Twice", groups: [Audited], rpcs: { log: rpc() } });
const Inc = z.object({ by: z.int() });
`;

const mistakes = [
  {
    what: "an option of an rpc that has a schema is misspelt",
    code: "rpc({ input: Inc, persist: true });",
    says: "Did you mean to write 'persisted'?",
  },
  {
    what: "an option of an rpc that has type arguments is misspelt",
    code: "rpc<string, void>({ persist: true });",
    says: "Did you mean to write 'persisted'?",
  },
  {
    what: "what is given as a schema is none",
    code: 'rpc({ input: { by: "number" } });',
    says: "StandardSchemaV1",
  },
  {
    what: "a primary key is no string",
    code: "rpc({ input: Inc, persisted: true, primaryKey: (inc) => inc.by });",
    says: "Type 'number' is not assignable to type 'string'.",
  },
  {
    what: "two members of an entity have one name",
    code: "Twice.implement({ async log() {} }, { groups: [audited] });",
    says: 'DefinitionMistake<"Two members are named \\"log\\": rename one of them">',
  },
] as const;

/** What the compiler says of each mistake. */
async function saidByTheCompiler(): Promise<readonly string[]> {
  using files = writeBlocks([]);
  const lines = mistakes.map(({ code }) => code);
  writeFileSync(join(files.folder, "mistakes.ts"), `${definitions}${lines.join("\n")}\n`);
  const compiled = promisify(execFile)(process.execPath, [
    "node_modules/typescript/bin/tsc",
    "-p",
    files.folder,
  ]);
  const { stdout = "" } = await compiled.catch((error: { readonly stdout?: string }) => error);
  const first = definitions.split("\n").length;
  const said = lines.map(() => "");
  let line = -1;
  for (const text of stdout.split("\n")) {
    const place = /mistakes\.ts\((\d+),/u.exec(text)?.[1];
    if (place !== undefined) line = Number(place) - first;
    if (said[line] !== undefined) said[line] += `${text}\n`;
  }
  return said;
}

describe("the compiler", () => {
  let said: readonly string[];

  beforeAll(async () => {
    said = await saidByTheCompiler();
  });

  it.each(mistakes.map((mistake, index) => ({ ...mistake, index })))(
    "says what is wrong where $what",
    ({ index, says }) => {
      expect(said[index]).toContain(says);
    },
  );
});
