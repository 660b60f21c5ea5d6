/** So far down its causes an error is looked at. */
const MOST = 8;

/** An error and its causes, the outermost first. */
export function withCauses(thrown: unknown): readonly Error[] {
  const found: Error[] = [];
  for (let at = thrown; at instanceof Error && found.length < MOST; at = at.cause) found.push(at);
  return found;
}
