/**
 * Literals, quoted names, comments and bodies; of a comment that may have others within, its beginning. What is not closed goes on
 * to the end: so each place is read once. Words come along, and stay: a `$` within one begins no body.
 */
const OPAQUE = new RegExp(
  [
    /[eE]'[^'\\]*(?:(?:\\[\s\S]?|'')[^'\\]*)*(?:'|$)|'[^']*'|"[^"]*"/,
    /--[^\n\r]*|\/\*/,
    /\$([a-zA-Z_\u0080-\uffff][\w\u0080-\uffff]*)?\$[\s\S]*?(?:\$\1\$|$)/,
    /[a-zA-Z_\u0080-\uffff][\w$\u0080-\uffff]*/,
  ]
    .map(({ source }) => source)
    .join("|"),
  "g",
);

/**
 * PostgreSQL 18, "SQL Commands". `end` and `abort` are other words for COMMIT and ROLLBACK; ROLLBACK TO goes back to a savepoint, and
 * leaves the transaction open.
 */
const CONTROL =
  /(?:^|;)\s*(begin|start\s+transaction|commit|end|abort|rollback(?!\s+(?:(?:work|transaction)\s+)?to\b)|prepare\s+transaction)\b/i;

/** Without any of these nothing begins or ends. */
const WORDS = /begin|start|commit|end|abort|rollback|prepare/i;

/** The body of a function that is no literal ends with END. */
const BODY = /\bbegin\s+atomic\b/i;

/** The command by which a text begins or ends a transaction, as it is written; null: it leaves transactions as they are. */
export function transactionCommandOf(text: string): string | null {
  if (!WORDS.test(text)) return null;
  const plain = plainText(text);
  return BODY.test(plain) ? null : (CONTROL.exec(plain)?.[1] ?? null);
}

const TAKES_ROLE = /(?:^|;)\s*set\s+(?:(?:local|session)\s+)?(?:role|session\s+authorization)\b/i;
const CONFIGURES_ROLE = /\bset_config\s*\(\s*'(?:role|session_authorization)'/i;

/** Whether a text takes on another role, which may have no right to write the record. */
export function takesRole(text: string): boolean {
  if (!/role|authorization/i.test(text)) return false;
  return CONFIGURES_ROLE.test(text) || TAKES_ROLE.test(plainText(text));
}

/** Whether a text copies from whoever sends it. */
export function readsInput(text: string): boolean {
  return /copy/i.test(text) && /(?:^|;)\s*copy\b[^;]*\bfrom\s+stdin\b/i.test(plainText(text));
}

function plainText(text: string): string {
  let plain = "";
  let from = 0;
  // Also where the search of an earlier text threw.
  OPAQUE.lastIndex = 0;
  for (let found = OPAQUE.exec(text); found !== null; found = OPAQUE.exec(text)) {
    const [part] = found;
    plain += text.slice(from, found.index) + (/^[\w\u0080-\uffff](?!')/.test(part) ? part : " ");
    if (part === "/*") OPAQUE.lastIndex = endOfComment(text, OPAQUE.lastIndex);
    from = OPAQUE.lastIndex;
  }
  return plain + text.slice(from);
}

/** Comments have comments within. */
function endOfComment(text: string, from: number): number {
  const edges = /\/\*|\*\//g;
  edges.lastIndex = from;
  for (let depth = 1; depth > 0;) {
    const edge = edges.exec(text);
    if (edge === null) return text.length;
    depth += edge[0] === "/*" ? 1 : -1;
  }
  return edges.lastIndex;
}
