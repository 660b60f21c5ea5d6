// Where this process has loaded the library from. Errors of one copy are no instances of another one's classes.

const COPIES = Symbol.for("@holdfast/core/copies");

/** Called once by each copy, as it is loaded. */
export function noteCopy(at: string | undefined): void {
  // A bundle in CommonJS has no import.meta.url.
  copiesLoaded().add(at ?? "a bundle");
}

/** What is wrong where there is more than one, or null. */
export function describeCopies(): string | null {
  const copies = copiesLoaded();
  if (copies.size < 2) return null;
  return (
    `This process has loaded ${copies.size} copies of @holdfast/core: ${[...copies].join(", ")}. An adapter that has another ` +
    "copy than its cluster throws errors that the cluster does not know, and takes for those of handlers: writes that failed are " +
    "not repeated. Install one copy: `npm ls @holdfast/core` shows who brings another."
  );
}

function copiesLoaded(): Set<string> {
  // All copies have one Error in common.
  const shared = Error as { [COPIES]?: Set<string> };
  return (shared[COPIES] ??= new Set());
}
