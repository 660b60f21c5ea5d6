/** What a runner process tells the test. `at` is of machineNow(). */
export type FromRunner =
  | { readonly type: "started"; readonly address: string | null }
  | { readonly type: "acquired"; readonly shardId: string; readonly at: number }
  | { readonly type: "lost"; readonly shardId: string; readonly reason: string; readonly at: number }
  | { readonly type: "metrics"; readonly metrics: Readonly<Record<string, number>> };

/** What the test asks a runner process. */
export type ToRunner = { readonly type: "metrics" };
