/**
 * A copy of plain data: objects without a class, arrays, dates, maps and sets, as deep as they go, what is there twice once. All else,
 * such as an instance of a class or a function, is handed over as it is.
 */
export function copyOf<Value>(value: Value, copies: Map<unknown, unknown> = new Map()): Value {
  if (typeof value !== "object" || value === null) return value;
  return (copies.get(value) ?? copyObject(value, copies)) as Value;
}

function copyObject(value: object, copies: Map<unknown, unknown>): unknown {
  const made = <Copy>(copy: Copy): Copy => {
    copies.set(value, copy);
    return copy;
  };
  switch (Object.getPrototypeOf(value)) {
    case Date.prototype:
      return made(new Date((value as Date).getTime()));
    case Array.prototype: {
      const copy = made<unknown[]>([]);
      for (const each of value as readonly unknown[]) copy.push(copyOf(each, copies));
      return copy;
    }
    case Map.prototype: {
      const copy = made(new Map<unknown, unknown>());
      for (const [key, each] of value as ReadonlyMap<unknown, unknown>)
        copy.set(copyOf(key, copies), copyOf(each, copies));
      return copy;
    }
    case Set.prototype: {
      const copy = made(new Set<unknown>());
      for (const each of value as ReadonlySet<unknown>) copy.add(copyOf(each, copies));
      return copy;
    }
    case Object.prototype:
    case null: {
      const copy = made<object>(Object.create(Object.getPrototypeOf(value) as object | null) as object);
      for (const [key, descriptor] of Object.entries(Object.getOwnPropertyDescriptors(value)))
        Object.defineProperty(
          copy,
          key,
          "value" in descriptor ? { ...descriptor, value: copyOf(descriptor.value, copies) } : descriptor,
        );
      return copy;
    }
    default:
      return value;
  }
}
