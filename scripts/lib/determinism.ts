// Finds where code takes time, chance or the environment from its surroundings instead of from Clock and Random.
//
// The runners of a simulation share a process and a virtual clock: one look at the real one, and a seed no longer replays.
//
// Reads syntax, not types. A name of the list stands for the real thing wherever it is used as a value, a local of that
// name included: one that hides a global hides it from the reader too. Objects of which a part is allowed (`Date`,
// `Math`, `process`) are allowed by a member that is written out; taken whole, they could carry the rest along.
// It does not look into libraries: that one keeps timers of its own is for review to see.

import { parseSync } from "oxc-parser";

export interface AmbientUse {
  /** From 1. */
  readonly line: number;
  /** As written, for instance `Date.now`. */
  readonly use: string;
}

const FORBIDDEN_NAMES = new Set([
  "setTimeout",
  "setInterval",
  "setImmediate",
  "performance",
  "scheduler",
  "Temporal",
  "FinalizationRegistry",
  "WeakRef",
]);

const FORBIDDEN_MODULES = new Set(["timers", "timers/promises", "perf_hooks"]);

const RANDOM = /^(random|getRandomValues|generate|webcrypto)/u;

/** Whether a member of a partly allowed object is forbidden. */
const FORBIDDEN_MEMBERS: Readonly<Record<string, (member: string) => boolean>> = {
  Date: (member) => member === "now",
  Math: (member) => member === "random",
  AbortSignal: (member) => member === "timeout",
  crypto: (member) => RANDOM.test(member),
  process: (member) => ["env", "hrtime", "uptime", "nextTick"].includes(member),
};

/** Modules whose exports are forbidden as the members of an object of the same name are. */
const PARTLY_ALLOWED_MODULES = new Set(["crypto", "process"]);

const GLOBAL_OBJECTS = new Set(["globalThis", "global"]);

/** Nodes that begin with TS and hold values; all others are types, which are gone at run time. */
const TYPED_VALUES = new Set([
  "TSAsExpression",
  "TSSatisfiesExpression",
  "TSNonNullExpression",
  "TSTypeAssertion",
  "TSInstantiationExpression",
  "TSExportAssignment",
  "TSParameterProperty",
  "TSEnumDeclaration",
  "TSEnumBody",
  "TSEnumMember",
  "TSModuleDeclaration",
  "TSModuleBlock",
]);

interface Node {
  readonly type: string;
  readonly start: number;
  readonly [key: string]: unknown;
}

/** Each read of time or chance in `source`, in its order. @throws {SyntaxError} it does not parse */
export function findAmbientUses(fileName: string, source: string): readonly AmbientUse[] {
  const parsed = parseSync(fileName, source);
  const problem = parsed.errors[0];
  if (problem !== undefined) throw new SyntaxError(`${fileName} does not parse: ${problem.message}`);

  const found = new Map<number, string>();
  /** Local names of partly allowed objects: the globals, and what modules were imported as. */
  const partlyAllowed = new Map(Object.keys(FORBIDDEN_MEMBERS).map((name) => [name, name]));
  const program: unknown = parsed.program;

  walk(program as Node, (node) => {
    const module = moduleOf(node);
    if (module === undefined) return;
    if (FORBIDDEN_MODULES.has(module)) found.set(node.start, `node:${module}`);
    if (!PARTLY_ALLOWED_MODULES.has(module)) return;
    if (node.type !== "ImportDeclaration") {
      if (node.type !== "ExportNamedDeclaration") found.set(node.start, `node:${module}, taken whole`);
      else for (const each of specifiersOf(node)) checkName(module, nameOf(each["local"]), each.start);
      return;
    }
    for (const each of specifiersOf(node)) {
      if (each.type === "ImportSpecifier") {
        const imported = nameOf(each["imported"]);
        if (imported === "default") partlyAllowed.set(nameOf(each["local"]) ?? "", module);
        else checkName(module, imported, each.start);
      } else partlyAllowed.set(nameOf(each["local"]) ?? "", module);
    }
  });

  walk(program as Node, (node, parents) => {
    const name = globalName(node, parents);
    if (name === undefined) return;
    const parent = parents.at(-1);
    if (FORBIDDEN_NAMES.has(name)) found.set(node.start, name);
    else if (GLOBAL_OBJECTS.has(name)) {
      // Its member, if written out, was looked at as the global that it is.
      if (memberOf(parent, node) === undefined) found.set(node.start, `${name}, taken whole`);
    } else {
      const object = partlyAllowed.get(name);
      if (object === undefined) return;
      if (object === "Date" && isDateOfArguments(parent, node)) return;
      if (isComparison(parent, node)) return;
      const member = memberOf(parent, node);
      if (member !== undefined) checkName(object, member, node.start, name);
      else found.set(node.start, parent?.type === "NewExpression" ? `new ${name}()` : `${name}, taken whole`);
    }
  });

  function checkName(object: string, member: string | undefined, at: number, written: string = object): void {
    if (member !== undefined && FORBIDDEN_MEMBERS[object]?.(member) === true)
      found.set(at, `${written}.${member}`);
  }

  return [...found]
    .toSorted(([a], [b]) => a - b)
    .map(([at, use]) => ({ line: source.slice(0, at).split("\n").length, use }));
}

