/**
 * A copy of plain data: objects without a class, arrays, dates, maps and sets, as deep as they go, what is there twice once. All else,
 * such as an instance of a class or a function, is handed over as it is.
 */
export function copyOf<Value>(value: Value): Value {
  return copyWith(value, new Map());
}

/** Of arguments, which are mostly texts and numbers: nothing of those can be changed. */
export function copiesOf(given: readonly unknown[]): readonly unknown[] {
  return given.every(isPrimitive) ? given : copyOf(given);
}

function copyWith<Value>(value: Value, copies: Map<unknown, unknown>): Value {
  return isPrimitive(value) ? value : ((copies.get(value) ?? copyObject(value as object, copies)) as Value);
}

function isPrimitive(value: unknown): boolean {
  return typeof value !== "object" || value === null;
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
      for (const each of value as readonly unknown[]) copy.push(copyWith(each, copies));
      return copy;
    }
    case Map.prototype: {
      const copy = made(new Map<unknown, unknown>());
      for (const [key, each] of value as ReadonlyMap<unknown, unknown>)
        copy.set(copyWith(key, copies), copyWith(each, copies));
      return copy;
    }
    case Set.prototype: {
      const copy = made(new Set<unknown>());
      for (const each of value as ReadonlySet<unknown>) copy.add(copyWith(each, copies));
      return copy;
    }
    case Object.prototype:
    case null: {
      const copy = made<object>(Object.create(Object.getPrototypeOf(value) as object | null) as object);
      for (const [key, descriptor] of Object.entries(Object.getOwnPropertyDescriptors(value)))
        Object.defineProperty(
          copy,
          key,
          "value" in descriptor ? { ...descriptor, value: copyWith(descriptor.value, copies) } : descriptor,
        );
      return copy;
    }
    default:
      return value;
  }
}
