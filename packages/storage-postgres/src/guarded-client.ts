import { TransactionUnavailableError } from "@holdfast/core/adapter";

export const TRANSACTION_KIND = "postgres";

/**
 * A driver's client for the time of one transaction. Once that is over or lost, these methods of it refuse: whoever kept the client
 * would else write beside the transaction, or into another one that has its session by then.
 *
 * @param methods those that send something; each gives a promise, calls back, or takes something to submit
 * @param refusal what they refuse with. Null: they do not
 */
export function guardedClient<Client extends object>(
  client: Client,
  methods: readonly string[],
  refusal: () => Error | null,
): Client {
  return new Proxy(client, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property, target);
      if (typeof value !== "function" || !methods.includes(String(property))) return value;
      return (...args: unknown[]): unknown => {
        const error = refusal();
        if (error === null) return Reflect.apply(value, target, args);
        const callback = args.at(-1);
        if (typeof callback === "function") {
          callback(error);
          return undefined;
        }
        // Who submits a cursor reads from it, and awaits nothing: a promise that rejects would end the process.
        if (isSubmittable(args[0])) throw error;
        return Promise.reject(error);
      };
    },
  });
}

/** What `pg` takes in place of a text, such as a cursor or a stream. */
function isSubmittable(query: unknown): boolean {
  return typeof query === "object" && query !== null && "submit" in query;
}

export function transactionOver(): TransactionUnavailableError {
  return new TransactionUnavailableError({
    wanted: TRANSACTION_KIND,
    why: "it is over: the handler that it belonged to has ended",
  });
}
