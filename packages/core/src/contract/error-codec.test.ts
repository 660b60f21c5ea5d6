import { Buffer } from "node:buffer";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { EncodedError } from "../data/encoded-error.ts";
import { ConfigError } from "../errors/config.ts";
import { HoldfastError } from "../errors/holdfast-error.ts";
import { RemoteError } from "../errors/remote-error.ts";
import { InvalidInputError, MailboxFullError } from "../errors/routing.ts";
import { FencedError, PersistenceError } from "../errors/storage.ts";
import { WorkflowFailedError } from "../errors/workflow.ts";
import { encodeBoundedError } from "./bounded-error.ts";
import { decodeError, encodeError } from "./error-codec.ts";
import { isRetryable } from "./retryable.ts";
import type { ErrorClass } from "./rpc.ts";

class OutOfStockError extends Error {
  override readonly name = "OutOfStockError";
  readonly code = "OUT_OF_STOCK";
  readonly productId: number;
  readonly since: Date;

  constructor(productId: number) {
    super(`Product ${productId} is out of stock`);
    this.productId = productId;
    this.since = new Date(0);
  }

  describe(): string {
    return `${this.productId} since ${this.since.getTime()}`;
  }
}

const shown = { exposeStacks: true };
const travel = (
  thrown: unknown,
  classes: readonly ErrorClass[] = [],
  options: { exposeStacks: boolean } = shown,
): Error => {
  const text = JSON.stringify(encodeError(thrown, options));
  return decodeError(JSON.parse(text) as EncodedError, classes);
};

