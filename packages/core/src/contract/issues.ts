import type { StandardSchemaV1 } from "@standard-schema/spec";

/** An issue as it travels: what Standard Schema asks of one. A library's own may hold functions, or the whole schema. */
export interface PlainIssue {
  readonly message: string;
  readonly path?: readonly (string | number)[];
}

/** As a schema of the user's own may give it: without a path where that is null, with a message that is no text. */
interface GivenIssue {
  readonly message: unknown;
  readonly path?: StandardSchemaV1.Issue["path"] | null;
}

/** Of symbols in a path only the text is kept. */
export function plainIssues(issues: readonly GivenIssue[]): readonly PlainIssue[] {
  return issues.map(({ message, path = null }) => ({
    message: String(message),
    // `map` of the array that arktype has for a path makes one with a key that is not there.
    ...(path === null ? {} : { path: Array.from(path, plainKey) }),
  }));
}

function plainKey(segment: PropertyKey | StandardSchemaV1.PathSegment): string | number {
  const key = typeof segment === "object" ? segment.key : segment;
  return typeof key === "number" ? key : String(key);
}
