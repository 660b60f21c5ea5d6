import { describe, expect, it } from "vitest";
import { RedisFailure } from "./errors.ts";
import { incarnationOf } from "./incarnation.ts";

const RUN = "run_id:5d3f";
const DATA = "master_replid:77aa";

describe("the incarnation of a server", () => {
  it("is another one after each start and each take-over", () => {
    expect(incarnationOf(`# Server\r\n${RUN}\r\n# Replication\r\n${DATA}\r\nmaster_replid2:0\r\n`)).toBe(
      "5d3f-77aa",
    );
  });

  it.each([
    ["is empty", ""],
    ["lacks the start", `${DATA}\r\n`],
    ["lacks the data", `${RUN}\r\nmaster_replid2:0\r\n`],
    ["has them empty", "run_id:\r\nmaster_replid:\r\n"],
  ])("is refused where INFO %s: all such servers would look alike", (_, info) => {
    expect(() => incarnationOf(info)).toThrow(RedisFailure);
    expect(() => incarnationOf(info)).toThrow(/run_id and master_replid/u);
  });
});
