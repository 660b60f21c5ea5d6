/** Where an object keeps what its live properties are read from. */
export const SOURCE: unique symbol = Symbol("source");

/**
 * A property that is read anew each time, by one function for all objects that have it: `Object.defineProperty(context,
 * "signal", SIGNAL)`. It is an object's own, so that a copy by spreading has its value.
 *
 * A getter in an object literal is a function of that object alone. V8 then makes a hidden class for each object, which
 * keeps what the getter refers to until the next full collection: a third of the time of short calls went there.
 */
export function liveProperty<Source, Value>(read: (source: Source) => Value): PropertyDescriptor {
  return {
    get(this: { readonly [SOURCE]: Source }) {
      return read(this[SOURCE]);
    },
    enumerable: true,
    configurable: true,
  };
}
