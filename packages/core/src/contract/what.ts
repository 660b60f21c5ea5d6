/** What an error is about, "The input of ...": a function where it is put together only for an error. */
export type What = string | (() => string);

export function nameOf(what: What): string {
  return typeof what === "string" ? what : what();
}