describe("an error that travels", () => {
  it("arrives as RemoteError with its name, message, code, stack and fields", () => {
    const thrown = new OutOfStockError(7);
    const arrived = travel(thrown);
    expect(arrived).toBeInstanceOf(RemoteError);
    expect(arrived).toBeInstanceOf(HoldfastError);
    expect(arrived).toMatchObject({
      name: "OutOfStockError",
      message: "Product 7 is out of stock",
      code: "OUT_OF_STOCK",
      retryable: false,
      stack: thrown.stack,
      data: { productId: 7, since: new Date(0) },
    });
  });

  it("arrives as an instance of its class although that has getters by its fields' names, and setters that throw", () => {
    class OutOfStock extends Error {
      get code(): string {
        return "OUT_OF_STOCK";
      }
      get left(): number {
        return 0;
      }
      set left(_: number) {
        throw new Error("set");
      }
    }
    const thrown = Object.defineProperty(new OutOfStock("none left"), "left", { value: 3, enumerable: true });
    const arrived = travel(thrown, [DOMException, OutOfStock]);
    expect(arrived).toBeInstanceOf(OutOfStock);
    expect(arrived).toMatchObject({ message: "none left", code: "OUT_OF_STOCK", left: 3 });
  });

  it("asks for no other attempt where its getter throws", () => {
    const thrown = Object.defineProperty(new Error("x"), "retryable", {
      get: () => {
        throw new Error("get");
      },
    });
    expect(isRetryable(thrown)).toBe(false);
  });

  it("keeps a code that is a number where it arrives as an instance of its class", () => {
    class HttpError extends Error {
      readonly code = 404;
    }
    const arrived = travel(new HttpError("not found"), [HttpError]);
    expect(arrived).toBeInstanceOf(HttpError);
    expect(arrived).toMatchObject({ code: 404, message: "not found" });
  });

  it("has the code REMOTE where it had none, and its number as text where it had one", () => {
    expect(travel(new Error("x"))).toMatchObject({ name: "Error", code: "REMOTE" });
    const remote = travel(Object.assign(new Error("x"), { code: 42 }));
    expect(remote).toMatchObject({ code: "42", data: { code: 42 } });
    expect(travel(remote), "also over a second hop").toMatchObject({ code: "42", data: { code: 42 } });
  });

  it("arrives as an instance of its class where that is listed", () => {
    const arrived = travel(new OutOfStockError(7), [RangeError, OutOfStockError]);
    expect(arrived).toBeInstanceOf(OutOfStockError);
    expect(arrived).toMatchObject({
      name: "OutOfStockError",
      message: "Product 7 is out of stock",
      productId: 7,
    });
    expect((arrived as OutOfStockError).describe()).toBe("7 since 0");
  });

  it("arrives as an instance of its class although its name is another one's", () => {
    class Unnamed extends Error {
      readonly detail = 5;
    }
    // Its `name` is "Error": the class itself was never told.
    const arrived = travel(new Unnamed("x"), [Unnamed]);
    expect(arrived).toBeInstanceOf(Unnamed);
    expect(arrived).toMatchObject({ message: "x", detail: 5 });
    expect(travel(new Error("plain"), [Unnamed])).toBeInstanceOf(RemoteError);
  });

  it.each([
    new MailboxFullError({ entity: "Counter/a", capacity: 3 }),
    new FencedError({ shardId: "default:1", epoch: 1, current: 2 }),
    new PersistenceError({ operation: "saveReply", outcome: "unknown", detail: "x" }),
    new InvalidInputError({ of: "Counter.add", issues: [{ message: "wrong", path: ["amount"] }] }),
    new ConfigError({ option: "timeout", got: -1, takes: "a duration" }),
    new WorkflowFailedError({ workflow: "Order", executionId: "1", reason: "x" }),
  ])("of the library arrives as its own class: $name", (thrown) => {
    const arrived = travel(thrown);
    expect(arrived).toBeInstanceOf(thrown.constructor);
    expect(arrived).toMatchObject({
      name: thrown.name,
      message: thrown.message,
      code: thrown.code,
      retryable: thrown.retryable,
    });
    expect(Object.fromEntries(Object.entries(arrived))).toEqual(
      Object.fromEntries(Object.entries(thrown).filter(([key]) => key !== "name")),
    );
    expect(arrived.stack).toBe(thrown.stack);
  });

  it("is not taken for one of the library because its name says so", () => {
    const thrown = Object.assign(new Error("I am not"), { name: "FencedError" });
    expect(travel(thrown)).toBeInstanceOf(RemoteError);
    expect(travel(thrown)).toMatchObject({ name: "FencedError", message: "I am not" });
    const further = travel(travel(thrown));
    expect(further, "when it travels on").toBeInstanceOf(RemoteError);
    expect(isRetryable(further)).toBe(false);
  });

  it("stays what it is when it travels on", () => {
    const once = travel(new OutOfStockError(7));
    expect(travel(once)).toMatchObject({
      name: "OutOfStockError",
      code: "OUT_OF_STOCK",
      message: once.message,
    });
    expect(travel(once, [OutOfStockError])).toBeInstanceOf(OutOfStockError);
    expect(travel(once, [OutOfStockError])).toMatchObject({ productId: 7 });
  });

  it("brings its causes, each by the same rules", () => {
    const thrown = new WorkflowFailedError(
      { workflow: "Order", executionId: "1", reason: "x" },
      { cause: new Error("outer", { cause: new OutOfStockError(7) }) },
    );
    const arrived = travel(thrown, [OutOfStockError]);
    expect(arrived).toBeInstanceOf(WorkflowFailedError);
    expect(arrived.cause).toBeInstanceOf(RemoteError);
    expect((arrived.cause as Error).cause).toBeInstanceOf(OutOfStockError);
    expect(travel(new Error("x", { cause: "text" })).cause).toMatchObject({
      name: "NonError",
      message: expect.stringContaining("text"),
    });
    expect(travel(undefined)).toHaveProperty(
      "message",
      "Something that is not an Error was thrown: undefined",
    );
  });

  it("ends a chain of causes that has no end", () => {
    const thrown = new Error("round");
    thrown.cause = thrown;
    let depth = 0;
    for (let at: unknown = travel(thrown); at instanceof Error; at = at.cause) depth += 1;
    expect(depth).toBeGreaterThan(1);
    expect(depth).toBeLessThan(20);
  });

  it("has no stack of the other side where stacks are not exposed", () => {
    const thrown = new Error("outer", { cause: new OutOfStockError(7) });
    const text = JSON.stringify(encodeError(thrown, { exposeStacks: false }));
    expect(text).not.toContain("error-codec.test");
    expect(travel(thrown, [], { exposeStacks: false }).stack).not.toBe(thrown.stack);
  });

  it("loses a field that cannot travel, and not itself", () => {
    const thrown = Object.assign(new Error("x"), {
      socket: new AbortController(),
      retry: () => undefined,
      port: 5,
    });
    Object.defineProperty(thrown, "__proto__", { value: { host: "h" }, enumerable: true });
    expect(travel(thrown)).toMatchObject({ message: "x", data: { port: 5 } });
    expect(Object.keys((travel(thrown) as RemoteError).data)).toEqual(["port"]);
  });

  it("loses a field whose getter throws, and not itself", () => {
    const thrown = new Error("x");
    Object.defineProperty(thrown, "bad", {
      enumerable: true,
      get: () => {
        throw new Error("never");
      },
    });
    expect(travel(thrown)).toMatchObject({ message: "x" });
  });

  it.each(["code", "stack", "cause", "constructor"])("loses a %s that throws, and not itself", (key) => {
    const thrown = Object.assign(new Error("x"), { name: "Odd", port: 5 });
    Object.defineProperty(thrown, key, {
      get: () => {
        throw new Error("never");
      },
    });
    expect(travel(thrown)).toMatchObject({ name: "Odd", message: "x", data: { port: 5 } });
  });

  it("is not taken for one of the library's, whatever it is called", () => {
    class TimeoutError extends Error {
      override readonly name = "TimeoutError";
      readonly code = "TIMEOUT";
      readonly retryable = false;
    }
    expect(travel(new TimeoutError("mine"))).toBeInstanceOf(RemoteError);
    expect(travel(new TimeoutError("mine"), [TimeoutError])).toBeInstanceOf(TimeoutError);
  });

  it("arrives as its own class where that is listed and extends one of the library's", () => {
    class TooMany extends MailboxFullError {}
    const full = new TooMany({ entity: "Desk/a", capacity: 3 });
    expect(travel(full, [TooMany])).toBeInstanceOf(TooMany);
    expect(travel(full)).toBeInstanceOf(MailboxFullError);
    const plain = new MailboxFullError({ entity: "Desk/a", capacity: 3 });
    expect(travel(plain, [TooMany])).not.toBeInstanceOf(TooMany);
  });

  it("is the library's own although a class is listed that is named as its own class, and has nothing to do with it", () => {
    class TooMany extends MailboxFullError {}
    const Alien = { TooMany: class extends Error {} }.TooMany;
    const full = new TooMany({ entity: "Desk/a", capacity: 3 });
    expect(travel(full, [Alien])).toBeInstanceOf(MailboxFullError);
    expect(travel(new Alien("x"), [Alien])).toBeInstanceOf(Alien);
  });

  it("keeps the issues of any schema library: what each says, and where", () => {
    class Issue {
      readonly message = "must be positive";
      readonly path = [{ key: "items" }, 0, Symbol("s")];
      readonly schema = (): void => undefined;
    }
    const error = new InvalidInputError({ of: "Desk.charge", issues: [new Issue(), { message: "odd" }] });
    expect(travel(error)).toBeInstanceOf(InvalidInputError);
    expect((travel(error) as InvalidInputError).issues).toEqual([
      { message: "must be positive", path: ["items", 0, "Symbol(s)"] },
      { message: "odd" },
    ]);
  });

  it("cannot change what an error is by its fields", () => {
    const encoded: EncodedError = {
      name: "OutOfStockError",
      message: "m",
      code: null,
      stack: null,
      data: '{"__proto__":{"admin":true},"message":"other","name":"Other","stack":"other","productId":1}',
      cause: null,
      own: false,
    };
    for (const classes of [[], [OutOfStockError]]) {
      const arrived = decodeError(encoded, classes) as Error & { admin?: unknown };
      expect(arrived.message).toBe("m");
      expect(arrived.name).toBe("OutOfStockError");
      expect(arrived.admin).toBeUndefined();
    }
  });

  it("cannot be made to run a constructor", () => {
    class Harmful extends Error {
      override readonly name = "Harmful";
      constructor() {
        super("constructed");
        throw new Error("must not run");
      }
    }
    const thrown = Object.assign(new Error("x"), { name: "Harmful" });
    expect(travel(thrown, [Harmful])).toBeInstanceOf(Harmful);
  });

  it.each([
    ["text"],
    [5],
    [null],
    [undefined],
    [{ a: 1 }],
    [Symbol("s")],
    [() => undefined],
    [
      new Proxy(
        {},
        {
          ownKeys: () => {
            throw new Error("no");
          },
        },
      ),
    ],
  ])("that is no Error arrives as a RemoteError that says so: %#", (thrown) => {
    const arrived = travel(thrown);
    expect(arrived).toBeInstanceOf(RemoteError);
    expect(arrived).toMatchObject({ code: "NON_ERROR" });
    expect(arrived.message).toMatch(/not an Error/);
    expect(arrived.message.length).toBeLessThan(400);
  });

  it.each([
    ["5n", 5n],
    ["NaN", Number.NaN],
    ["1970-01-01T00:00:00.000Z", new Date(0)],
    ["Invalid Date", new Date(Number.NaN)],
  ])("that is no Error is shown as it is written: %s", (written, thrown) => {
    expect(travel(thrown).message).toBe(`Something that is not an Error was thrown: ${written}`);
  });

  it("arrives with what it was made of, also where that is itself, or no Error", () => {
    const errors: unknown[] = [Object.assign(new TypeError("a"), { code: 7 }), "b"];
    const thrown = new AggregateError(errors, "all of them");
    thrown.errors.push(thrown);
    expect(travel(thrown)).toMatchObject({
      name: "AggregateError",
      message: "all of them",
      data: {
        errors: [
          { name: "TypeError", message: "a", code: "7" },
          { name: "NonError", message: 'Something that is not an Error was thrown: "b"' },
          { name: "AggregateError", message: "all of them" },
        ],
      },
    });
    thrown.errors = 5 as never;
    expect(travel(thrown)).toMatchObject({ name: "AggregateError", message: "all of them" });
  });

  it("is encoded whatever was thrown", () => {
    fc.assert(
      fc.property(fc.anything(), (thrown) => {
        expect(travel(thrown)).toBeInstanceOf(Error);
      }),
    );
    fc.assert(
      fc.property(fc.string(), fc.dictionary(fc.string(), fc.anything()), (message, fields) => {
        const thrown = new Error(message);
        for (const [key, value] of Object.entries(fields))
          Object.defineProperty(thrown, key, { value, enumerable: true });
        expect(travel(thrown)).toBeInstanceOf(Error);
      }),
    );
  });
});

