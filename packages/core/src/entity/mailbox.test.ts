import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Mailbox } from "./mailbox.ts";

interface Item {
  readonly name: string;
  isAccepted: boolean;
}

const item = (name: string, isAccepted = true): Item => ({ name, isAccepted });

describe("a mailbox", () => {
  it("is full with as many requests as its capacity (M1)", () => {
    const mailbox = new Mailbox<Item>(2);
    expect(mailbox.isFull(0)).toBe(false);
    mailbox.push(item("a"));
    expect(mailbox.isFull(0)).toBe(false);
    mailbox.push(item("b"));
    expect(mailbox.isFull(0)).toBe(true);
    expect(mailbox.size).toBe(2);
    mailbox.next();
    expect(mailbox.isFull(0)).toBe(false);
  });

  it("lets requests out in the order in which they came (M2)", () => {
    const mailbox = new Mailbox<Item>(10);
    for (const name of ["a", "b", "c"]) mailbox.push(item(name));
    expect([mailbox.next(), mailbox.next(), mailbox.next()].map((each) => each?.name)).toEqual([
      "a",
      "b",
      "c",
    ]);
    expect(mailbox.next()).toBeUndefined();
  });

  it("lets none overtake one that is still being accepted (M3)", () => {
    const mailbox = new Mailbox<Item>(10);
    const first = item("first", false);
    mailbox.push(first);
    mailbox.push(item("second"));
    expect(mailbox.next()).toBeUndefined();
    first.isAccepted = true;
    expect(mailbox.next()).toBe(first);
    expect(mailbox.next()?.name).toBe("second");
  });

  it("gives one up from wherever it stands, such as one whose acceptance failed", () => {
    const mailbox = new Mailbox<Item>(10);
    const items = ["a", "b", "c"].map((name) => item(name));
    for (const each of items) mailbox.push(each);
    expect(mailbox.remove(items[1] as Item)).toBe(true);
    expect(mailbox.remove(items[1] as Item)).toBe(false);
    expect(mailbox.empty().map(({ name }) => name)).toEqual(["a", "c"]);
    expect(mailbox.size).toBe(0);
    expect(mailbox.next()).toBeUndefined();
  });

  it("loses none and repeats none, whatever is done with it", () => {
    const action = fc.oneof(
      fc.record({ do: fc.constant("push" as const), isAccepted: fc.boolean() }),
      fc.record({
        do: fc.constantFrom("next" as const, "accept" as const, "remove" as const),
        at: fc.nat(5),
      }),
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        const mailbox = new Mailbox<Item>(5);
        const model: Item[] = [];
        let count = 0;
        for (const each of actions) {
          if (each.do === "push") {
            if (mailbox.isFull(0)) continue;
            const pushed = item(String((count += 1)), each.isAccepted);
            mailbox.push(pushed);
            model.push(pushed);
          } else if (each.do === "accept") {
            const at = model[each.at];
            if (at !== undefined) at.isAccepted = true;
          } else if (each.do === "remove") {
            const [removed] = model.splice(each.at, 1);
            if (removed !== undefined) expect(mailbox.remove(removed)).toBe(true);
          } else {
            expect(mailbox.next()).toBe(model[0]?.isAccepted === true ? model.shift() : undefined);
          }
          expect(mailbox.size).toBe(model.length);
          expect(mailbox.isFull(0)).toBe(model.length >= 5);
        }
        expect(mailbox.empty()).toEqual(model);
      }),
    );
  });
});