/** The name of the global that `node` may stand for: a plain identifier, or a member of globalThis. */
function globalName(node: Node, parents: readonly Node[]): string | undefined {
  if (node.type === "Identifier") return isReference(node, parents.at(-1)) ? nameOf(node) : undefined;
  const object = node["object"] as Node | undefined;
  if (node.type !== "MemberExpression" || object?.type !== "Identifier") return undefined;
  return GLOBAL_OBJECTS.has(nameOf(object) ?? "") ? memberOf(node, object) : undefined;
}

/** Whether an identifier stands for a value, or names a property, a label or a part of an import. */
function isReference(node: Node, parent: Node | undefined): boolean {
  if (parent === undefined) return true;
  switch (parent.type) {
    case "MemberExpression":
      return parent["object"] === node || parent["computed"] === true;
    case "Property":
    case "MethodDefinition":
    case "PropertyDefinition":
    case "AccessorProperty":
      return parent["value"] === node || parent["computed"] === true;
    case "ImportSpecifier":
    case "ImportDefaultSpecifier":
    case "ImportNamespaceSpecifier":
      return parent["local"] === node && FORBIDDEN_NAMES.has(nameOf(node) ?? "");
    case "ExportSpecifier":
      return parent["local"] === node;
    case "ExportAllDeclaration":
    case "LabeledStatement":
    case "BreakStatement":
    case "ContinueStatement":
    case "MetaProperty":
    case "ImportAttribute":
      return false;
    default:
      return true;
  }
}

/** The member that `parent` takes of `object`; undefined where it takes none, or one that is computed. */
function memberOf(parent: Node | undefined, object: Node): string | undefined {
  if (parent?.type !== "MemberExpression" || parent["object"] !== object) return undefined;
  const property = parent["property"] as Node;
  if (parent["computed"] !== true) return nameOf(property);
  return typeof property["value"] === "string" ? property["value"] : undefined;
}

/** `new Date(x)`, which reads no clock. A spread may be empty. */
function isDateOfArguments(parent: Node | undefined, node: Node): boolean {
  if (parent?.type !== "NewExpression" || parent["callee"] !== node) return false;
  const first = (parent["arguments"] as readonly Node[])[0];
  return first !== undefined && first.type !== "SpreadElement";
}

/** `x instanceof Date` or `typeof process`. */
function isComparison(parent: Node | undefined, node: Node): boolean {
  if (parent?.type === "UnaryExpression") return parent["operator"] === "typeof";
  return (
    parent?.type === "BinaryExpression" && parent["operator"] === "instanceof" && parent["right"] === node
  );
}

/** The module that a node imports, without `node:`. */
function moduleOf(node: Node): string | undefined {
  let from = node["source"] as Node | null | undefined;
  if (node.type === "CallExpression" && nameOf(node["callee"]) === "require")
    from = (node["arguments"] as readonly Node[])[0];
  const value = from?.["value"];
  return typeof value === "string" ? value.replace(/^node:/u, "") : undefined;
}

/** What an import or export lists, types left out. */
function specifiersOf(node: Node): readonly Node[] {
  return (node["specifiers"] as readonly Node[]).filter((each) => !isType(each));
}

function isType(node: Node): boolean {
  if (node["importKind"] === "type" || node["exportKind"] === "type") return true;
  return node.type.startsWith("TS") && !TYPED_VALUES.has(node.type);
}

function nameOf(node: unknown): string | undefined {
  const { name, value } = (node ?? {}) as { name?: unknown; value?: unknown };
  return typeof name === "string" ? name : typeof value === "string" ? value : undefined;
}

function walk(
  node: Node,
  visit: (node: Node, parents: readonly Node[]) => void,
  parents: readonly Node[] = [],
): void {
  if (isType(node)) return;
  visit(node, parents);
  const inside = [...parents, node];
  for (const child of Object.values(node).flat()) {
    if (typeof child === "object" && child !== null && "type" in child) walk(child as Node, visit, inside);
  }
}
