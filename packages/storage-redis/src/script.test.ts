import { describe, expect, it } from "vitest";
import { SCRIPTS } from "./script.ts";

describe("the probe of what the user may do", () => {
  const { probe, ...others } = SCRIPTS;

  it.each(Object.entries(others))("tries each command of %s", (_, { source }) => {
    const commands = [...source.matchAll(/redis\.call\('(?<name>\w+)'/gu)].map(
      ({ groups }) => groups?.["name"],
    );
    expect(commands).not.toEqual([]);
    for (const name of commands) expect(probe.source).toContain(`{'${name}'`);
  });
});
