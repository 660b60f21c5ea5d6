import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const TOOLS = {
  bench: "../bench/src/main.ts",
  faults: "cluster/main.ts",
  programs: "programs/main.ts",
  simulate: "simulation/main.ts",
  mutations: "simulation/mutations/main.ts",
};

it.each(Object.entries(TOOLS))("npm run %s says how it is used, without a stack", (name, path) => {
  const tool = fileURLToPath(new URL(path, import.meta.url));
  const run = (option: string) =>
    spawnSync(process.execPath, ["--conditions=@holdfast/source", tool, option], { encoding: "utf8" });
  const refused = run("--nothing");
  expect(refused.status).toBe(2);
  expect(refused.stderr).toMatch(new RegExp(`^Unknown option '--nothing'.*\nnpm run ${name} -- .*\n$`, "u"));
  const helped = run("--help");
  expect(helped.status).toBe(0);
  expect(helped.stdout).toMatch(new RegExp(`^npm run ${name} -- .*\n$`, "u"));
});
