import type { StandardSchemaV1 } from "@standard-schema/spec";

/** An issue as it travels: what Standard Schema asks of one. A library's own may hold functions, or the whole schema. */
export interface PlainIssue {
  readonly message: string;
  readonly path?: readonly (string | number)[];
}

/** Of symbols in a path only the text is kept. */
export function plainIssues(issues: readonly StandardSchemaV1.Issue[]): readonly PlainIssue[] {
  return issues.map(({ message, path }) => ({
    message,
    ...(path === undefined ? {} : { path: path.map(plainKey) }),
  }));
}

function plainKey(segment: PropertyKey | StandardSchemaV1.PathSegment): string | number {
  const key = typeof segment === "object" ? segment.key : segment;
  return typeof key === "number" ? key : String(key);
}
