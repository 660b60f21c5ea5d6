const ANSWER = Symbol("answer");

/** Notes on an error that it is what a request came to, and not what kept its caller from hearing of it. */
export function asAnswer(error: Error): Error {
  return Object.defineProperty(error, ANSWER, { value: true });
}

/** Whether the request for which this was thrown has ended with it: asked for again under its key, it answers the same. */
export function isAnswer(error: unknown): boolean {
  return error instanceof Error && ANSWER in error;
}
