/** An array of numbers or booleans as PostgreSQL reads it. */
export function plainArray(values: readonly (number | boolean | null)[]): string {
  return `{${values.map((value) => value ?? "NULL").join(",")}}`;
}

/** An array of texts as PostgreSQL reads it: each one quoted, so that none is taken for NULL or for a nested array. */
export function textArray(values: readonly (string | null)[]): string {
  // Long ones are written with each group: added up they take a third of the time of map, join and an expression.
  let text = "";
  for (const value of values) {
    if (text !== "") text += ",";
    text += value === null ? "NULL" : `"${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
  }
  return `{${text}}`;
}
