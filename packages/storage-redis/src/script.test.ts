import { describe, expect, it } from "vitest";
import { SCRIPTS } from "./script.ts";

describe("the probe of what the user may do", () => {
  const { probe, ...others } = SCRIPTS;

  it.each(Object.entries(others))("tries each command of %s", (_, { source }) => {
    const commands = [...source.matchAll(/redis\.p?call\('(?<name>\w+)'/gu)].map(
      ({ groups }) => groups?.["name"],
    );
    expect(commands).not.toEqual([]);
    // Announcing may fail: who is not told looks by itself.
    for (const name of commands.filter((each) => each !== "PUBLISH"))
      expect(probe.source).toContain(`{'${name}'`);
  });
});
