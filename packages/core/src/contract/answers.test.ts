import { describe, expect, it } from "vitest";
import { inPlaceOf } from "../entity/answers.ts";
import { DeadLetteredError, PayloadTooLargeError } from "../errors/storage.ts";
import { answerOf, isAnswer } from "./answers.ts";
import { encodeError } from "./error-codec.ts";

const tooLarge = (): PayloadTooLargeError =>
  new PayloadTooLargeError({ what: "A frame", payloadBytes: 2, limitBytes: 1 });
/** What the caller of `call` catches where the handler fails with `thrown`. */
const caught = (thrown: Error, call: string | null = "A/a.ask"): Error =>
  answerOf(encodeError(thrown, { exposeStacks: false, isReply: true }), [], call);

describe("an answer", () => {
  it("is whatever the handler failed with", () => {
    expect(isAnswer(caught(new Error("no")))).toBe(true);
    expect(isAnswer(caught(tooLarge())), "what it returned was too large").toBe(true);
    expect(isAnswer(new Error("no"))).toBe(false);
  });

  it("is no dead letter of the call's own, which may be requeued, and one of another call's", () => {
    const letter = new DeadLetteredError({ requestId: "1", what: "A/a.ask", attempts: 1, reason: "no" });
    expect(isAnswer(caught(letter))).toBe(false);
    expect(isAnswer(caught(letter, "B/b.ask"))).toBe(true);
  });

  it("is not what goes in the place of one that does not fit through, until a handler lets that through", () => {
    const reply = { requestId: "1", exit: { ok: true, value: "large" } } as const;
    const sent = inPlaceOf({ type: "reply", reply }, tooLarge());
    if (sent?.type !== "reply" || sent.reply.exit.ok) throw new Error("nothing goes in its place");
    const error = answerOf(sent.reply.exit.error, [], "A/a.ask");
    expect(error).toBeInstanceOf(PayloadTooLargeError);
    expect(isAnswer(error)).toBe(false);
    expect(isAnswer(caught(error, "B/b.ask"))).toBe(true);
  });
});
