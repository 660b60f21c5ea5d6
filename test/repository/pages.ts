// What the tests of the pages read: the tables and links of a Markdown page, and the options that a source file declares.

import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { parseSync } from "oxc-parser";

/** A row of a table whose first cell is a name in backquotes. */
export interface TableRow {
  readonly name: string;
  /** The table's head, for instance `option`. */
  readonly of: string;
  /** What stands under a head, as plain text. */
  cell(head: string): string | undefined;
}

export function readPage(path: string): string {
  return readFileSync(path, "utf8");
}

/** From a heading, given with its marks, to the next one of its level. @throws {Error} there is no such heading */
export function sectionOf(page: string, heading: string): string {
  const marks = heading.slice(0, heading.indexOf(" ") + 1);
  const lines = withoutCode(page).split("\n");
  const start = lines.indexOf(heading);
  if (start < 0) throw new Error(`There is no heading "${heading}"`);
  const length = lines.slice(start + 1).findIndex((line) => line.startsWith(marks));
  return lines.slice(start, length < 0 ? undefined : start + 1 + length).join("\n");
}

export function tableRows(page: string): readonly TableRow[] {
  let heads: readonly string[] | null = null;
  const rows: TableRow[] = [];
  for (const line of withoutCode(page).split("\n")) {
    if (!line.startsWith("|")) heads = null;
    else if (heads === null) heads = cells(line);
    else {
      const own = heads;
      const values = cells(line);
      const name = /^`([\w.]+)`$/u.exec(values[0] ?? "")?.[1];
      if (name === undefined) continue;
      rows.push({
        name,
        of: own[0] ?? "",
        cell: (head) => {
          const index = own.indexOf(head);
          return index < 0 ? undefined : plain(values[index] ?? "");
        },
      });
    }
  }
  return rows;
}

/** The members of an interface, in the order of the source, and each one's docstring. */
export function membersOf(path: string, interfaceName: string): ReadonlyMap<string, string> {
  const source = readFileSync(path, "utf8");
  const { program, comments } = parseSync(path, source);
  for (const statement of program.body) {
    const declaration = statement.type === "ExportNamedDeclaration" ? statement.declaration : statement;
    if (declaration?.type !== "TSInterfaceDeclaration" || declaration.id.name !== interfaceName) continue;
    return new Map(
      declaration.body.body.flatMap((member): [string, string][] => {
        if (member.type !== "TSPropertySignature" && member.type !== "TSMethodSignature") return [];
        if (member.key.type !== "Identifier") return [];
        const docstring = comments.findLast(({ end }) => end <= member.start)?.value ?? "";
        return [[member.key.name, docstring.replaceAll(/\n\s*\* ?/gu, " ").trim()]];
      }),
    );
  }
  throw new Error(`${path} declares no interface ${interfaceName}`);
}

export interface Link {
  readonly text: string;
  /** The file that it leads to, from the repository's root. */
  readonly path: string;
  readonly anchor: string | null;
}

/** The links of a page that lead into this repository. */
export function linksOf(path: string): readonly Link[] {
  const links = withoutCode(readPage(path)).matchAll(/\[(?<text>[^\]]+)\]\((?<target>[^)\s]+)\)/gu);
  return [...links].flatMap((match) => {
    const { text = "", target = "" } = match.groups ?? {};
    if (/^[a-z]+:/u.test(target)) return [];
    const [file = "", anchor = null] = target.split("#");
    return [{ text, path: file === "" ? path : normalize(join(dirname(path), file)), anchor }];
  });
}

/** The anchors of a page's headings, as the site and GitHub make them of plain words. */
export function anchorsOf(path: string): ReadonlySet<string> {
  const headings = withoutCode(readPage(path)).matchAll(/^#{1,6} (?<text>.*)$/gmu);
  return new Set(
    [...headings].map(({ groups }) =>
      plain(groups?.["text"] ?? "")
        .toLowerCase()
        .replaceAll(/[^\w\s-]/gu, "")
        .trim()
        .replaceAll(/\s/gu, "-"),
    ),
  );
}

function withoutCode(page: string): string {
  return page.replaceAll(/^```[\s\S]*?^```/gmu, "");
}

function cells(line: string): readonly string[] {
  return line
    .split(/(?<!\\)\|/u)
    .slice(1, -1)
    .map((cell) => cell.trim());
}

/** Without the marks for code, bold and links. */
function plain(text: string): string {
  return text.replaceAll(/\[([^\]]+)\]\([^)]*\)/gu, "$1").replaceAll(/[`*]/gu, "");
}
