/** An array of numbers or booleans as PostgreSQL reads it. */
export function plainArray(values: readonly (number | boolean | null)[]): string {
  return `{${values.map((value) => value ?? "NULL").join(",")}}`;
}

/**
 * What JSON escapes and an array does not: control characters, and halves of surrogate pairs. Takes some texts for such that
 * are none.
 */
const ESCAPED_OTHERWISE = /\\[bfnrtu]/;

/** An array of texts as PostgreSQL reads it: each one quoted, so that none is taken for NULL or for a nested array. */
export function textArray(values: readonly (string | null)[]): string {
  // Of all others an array is what JSON is but for its brackets, and JSON is made two to six times as fast.
  const json = JSON.stringify(values);
  if (!ESCAPED_OTHERWISE.test(json)) return `{${json.slice(1, -1)}}`;
  return `{${values.map((value) => (value === null ? "NULL" : quoted(value))).join(",")}}`;
}

function quoted(value: string): string {
  return `"${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}
