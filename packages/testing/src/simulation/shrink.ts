// Shrinking: makes a failing run smaller, by leaving out faults and operations for as long as the same rule is broken.

/** How many runs are made to find a smaller one, at the most. */
const MOST_RUNS = 150;

/**
 * The smallest list found for which `fails` still holds. Source: Zeller and Hildebrandt 2002, "Simplifying and isolating
 * failure-inducing input" (ddmin), without its search of complements at the same size.
 *
 * @param tries counts the runs, over several calls
 */
export async function shrinkList<Item>(
  items: readonly Item[],
  fails: (kept: readonly Item[]) => Promise<boolean>,
  tries: { left: number } = { left: MOST_RUNS },
): Promise<readonly Item[]> {
  let kept = items;
  for (let size = Math.ceil(kept.length / 2); size >= 1 && kept.length > 0;) {
    let isSmaller = false;
    for (let from = 0; from < kept.length && tries.left > 0;) {
      const without = [...kept.slice(0, from), ...kept.slice(from + size)];
      tries.left -= 1;
      if (await fails(without)) {
        kept = without;
        isSmaller = true;
      } else from += size;
    }
    if (tries.left === 0) return kept;
    if (size === 1 && !isSmaller) return kept;
    size = size === 1 ? 1 : Math.ceil(size / 2);
  }
  return kept;
}

export function newTries(): { left: number } {
  return { left: MOST_RUNS };
}
