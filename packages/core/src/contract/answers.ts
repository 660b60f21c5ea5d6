/** Errors that a reply brought. Beside the errors, which are of users' own classes, too. */
const ANSWERS = new WeakSet<Error>();

/** Notes that this error is what a request came to, and not what kept its caller from hearing of it. */
export function asAnswer(error: Error): Error {
  ANSWERS.add(error);
  return error;
}

/** Whether the request for which this was thrown has ended with it: asked for again under its key, it answers the same. */
export function isAnswer(error: unknown): boolean {
  return error instanceof Error && ANSWERS.has(error);
}
