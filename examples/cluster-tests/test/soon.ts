import { setTimeout as wait } from "node:timers/promises";

/** How long something may take that happens by itself, and how often it is looked for. In milliseconds. */
export const SOON = { timeout: 60_000, interval: 50 };

/** Resolves once it holds. @throws {Error} it took longer than anything may; says what it was last */
export async function until<Seen>(
  what: string,
  look: () => Promise<Seen>,
  holds: (seen: Seen) => boolean,
): Promise<void> {
  const deadline = performance.now() + SOON.timeout;
  for (;;) {
    const seen = await look();
    if (holds(seen)) return;
    if (performance.now() > deadline)
      throw new Error(`Not ${what} after ${SOON.timeout} ms: ${JSON.stringify(seen)}`);
    await wait(SOON.interval);
  }
}
