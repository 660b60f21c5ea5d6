import { describe } from "vitest";
import { comesToTheSameEnd } from "./comes-to-the-same-end.ts";

describe("any other program, wherever it crashes", () => {
  comesToTheSameEnd(20_300_102);
});
