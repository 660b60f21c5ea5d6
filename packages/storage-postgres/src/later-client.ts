/** As much of a transaction as is needed for its client. */
interface Begun {
  readonly native: unknown;
}

/**
 * Stands for the client of a transaction that has not begun: calling one of these methods begins it, and calls that method there.
 * Calls arrive in their order.
 */
export function laterClient(
  methods: readonly string[],
  begin: () => Promise<Begun>,
): Readonly<Record<string, unknown>> {
  const later = (method: string) => {
    return async (...args: unknown[]): Promise<unknown> => {
      const { native } = await begin();
      return (native as Readonly<Record<string, (...args: unknown[]) => unknown>>)[method]?.(...args);
    };
  };
  return Object.fromEntries(methods.map((method) => [method, later(method)]));
}
