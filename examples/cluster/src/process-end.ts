// How a process of the example ends: in order on SIGTERM and when its parent is gone, and in any case within a bound.

/** Longer than handlers may take to end, and shorter than whoever sent the signal waits before it kills. */
const WITHIN_MS = 6_000;
/** For a process that first ends others, which may take as long. */
export const WITH_CHILDREN_MS = 20_000;

/**
 * Calls `end` once, on SIGTERM or when the process that forked this one is gone, and then exits with 0. A process that is
 * not done in time, since its database is gone, say, exits with 1. Call it before anything that takes long.
 */
export function endInOrder(end: () => Promise<void>, withinMs: number = WITHIN_MS): void {
  let isEnding = false;
  const begin = (): void => {
    if (isEnding) return;
    isEnding = true;
    setTimeout(() => process.exit(1), withinMs).unref();
    end().then(
      () => process.exit(0),
      (error: unknown) => {
        console.error(error);
        process.exit(1);
      },
    );
  };
  process.on("SIGTERM", begin);
  if (process.send === undefined) {
    process.on("SIGINT", begin);
    return;
  }
  // The terminal's Ctrl-C goes to every process; the parent says when this one is to end.
  process.on("SIGINT", () => undefined);
  process.once("disconnect", begin);
  // It may have gone while the modules were loaded.
  if (!process.connected) begin();
}

/** Says to the process that forked this one, if any, what it waits for. */
export function tellParent(message: ChildMessage): void {
  process.send?.(message);
}

/** What a child says once it works: where it is reached. */
export interface ChildMessage {
  readonly address: string;
}
