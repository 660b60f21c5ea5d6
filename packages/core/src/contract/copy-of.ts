/**
 * A copy of plain data: objects without a class, arrays, dates, maps and sets, as deep as they go, what is there twice once. All else,
 * such as an instance of a class or a function, is handed over as it is.
 */
export function copyOf<Value>(value: Value): Value {
  try {
    return copyWith(value, new Map());
  } catch {
    // A proxy around a map, or what is nested deeper than the stack is: no plain data.
    return value;
  }
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
    case Array.prototype:
      return copyProperties(value, made([]), copies);
    case Object.prototype:
      return copyProperties(value, made({}), copies);
    case null:
      return copyProperties(value, made(Object.create(null) as object), copies);
    default:
      return value;
  }
}

/** Also those that are named by symbols, and of an array its length, which its holes are part of. */
function copyProperties(from: object, to: object, copies: Map<unknown, unknown>): object {
  for (const key of Reflect.ownKeys(from)) {
    const property = Object.getOwnPropertyDescriptor(from, key) as PropertyDescriptor;
    if ("value" in property) property.value = copyWith<unknown>(property.value, copies);
    Object.defineProperty(to, key, property);
  }
  return to;
}