describe("an error that is too large", () => {
  it("stays what it is where a field fits by itself, and no deeper", () => {
    let deep: unknown = "end";
    for (let depth = 0; depth < 201; depth += 1) deep = [deep];
    const thrown = Object.assign(new RangeError("no"), { deep, status: 502 });
    const encoded = encodeError(thrown, { exposeStacks: false });
    expect(encoded).toMatchObject({ name: "RangeError", message: "no", data: '{"status":502}' });
  });

  const MOST_BYTES = 20_000;
  const LARGE = "漢".repeat(MOST_BYTES);
  const arrivedOf = (thrown: unknown): Error => {
    const limits = { exposeStacks: true, maxPayloadBytes: MOST_BYTES };
    const encoded = encodeBoundedError(thrown, limits, { name: "It", purpose: "send" });
    expect(Buffer.byteLength(JSON.stringify({ ok: false, error: encoded }))).toBeLessThanOrEqual(MOST_BYTES);
    return decodeError(encoded, []);
  };

  it("keeps those of its fields that are not, as they are", () => {
    const id = "x".repeat(300);
    const thrown = Object.assign(new Error("no"), { response: LARGE, status: 502, id, rows: [LARGE] });
    expect(arrivedOf(thrown)).toMatchObject({ data: { status: 502, id } });
    expect((arrivedOf(thrown) as RemoteError).data).not.toHaveProperty("response");
  });

  it("has, of the library's own, every field that its class has", () => {
    const failedCompensations = Array.from({ length: 300 }, (_, index) => ({
      name: `${index}`,
      reason: LARGE,
    }));
    const failed = arrivedOf(
      new WorkflowFailedError({ workflow: "Order", executionId: "1", reason: LARGE, failedCompensations }),
    );
    expect(failed).toMatchObject({ executionId: "1", retryable: false });
    const told = (failed as WorkflowFailedError).failedCompensations;
    expect(told.length).toBeGreaterThan(0);
    expect(told[0]).toEqual({ name: "0", reason: expect.stringMatching(/^漢{200}…$/u) as string });
    const issues = Array.from({ length: 3_000 }, (_, index) => ({ message: "wrong", path: [index] }));
    const invalid = arrivedOf(new InvalidInputError({ of: "Counter.add", issues })) as InvalidInputError;
    expect(invalid.issues[0]).toEqual({ message: "wrong", path: [0] });
  });

  it("is within the limit with what stands around it, where it nearly fits", () => {
    for (let length = MOST_BYTES - 300; length < MOST_BYTES; length += 1)
      arrivedOf(new Error("x".repeat(length)));
  });

  it("is within the limit whatever it holds (property)", () => {
    const size = fc.integer({ min: 0, max: 2 * MOST_BYTES });
    fc.assert(
      fc.property(fc.array(size, { minLength: 1, maxLength: 5 }), size, size, (causes, field, text) => {
        let thrown: Error | undefined;
        for (const length of causes)
          thrown = Object.assign(new Error("é".repeat(length), { cause: thrown }), {
            name: "\u0001".repeat(text),
            field: '"'.repeat(field),
            ["k".repeat(text)]: 1,
          });
        arrivedOf(thrown);
      }),
      { numRuns: 50 },
    );
  });
});
