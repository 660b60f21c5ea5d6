// Finds where code takes time, chance or the environment from its surroundings instead of from Clock and Random.
//
// The runners of a simulation share a process and a virtual clock: one look at the real one, and a seed no longer replays.

import { parseSync } from "oxc-parser";

export interface AmbientUse {
  readonly line: number;
  /** The code as it stands: `Date.now`. */
  readonly use: string;
}

/** Members of globals. `*` forbids all of them. */
const FORBIDDEN_MEMBERS: Readonly<Record<string, readonly string[] | "*">> = {
  Date: ["now"],
  Math: ["random"],
  performance: "*",
  AbortSignal: ["timeout"],
  process: ["env", "hrtime", "uptime", "nextTick"],
  crypto: ["getRandomValues", "randomUUID", "randomBytes", "randomInt"],
};
const FORBIDDEN_CALLS: ReadonlySet<string> = new Set(["setTimeout", "setInterval", "setImmediate"]);
const FORBIDDEN_CLASSES: ReadonlySet<string> = new Set(["FinalizationRegistry", "WeakRef"]);
const FORBIDDEN_MODULES = /^(node:)?(timers(\/promises)?|perf_hooks)$/u;
const FORBIDDEN_IMPORTS: ReadonlySet<string> = new Set(["randomUUID", "randomBytes", "randomInt", "randomFillSync", "getRandomValues", "webcrypto"]);

/** @throws {SyntaxError} the source cannot be parsed */
export function findAmbientUses(fileName: string, source: string): readonly AmbientUse[] {
  const { program, errors } = parseSync(fileName, source);
  if (errors.length > 0) throw new SyntaxError(`${fileName}: ${errors[0]?.message ?? "cannot be parsed"}`);
  const uses: AmbientUse[] = [];
  const report = (node: Node, use: string): void => {
    uses.push({ line: source.slice(0, node.start).split("\n").length, use });
  };
  walk(program as unknown as Node, (node) => {
    switch (node.type) {
      case "MemberExpression": {
        const object = identifierOf(node["object"]) ?? globalMember(node["object"]);
        const property = identifierOf(node["property"]) ?? literalOf(node["property"]);
        const members = object === undefined || !Object.hasOwn(FORBIDDEN_MEMBERS, object) ? undefined : FORBIDDEN_MEMBERS[object];
        if (members === "*" || (property !== undefined && members?.includes(property) === true)) report(node, `${object}.${property ?? "[...]"}`);
        if (identifierOf(node["object"]) === "globalThis" && property !== undefined && FORBIDDEN_CALLS.has(property)) report(node, `globalThis.${property}`);
        break;
      }
      case "CallExpression": {
        const callee = identifierOf(node["callee"]);
        if (callee !== undefined && FORBIDDEN_CALLS.has(callee)) report(node, callee);
        if (callee === "Date") report(node, "Date()");
        break;
      }
      case "NewExpression": {
        const callee = identifierOf(node["callee"]);
        const args = node["arguments"];
        if (callee === "Date" && Array.isArray(args) && args.length === 0) report(node, "new Date()");
        if (callee !== undefined && FORBIDDEN_CLASSES.has(callee)) report(node, `new ${callee}`);
        break;
      }
      case "ImportDeclaration": {
        const module = literalOf(node["source"]);
        if (module !== undefined && FORBIDDEN_MODULES.test(module)) report(node, `import "${module}"`);
        break;
      }
      case "ImportSpecifier": {
        const name = identifierOf(node["imported"]);
        if (name !== undefined && FORBIDDEN_IMPORTS.has(name)) report(node, `import { ${name} }`);
        break;
      }
      default:
    }
  });
  return uses;
}

interface Node {
  readonly type: string;
  readonly start: number;
  readonly [key: string]: unknown;
}

function walk(node: Node, visit: (node: Node) => void): void {
  visit(node);
  for (const child of Object.values(node)) {
    for (const each of Array.isArray(child) ? child : [child]) if (isNode(each)) walk(each, visit);
  }
}

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && "type" in value && typeof value.type === "string";
}

function identifierOf(node: unknown): string | undefined {
  return isNode(node) && node.type === "Identifier" && typeof node["name"] === "string" ? node["name"] : undefined;
}

function literalOf(node: unknown): string | undefined {
  return isNode(node) && node.type === "Literal" && typeof node["value"] === "string" ? node["value"] : undefined;
}

/** The member of `globalThis.X`. */
function globalMember(node: unknown): string | undefined {
  if (!isNode(node) || node.type !== "MemberExpression" || identifierOf(node["object"]) !== "globalThis") return undefined;
  return identifierOf(node["property"]);
}
