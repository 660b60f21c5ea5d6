/** Milliseconds of the machine's monotonic clock: the same in every process, so that their events can be put in order. */
export function machineNow(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** Lets a fault last. */
export function lasting(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Resolves once `holds()`, which is asked every 20 ms. @throws {Error} it did not within `limitMs`; names `what` */
export async function until(
  what: string,
  limitMs: number,
  holds: () => boolean | Promise<boolean>,
): Promise<void> {
  const deadline = machineNow() + limitMs;
  while (!(await holds())) {
    if (machineNow() > deadline) throw new Error(`After ${limitMs} ms still not: ${what}`);
    await lasting(20);
  }
}
