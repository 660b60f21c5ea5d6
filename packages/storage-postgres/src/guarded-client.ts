import { TransactionUnavailableError } from "@holdfast/core/adapter";

export const TRANSACTION_KIND = "postgres";

/**
 * A driver's client for the time of one transaction. Once that is over, these methods of it refuse: whoever kept the client would
 * else write beside the transaction, or into another one that has its session by then.
 *
 * @param methods those that send something; each gives a promise
 */
export function guardedClient<Client extends object>(
  client: Client,
  methods: readonly string[],
  isOver: () => boolean,
): Client {
  return new Proxy(client, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property, target);
      if (typeof value !== "function" || !methods.includes(String(property))) return value;
      return (...args: unknown[]): unknown => {
        if (!isOver()) return Reflect.apply(value, target, args);
        const callback = args.at(-1);
        if (typeof callback !== "function") return Promise.reject(transactionOver());
        callback(transactionOver());
        return undefined;
      };
    },
  });
}

export function transactionOver(): TransactionUnavailableError {
  return new TransactionUnavailableError({
    wanted: TRANSACTION_KIND,
    why: "it is over: the handler that it belonged to has ended",
  });
}
