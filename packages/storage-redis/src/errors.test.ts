import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { endsConnection, failureOf, persistenceError } from "./errors.ts";

function replyError(message: string): Error {
  return Object.assign(new Error(message), { name: "ReplyError" });
}

describe("what became of a command", () => {
  it.each([
    ["OOM command not allowed when used memory > 'maxmemory'.", "not-written"],
    ["READONLY You can't write against a read only replica.", "not-written"],
    ["NOSCRIPT No matching script.", "not-written"],
    ["MOVED 1 10.0.0.1:6379", "not-written"],
    ["NOPERM this user has no permissions to run the 'evalsha' command", "not-written"],
    ["NOREPLICAS Not enough good replicas to write.", "not-written"],
    // In the middle of a script, perhaps.
    ["ERR Error running script: user_script:3: boom", "unknown"],
    ["NOPERM ACL failure in script: User app has no permissions to run the 'zadd' command", "unknown"],
    ["WRONGTYPE Operation against a key holding the wrong kind of value", "unknown"],
  ])("that the server answered with %s: %s", (message, outcome) => {
    expect(failureOf(replyError(message))).toMatchObject({ outcome });
  });

  it("is not known where the connection was lost, save if ioredis did not send it", () => {
    expect(failureOf(new Error("Connection is closed."))).toMatchObject({ outcome: "unknown", code: null });
    expect(
      failureOf(new Error("Stream isn't writeable and enableOfflineQueue options is false")),
    ).toMatchObject({ outcome: "not-written" });
  });

  it("is told in sentences that end in one point", () => {
    const failure = failureOf(replyError("READONLY You can't write against a read only replica."));
    expect(persistenceError("saveReply", failure).message).toContain("replica. Nothing was written.");
  });

  it("shows nothing of the command", () => {
    const error = Object.assign(replyError("OOM command not allowed"), {
      command: { args: ["the payload"] },
    });
    expect(inspect(failureOf(error), { depth: 10 })).not.toContain("payload");
  });

  it("says whether the connection leads to a server that can be of use", () => {
    expect(endsConnection(failureOf(replyError("READONLY You can't write")))).toBe(true);
    expect(endsConnection(failureOf(replyError("OOM command not allowed")))).toBe(false);
  });
});
